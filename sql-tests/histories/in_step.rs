//! A copy of a table that is kept in step by what changed since it was last.

use crate::query::{row, rows};
use crate::random::Random;
use crate::session::{Place, on_every_place};

/// How many statements the table sees.
const STEPS: usize = 40;

on_every_place!(copy_is_kept_in_step_by_changes);

async fn copy_is_kept_in_step_by_changes(place: Place) {
    for net in [true, false] {
        follow(&place, net).await;
    }
}

async fn follow(place: &Place, net: bool) {
    let ctx = place.session();
    let (table, copy) = (format!("table_{net}"), format!("copy_{net}"));
    for name in [&table, &copy] {
        let location = format!("{}/{name}", place.root());
        let create = format!(
            "CREATE EXTERNAL TABLE {name} (id BIGINT, x BIGINT) STORED AS ATIO LOCATION '{location}'"
        );
        rows(&ctx, &create).await;
    }
    let mut random = Random::new(if net { 11 } else { 12 });
    let mut at: u64 = 0;
    for step in 0..STEPS {
        let sql = statement(&mut random, &table);
        rows(&ctx, &sql).await;
        if random.chance(400) || step + 1 == STEPS {
            let newest = format!("SELECT max(version) FROM atio_history('{table}')");
            let newest: u64 = row(&ctx, &newest).await.parse().unwrap();
            // One after another, as a key may change more than once; or all at once.
            let ways: Vec<_> = match net {
                true => vec![(at, newest)],
                false => (at..newest).map(|from| (from, from + 1)).collect(),
            };
            for (from, to) in ways {
                rows(&ctx, &merge(&table, &copy, from, to, net)).await;
            }
            at = newest;
            let content = |name: &str| format!("SELECT id, x FROM {name}");
            assert_eq!(
                rows(&ctx, &content(&copy)).await,
                rows(&ctx, &content(&table)).await,
                "step {step}, net {net}: {sql}"
            );
        }
    }
    let count = format!("SELECT count(*) > 0 FROM {copy}");
    assert_eq!(row(&ctx, &count).await, "true");
}

fn merge(table: &str, copy: &str, from: u64, to: u64, net: bool) -> String {
    format!(
        "MERGE INTO {copy} USING (SELECT * FROM atio_changes('{table}', from => {from}, to => {to}, key => 'id', net => {net}) \
         WHERE _change <> 'update_before') AS c ON {copy}.id IS NOT DISTINCT FROM c.id \
         WHEN MATCHED AND c._change = 'delete' THEN DELETE \
         WHEN MATCHED THEN UPDATE SET x = c.x \
         WHEN NOT MATCHED AND c._change <> 'delete' THEN INSERT (id, x) VALUES (c.id, c.x)"
    )
}

/// A statement that leaves ids unique; NULL is one of them.
fn statement(random: &mut Random, table: &str) -> String {
    let (id, x) = (random.below(30), random.below(9));
    match random.below(12) {
        0..5 => {
            let ids = (0..5).map(|more| {
                let id = match (id + 7 * more) % 30 {
                    29 => "NULL".to_owned(),
                    id => id.to_string(),
                };
                format!("({id}, {})", x + more)
            });
            let ids: Vec<_> = ids.collect();
            format!(
                "MERGE INTO {table} USING (VALUES {}) AS q(id, x) ON {table}.id IS NOT DISTINCT FROM q.id \
                 WHEN MATCHED THEN UPDATE SET x = q.x \
                 WHEN NOT MATCHED THEN INSERT (id, x) VALUES (q.id, q.x)",
                ids.join(", ")
            )
        }
        5 | 6 => format!("DELETE FROM {table} WHERE id % 6 = {}", id % 6),
        7 => format!("UPDATE {table} SET x = x + {x} WHERE id < {id}"),
        8 => format!("INSERT OVERWRITE {table} SELECT * FROM {table} AS old WHERE x <> {x}"),
        9 | 10 => format!("SELECT * FROM atio_compact('{table}', dry_run => false)"),
        _ => format!("SELECT * FROM atio_tag('{table}', tag => 'seen', replace => true)"),
    }
}
