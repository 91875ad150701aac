//! TPC-H over atio and over DataFusion's own files of the same rows: the same answers by the same
//! plans.

#![cfg(test)]

mod data;

use datafusion::physical_plan::displayable;
use datafusion::prelude::{SessionConfig, SessionContext};

use crate::query::texts;
use data::QUERIES;

/// The scale factor, and by how much the engine's thresholds are less than at scale factor 1.
const SCALE_FACTOR: f64 = 0.01;
const LESS: usize = 100;

fn session() -> SessionContext {
    let mut config = SessionConfig::new().with_target_partitions(4);
    let optimizer = &mut config.options_mut().optimizer;
    optimizer.repartition_file_min_size /= LESS;
    optimizer.hash_join_single_partition_threshold /= LESS;
    optimizer.hash_join_single_partition_threshold_rows /= LESS;
    SessionContext::new_with_config(config)
}

/// The physical plan, a line for each node, without what names files.
async fn plan(ctx: &SessionContext, sql: &str) -> Vec<String> {
    let plan = ctx.sql(sql).await.unwrap();
    let plan = plan.create_physical_plan().await.unwrap();
    let shown = displayable(plan.as_ref()).indent(false).to_string();
    shown.lines().map(without_files).collect()
}

fn without_files(line: &str) -> String {
    let files = line.find("file_groups={");
    let rest = files.and_then(|at| line[at..].find("}, ").map(|end| (at, at + end + 3)));
    match rest {
        Some((at, end)) => format!("{}{}", &line[..at], &line[end..]),
        None => line.to_owned(),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn queries_of_tpch_have_the_answers_and_the_plans_of_plain_parquet() {
    let directory = tempfile::tempdir().unwrap();
    let (atio, listing) = (session(), session());
    atio::register(&atio).unwrap();
    data::open(&atio, &listing, directory.path(), SCALE_FACTOR)
        .await
        .unwrap();
    let mut differences = Vec::new();
    for (query, sql) in (1..).zip(QUERIES) {
        let (ours, plain) = (plan(&atio, sql).await, plan(&listing, sql).await);
        if ours != plain {
            let (ours, plain) = (ours.join("\n"), plain.join("\n"));
            differences.push(format!("Q{query}, atio:\n{ours}\nplain Parquet:\n{plain}"));
        }
        let ours = texts(&data::run(&atio, sql).await.unwrap());
        let plain = texts(&data::run(&listing, sql).await.unwrap());
        assert_eq!(ours, plain, "Q{query}");
    }
    assert!(
        differences.is_empty(),
        "{} plans differ\n{}",
        differences.len(),
        differences.join("\n\n")
    );
}
