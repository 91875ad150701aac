//! What changed between two versions, compared with the difference of all rows.

use std::collections::BTreeMap;

use datafusion::prelude::SessionContext;

use super::naive::{Naive, Row};
use super::shown;
use crate::query::{failure, rows};
use crate::random::Random;

/// Compares the changes between two versions, or what is said where they cannot be read.
pub(super) async fn compare(
    ctx: &SessionContext,
    name: &str,
    naive: &Naive,
    random: &mut Random,
    what: &str,
) {
    let from = random.below(naive.versions());
    let to = from + random.below(naive.versions() - from);
    let net = random.chance(400);
    let mut sql = format!(
        "SELECT _version, _change, id, x, s FROM atio_changes('{name}', from => {from}, to => {to}, net => {net})"
    );
    let needed: Vec<_> = match net {
        true => vec![from, to],
        false => (from..=to).collect(),
    };
    if needed
        .iter()
        .any(|version| naive.version(*version).is_none())
    {
        let error = failure(ctx, &sql).await;
        assert!(error.contains("expired"), "{what}: {sql}: {error}");
        return;
    }
    let mut expected = Vec::new();
    for (below, above) in needed.iter().zip(needed.iter().skip(1)) {
        let (was, is) = (naive.version(*below), naive.version(*above));
        expected.extend(difference(*above, was.unwrap(), is.unwrap()));
    }
    if random.chance(500) {
        let (least, first) = (random.below(20), from + random.below(4));
        sql += &format!(" WHERE id < {least} AND _version >= {first}");
        expected.retain(|row| {
            let cells: Vec<_> = row.split('|').collect();
            let id = cells[2].parse::<usize>();
            id.is_ok_and(|id| id < least) && cells[0].parse::<usize>().unwrap() >= first
        });
    }
    expected.sort_unstable();
    assert_eq!(rows(ctx, &sql).await, expected, "{what}: {sql}");
    let count = sql.replace("_version, _change, id, x, s", "count(*)");
    assert_eq!(
        rows(ctx, &count).await,
        [expected.len().to_string()],
        "{what}: {count}"
    );
}

/// The rows of `is` that are not in `was`, and the other way round, each as often as it is.
fn difference(version: usize, was: &[Row], is: &[Row]) -> Vec<String> {
    let mut balance: BTreeMap<String, i64> = BTreeMap::new();
    for (rows, by) in [(was, -1), (is, 1)] {
        for row in shown(rows) {
            *balance.entry(row).or_default() += by;
        }
    }
    let rows = balance.into_iter().flat_map(|(row, balance)| {
        let change = if balance > 0 { "insert" } else { "delete" };
        let row = format!("{version}|{change}|{row}");
        vec![row; usize::try_from(balance.unsigned_abs()).unwrap()]
    });
    rows.collect()
}
