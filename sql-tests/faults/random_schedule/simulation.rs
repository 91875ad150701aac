//! One run: four sessions over one store, from a seed.

#![cfg(test)]

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use atio::{CommitOptions, ErrorKind, with_commit};
use datafusion::object_store::memory::InMemory;
use datafusion::object_store::path::Path;
use datafusion::object_store::{ObjectStore, ObjectStoreExt};
use datafusion::prelude::SessionContext;
use futures::FutureExt;
use serde_json::Value;
use tokio::sync::Notify;
use tokio::task::JoinHandle;

use super::scheduler::{Conductor, Step, Weather};
use super::session_program::{ACTORS, CHUNK, Effect, delete_mode, program};
use crate::faults::call::Fault;
use crate::faults::fault_store::{Archive, FaultStore};
use crate::faults::invariants::{kind, open, session};
use crate::faults::raw_log::Log;
use crate::query::texts;
use crate::random::Random;
use crate::session::run;

/// A request that takes so long is given up: time that passes is a fault then.
const PATIENCE: Duration = Duration::from_secs(15);

pub(super) const ROOT: &str = "base/t";
/// More steps than any run needs.
const STEPS: usize = 20_000;

/// How a statement ended, as its client heard it.
#[derive(Debug, Clone)]
pub(super) enum Outcome {
    /// The client died first.
    Unheard,
    Done(Vec<String>),
    Failed(Option<ErrorKind>, String),
}

/// One statement of one session.
#[derive(Debug, Clone)]
pub(super) struct Event {
    pub(super) actor: usize,
    pub(super) effect: Effect,
    /// The version that it names, if it names one.
    pub(super) version: u64,
    /// The newest version when it began.
    pub(super) since: u64,
    /// The newest version when it ended.
    pub(super) until: Option<u64>,
    /// True if something went wrong with a call of its session while it ran.
    pub(super) faulty: bool,
    pub(super) outcome: Outcome,
}

