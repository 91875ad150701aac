//! Whether plain Parquet files give the same wrong answer: then it is the engine's.

#![cfg(test)]

use super::expected;
use super::settings::Setting;
use super::statements::Statement;
use super::tables::{Change, Table};
use super::twin_tables::{World, answer, asked};

/// What is wrong with the answer of the engine's own tables over files with the same rows.
pub(super) async fn difference(
    world: &mut World<'_>,
    tables: &[Table],
    reading: &[Setting],
    statement: &Statement,
) -> Result<Option<String>, String> {
    let directory = tempfile::tempdir().unwrap();
    let ctx = expected::session();
    let settings = [expected::as_usual(), reading.to_vec()].concat();
    answer(
        &ctx,
        "SET datafusion.execution.parquet.schema_force_view_types = 'false'",
    )
    .await?;
    let mut names = Vec::new();
    for (at, source) in statement.sources.iter().enumerate() {
        let table = &tables[source.table];
        let last = source.step.unwrap_or(table.steps.len() - 1);
        let name = format!("s{at}");
        let location = format!("{}/{name}/", directory.path().display());
        let written = &world.written[source.table];
        for there in &written.there[last] {
            let (batches, part) = (written.rows(there), there.step);
            expected::register(&ctx, &format!("{name}_{part}"), &written.schema, batches);
            let step = &table.steps[part];
            let mut writing = step.settings.clone();
            if let (Some(rows), Change::Insert(_)) = (table.external, &step.change) {
                writing.push((
                    "datafusion.execution.parquet.max_row_group_size".into(),
                    rows.to_string(),
                ));
            }
            let copy =
                format!("COPY {name}_{part} TO '{location}{part}.parquet' STORED AS PARQUET");
            asked(&ctx, &writing, &copy).await?;
        }
        let create =
            format!("CREATE EXTERNAL TABLE {name} STORED AS PARQUET LOCATION '{location}'");
        answer(&ctx, &create).await?;
        names.push(name);
    }
    let found = asked(&ctx, &settings, &statement.sql(&names)).await;
    Ok(world.judge(statement, &found).await)
}
