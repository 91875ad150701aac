//! Many experiments, each a process with a table of its own in one warehouse.

use super::*;
use crate::processes::job::{Act, When};
use crate::query::{row, rows};
use crate::session::session_at;

/// Sets what is tried, and makes a table of what came out.
fn experiment(at: &Path, number: usize) -> Job {
    let create = format!(
        "CREATE TABLE w.public.run_{number} AS \
         SELECT value AS epoch, abs({number} - 5) + 1.0 / value AS loss FROM generate_series(1, 100)"
    );
    let rate = format!("SET atio.properties.rate = '0.{number}'");
    let message = format!("SET atio.message = 'try {number}'");
    Job::new(at, vec![rate, message, create])
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn experiments_of_many_processes_are_listed_and_compared_and_a_killed_one_is_not() {
    let directory = tempfile::tempdir().unwrap();
    let at = directory.path();
    session_at(at);
    let mut running = Vec::new();
    for number in 1..=8 {
        let job = experiment(at, number);
        running.push(tokio::spawn(async move { job.run().await }));
    }
    let mut killed = experiment(at, 9);
    killed.act = Some((
        When::Named("publish:v1.metadata.json".to_owned()),
        Act::Kill,
    ));
    assert!(killed.run().await.killed);
    for experiment in running {
        assert!(experiment.await.unwrap().done(2));
    }

    let ctx = session_at(at);
    rows(&ctx, "SET datafusion.catalog.information_schema = true").await;
    let list = "SELECT table_name FROM information_schema.tables \
                WHERE table_catalog = 'w' AND table_schema = 'public'";
    let runs = rows(&ctx, list).await;
    let expected: Vec<_> = (1..=8).map(|number| format!("run_{number}")).collect();
    assert_eq!(runs, expected);

    let each: Vec<_> = runs
        .iter()
        .map(|run| {
            format!(
                "SELECT '{run}' AS run, max(properties['rate']) AS rate, max(message) AS message, \
                 (SELECT min(loss) FROM w.public.{run}) AS best FROM atio_history('w.public.{run}')"
            )
        })
        .collect();
    let all = each.join(" UNION ALL ");
    let best = format!("SELECT run, rate, message, best FROM ({all}) ORDER BY best LIMIT 1");
    assert_eq!(row(&ctx, &best).await, "run_5|0.5|try 5|0.01");
    let total = format!("SELECT count(*), round(sum(best), 2) FROM ({all})");
    // Of |n - 5| for 1 to 8, and a hundredth each.
    assert_eq!(row(&ctx, &total).await, "8|16.08");

    // The name of the killed one can be used again.
    succeed(at, &experiment(at, 9).sql).await;
    let again = "SELECT count(*) FROM w.public.run_9";
    assert_eq!(row(&session_at(at), again).await, "100");
}