/// What is left of a run.
pub(super) struct World {
    pub(super) objects: Arc<dyn ObjectStore>,
    pub(super) archive: Archive,
    pub(super) events: Mutex<Vec<Event>>,
    programs: Mutex<Vec<VecDeque<Effect>>>,
    /// How each session removes rows.
    modes: [&'static str; ACTORS],
    conductor: Arc<Conductor>,
}

/// Plays the run of `seed` on a copy of `base`; gives the world after it and the trace.
pub(super) fn play(
    seed: u64,
    base: &InMemory,
    weather: impl Fn(&mut Random) -> Weather,
) -> (World, Vec<String>) {
    let idle = Arc::new(Notify::new());
    let parked = Arc::clone(&idle);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .on_thread_park(move || parked.notify_waiters())
        .build()
        .unwrap();
    let mut random = Random::new(seed);
    let programs = (0..ACTORS).map(|actor| program(actor, &mut random).into());
    let programs = programs.collect();
    let modes = [(); ACTORS].map(|()| delete_mode(&mut random));
    let weather = weather(&mut random);
    let objects: Arc<dyn ObjectStore> = Arc::new(base.fork());
    let world = Arc::new(World {
        archive: archive_of(&objects),
        objects,
        events: Mutex::default(),
        programs: Mutex::new(programs),
        modes,
        conductor: Conductor::new(random, weather, idle),
    });
    let stores =
        runtime.block_on(async { tokio::spawn(play_all(Arc::clone(&world))).await.unwrap() });
    drop(runtime);
    for store in stores {
        store.land().now_or_never().expect("memory does not wait");
    }
    let trace = world.conductor.trace();
    let world = Arc::into_inner(world).expect("a session outlives its runtime");
    (world, trace)
}

fn archive_of(objects: &Arc<dyn ObjectStore>) -> Archive {
    let archive = Archive::default();
    let paths = futures::TryStreamExt::try_collect::<Vec<_>>(objects.list(None));
    for meta in paths.now_or_never().unwrap().unwrap() {
        let bytes = async { objects.get(&meta.location).await?.bytes().await };
        let bytes = bytes.now_or_never().unwrap().unwrap();
        archive
            .lock()
            .unwrap()
            .insert(meta.location.to_string(), bytes);
    }
    archive
}

/// Runs until every session has done its program; gives all stores that were used.
async fn play_all(world: Arc<World>) -> Vec<FaultStore> {
    let mut used = Vec::new();
    let mut start = |actor| {
        let archive = Some(Arc::clone(&world.archive));
        let store = FaultStore::with_archive(Arc::clone(&world.objects), archive);
        world.conductor.conduct(&store, actor);
        used.push(store.clone());
        let task: JoinHandle<()> = tokio::spawn(act(Arc::clone(&world), actor, store.clone()));
        (store, task)
    };
    let mut actors: Vec<_> = (0..ACTORS).map(&mut start).collect();
    for _ in 0..STEPS {
        if actors.iter().all(|(_, task)| task.is_finished()) {
            return used;
        }
        match world.conductor.step().await {
            Step::Done => {}
            Step::Crash(actor) => {
                world.conductor.note(format!("{actor} crashes"));
                let (store, task) = &actors[actor];
                store.cut_off();
                task.abort();
                world.conductor.forget(actor);
                actors[actor] = start(actor);
            }
            Step::Sweep => sweep(&world).await,
        }
    }
    panic!(
        "the run does not end:\n{}",
        world.conductor.trace().join("\n")
    );
}

/// What an expiry would do that does not tell the writers: deletes all that no version names.
async fn sweep(world: &World) {
    let Ok(left) = Log::read(world.objects.as_ref(), ROOT)
        .await
        .and_then(|log| log.leftovers())
    else {
        return;
    };
    for name in left.iter().filter(|name| !name.starts_with("_atio_tmp/")) {
        let path = Path::from(format!("{ROOT}/{name}"));
        world.objects.delete(&path).await.unwrap();
    }
}

/// What the session `actor` does, from where its predecessor died.
async fn act(world: Arc<World>, actor: usize, store: FaultStore) {
    let ctx = session(Arc::new(store.clone()));
    while run(&ctx, &open(ROOT)).await.is_err() {
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    let mode = format!("SET atio.delete_mode = '{}'", world.modes[actor]);
    run(&ctx, &mode).await.unwrap();
    while let Some(effect) = world.next(actor) {
        let since = world.newest();
        let version = match effect {
            Effect::Version(back)
            | Effect::AsOf(back)
            | Effect::Tag(back, _)
            | Effect::Rollback(back) => since.saturating_sub(back),
            _ => since,
        };
        let sql = effect.sql(version, &world.time(version));
        world.conductor.note(format!("{actor} begins {sql}"));
        let calls = store.calls().len();
        let begun = tokio::time::Instant::now();
        let at = world.begin(Event {
            actor,
            effect,
            version,
            since,
            until: None,
            faulty: true,
            outcome: Outcome::Unheard,
        });
        let loading;
        let ctx = match world.key(at) {
            Some(key) => {
                loading = load_session(&ctx, key).await;
                &loading
            }
            None => &ctx,
        };
        let outcome = match run(ctx, &sql).await {
            Ok(batches) => Outcome::Done(texts(&batches)),
            Err(error) => Outcome::Failed(kind(&error), error.strip_backtrace()),
        };
        let faulty = |call: &crate::faults::call::Call| call.fault != Fault::None;
        let faulty = store.calls()[calls..].iter().any(faulty) || begun.elapsed() >= PATIENCE;
        let told = match &outcome {
            Outcome::Failed(kind, _) => format!("fails: {kind:?}"),
            _ => "succeeds".to_owned(),
        };
        world.conductor.note(format!("{actor} {told}"));
        let mut events = world.events.lock().unwrap();
        events[at].outcome = outcome;
        events[at].faulty = faulty;
        events[at].until = Some(world.newest());
    }
}

/// A session whose next statement is a load in chunks, and whose batches are small.
async fn load_session(ctx: &SessionContext, key: String) -> SessionContext {
    let options = CommitOptions {
        idempotency_key: Some(key),
        commit_every_rows: Some(CHUNK as u64),
        ..CommitOptions::default()
    };
    let ctx = with_commit(ctx, options).unwrap();
    let small = format!("SET datafusion.execution.batch_size = {CHUNK}");
    run(&ctx, &small).await.unwrap();
    ctx
}

impl World {
    fn key(&self, event: usize) -> Option<String> {
        self.events.lock().unwrap()[event].effect.key()
    }

    fn next(&self, actor: usize) -> Option<Effect> {
        self.programs.lock().unwrap()[actor].pop_front()
    }

    fn begin(&self, event: Event) -> usize {
        let mut events = self.events.lock().unwrap();
        events.push(event);
        events.len() - 1
    }

    /// The newest version on the store at this moment.
    pub(super) fn newest(&self) -> u64 {
        let exists = |version: &u64| {
            let path = Path::from(record(*version));
            let head = self.objects.head(&path).now_or_never();
            head.expect("memory does not wait").is_ok()
        };
        let versions = (0..).take_while(exists);
        versions.last().expect("there is a version")
    }

    fn time(&self, version: u64) -> String {
        let archive = self.archive.lock().unwrap();
        let record: Value = serde_json::from_slice(&archive[&record(version)]).unwrap();
        let at = record["committed_at_us"].as_i64().unwrap();
        let at = chrono::DateTime::from_timestamp_micros(at).unwrap();
        at.format("%Y-%m-%d %H:%M:%S%.6f").to_string()
    }
}

/// The key of a commit record.
pub(super) fn record(version: u64) -> String {
    format!("{ROOT}/metadata/v{version}.metadata.json")
}
