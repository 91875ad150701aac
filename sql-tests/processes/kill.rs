//! `kill -9` at every step of every statement.

use futures::StreamExt;

use super::job::{Act, When};
use super::statements::{Case, EXPIRY, INSERT, OTHERS};
use crate::long_form::{long, sample};

/// Children at a time.
const PARALLEL: usize = 3;

/// Kills the process at `most` steps of the statement.
async fn kill_at_each_step(case: &Case, most: usize) {
    cut_off_at_each_step(case, most, &Act::Kill).await;
}

async fn cut_off_at_each_step(case: &Case, most: usize, act: &Act) {
    let directory = tempfile::tempdir().unwrap();
    let prepared = directory.path().join("prepared");
    case.prepare(&prepared).await;
    let counted = directory.path().join("counted");
    case.copy(&prepared, &counted);
    let steps = case.job(&counted).steps().await;
    case.check(&counted, true, "not killed").await;
    let most = if long() { steps.len() } else { most };

    let chosen = sample(steps.len(), most);
    let kills = chosen.into_iter().map(|number| {
        let (steps, prepared) = (&steps, &prepared);
        let at = directory.path().join(number.to_string());
        async move {
            case.copy(prepared, &at);
            let mut job = case.job(&at);
            job.act = Some((When::Step(number + 1), act.clone()));
            let ended = job.run().await;
            let what = format!("{act:?} at step {} ({})", number + 1, steps[number]);
            // A runtime that ends can make the statement fail before the process stops.
            let went_on = ended.said.iter().any(|line| line.starts_with("steps"));
            let cut = !went_on || !ended.done(case.number());
            // Files that are written at once can take one step less.
            assert!(cut || number + 3 > steps.len(), "{what}");
            case.check(&at, ended.done(case.number()), &what).await;
            std::fs::remove_dir_all(&at).unwrap();
            cut
        }
    });
    let cut: Vec<bool> = futures::stream::iter(kills)
        .buffer_unordered(PARALLEL)
        .collect()
        .await;
    let cut = cut.into_iter().filter(|cut| *cut).count();
    println!("{}: {} steps, {act:?} at {cut}", case.name, steps.len());
    assert!(cut > 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn insert_that_is_killed_at_any_step_is_there_whole_or_not_at_all() {
    kill_at_each_step(&INSERT, usize::MAX).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn expiry_that_is_killed_at_any_step_loses_nothing_and_the_next_finishes_it() {
    kill_at_each_step(&EXPIRY, usize::MAX).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn statement_that_is_killed_at_any_step_takes_effect_wholly_or_not_at_all() {
    for case in &OTHERS {
        kill_at_each_step(case, 6).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn insert_whose_runtime_is_shut_down_at_any_step_is_there_whole_or_not_at_all() {
    cut_off_at_each_step(&INSERT, 6, &Act::EndRuntime).await;
}
