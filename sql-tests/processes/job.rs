//! What a child does: this test binary once more, with a job.
//!
//! It says on standard output what it does, one line at a time: `begin 2`, then `done 2` or
//! `failed 2 Storage: ..` for its third statement, and at the end the steps that it took and
//! the most memory that it had.

use std::fmt::Display;
use std::io::Write;
use std::path::PathBuf;
use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use datafusion::error::DataFusionError;
use rustix::process::{Resource, Rlimit, Signal, getpid, getrlimit, kill_process, setrlimit};
use serde::{Deserialize, Serialize};

use crate::session::{limited_session_at, run, session_at};

pub(super) const JOB: &str = "ATIO_TEST_CHILD";
pub(super) const SAYS: &str = "child: ";
/// No child lives longer.
const LIFE: Duration = Duration::from_secs(300);

/// The steps at which the local store can be made to fail or stop.
pub(crate) const STEPS: [&str; 27] = [
    "make-folder",
    "begin-file",
    "write-file",
    "sync-file",
    "sync-folder",
    "publish",
    "rename-new",
    "published",
    "link-new",
    "remove",
    "removed",
    "rename-folder",
    "remove-folder",
    "copy-begin",
    "copy-file",
    "copy-write",
    "copy-sync",
    "copy-backup",
    "copy-unmark",
    "copy-publish",
    "copy-published",
    "copy-mark",
    "copy-marked",
    "copy-unnamed",
    "copy-link",
    "copy-rename",
    "copy-take-back",
];

/// What a child does: statements in one session, each after the one before has ended.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Job {
    /// The directory of the session.
    pub(crate) at: PathBuf,
    pub(crate) sql: Vec<String>,
    /// How often all of it is done once more; the numbers go on.
    pub(crate) again: usize,
    /// What happens at a step.
    pub(crate) act: Option<(When, Act)>,
    /// Steps that fail, and how, in the words of the crate `fail`.
    pub(crate) fail: Vec<(String, String)>,
    /// What the process may have of files: how many are open, and how large each is.
    pub(crate) open_files: Option<u64>,
    pub(crate) file_size: Option<u64>,
    /// The bytes that its session may use.
    pub(crate) pool: Option<usize>,
    /// Behind the statements, and told as one more of them: a stream.
    pub(crate) pushes: Option<super::killed_loads::Pushes>,
    /// What the environment says, beside what it says to the parent.
    pub(crate) environment: Vec<(String, String)>,
    /// Whether it writes nowhere where the modes of directories forbid it, as root else would.
    #[serde(skip)]
    pub(crate) obeys_modes: bool,
    /// Instead of the statements: see [`super::disk_errors`].
    pub(crate) errors: Option<super::disk_errors::Sweep>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) enum When {
    /// At the step with this number, from 1.
    Step(usize),
    /// At the first step that is called so.
    Named(String),
    /// At the step with this number, from 1, of those that are called so.
    Nth(String, usize),
    /// When all statements have ended.
    AtTheEnd,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) enum Act {
    /// As `kill -9`.
    Kill,
    /// Until it is continued.
    Stop,
    /// Shuts the runtime down, without waiting for what it does; the process ends later.
    EndRuntime,
    /// Runs a command that takes the disk away. What still runs has a second to say that it
    /// was done, and must not say so of what is lost.
    PowerOff(Vec<String>),
}

impl Act {
    fn run(&self) {
        match self {
            Act::Kill => kill_process(getpid(), Signal::KILL).unwrap(),
            Act::Stop => {
                kill_process(getpid(), Signal::STOP).unwrap();
                // Another thread may take the signal, and this one go on for a moment.
                std::thread::sleep(Duration::from_millis(100));
            }
            Act::EndRuntime => {
                let end = END.lock().unwrap().take();
                if let Some((end, ended)) = end {
                    drop(end);
                    // On a busy machine the statement would be done before its runtime ends,
                    // which its threads notice a moment later.
                    ended.recv().ok();
                    std::thread::sleep(Duration::from_millis(500));
                }
            }
            Act::PowerOff(command) => {
                let ran = Command::new(&command[0]).args(&command[1..]).output();
                let ran = ran.unwrap();
                assert!(ran.status.success(), "{command:?}: {ran:?}");
                say("power off");
                std::thread::spawn(|| {
                    std::thread::sleep(Duration::from_secs(1));
                    Act::Kill.run();
                });
            }
        }
    }
}

/// Dropped when the runtime is to end, and what waits until it did.
static END: Mutex<Option<(Sender<()>, Receiver<()>)>> = Mutex::new(None);

/// The kind of atio's error in `error`, as text; `Other` if there is none.
pub(crate) fn kind(error: &DataFusionError) -> String {
    let mut next: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(error) = next {
        if let Some(error) = error.downcast_ref::<atio::Error>() {
            return format!("{:?}", error.kind());
        }
        next = error.source();
    }
    "Other".to_owned()
}

/// One line for the parent, whatever the test harness printed before.
fn say(line: impl Display) {
    let line = format!("\n{SAYS}{line}\n");
    let mut out = std::io::stdout().lock();
    out.write_all(line.as_bytes()).unwrap();
    out.flush().unwrap();
}

/// Tells the parent what atio warns of.
struct Warnings;

impl log::Log for Warnings {
    fn enabled(&self, metadata: &log::Metadata<'_>) -> bool {
        metadata.target().starts_with("atio")
    }

    fn log(&self, record: &log::Record<'_>) {
        if self.enabled(record.metadata()) {
            say(format_args!("warned {}", record.args()));
        }
    }

    fn flush(&self) {}
}

/// Does nothing unless a parent gave it a job.
#[test]
fn child() {
    let Some(job) = std::env::var_os(JOB) else {
        return;
    };
    std::thread::spawn(|| {
        std::thread::sleep(LIFE);
        std::process::exit(9);
    });
    log::set_logger(&Warnings).unwrap();
    log::set_max_level(log::LevelFilter::Warn);
    let job: Job = serde_json::from_str(job.to_str().unwrap()).unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    if let Some(sweep) = &job.errors {
        return runtime.block_on(sweep.run(say));
    }
    let (end, told_to_end) = channel();
    let (shut_down, ended) = channel();
    *END.lock().unwrap() = Some((end, ended));
    let work = runtime.spawn(async move {
        work(&job).await;
        Act::EndRuntime.run();
    });
    told_to_end.recv().unwrap_err();
    if work.is_finished() {
        runtime.block_on(work).unwrap();
    } else {
        runtime.shutdown_background();
        drop(shut_down);
        std::thread::sleep(Duration::from_millis(1000));
    }
}

async fn work(job: &Job) {
    let ctx = match job.pool {
        Some(bytes) => limited_session_at(&job.at, bytes),
        None => session_at(&job.at),
    };
    for (resource, limit) in [
        (Resource::Nofile, job.open_files),
        (Resource::Fsize, job.file_size),
    ] {
        if let Some(current) = limit {
            let maximum = getrlimit(resource).maximum;
            let current = Some(current);
            setrlimit(resource, Rlimit { current, maximum }).unwrap();
        }
    }
    let taken = watch(job.act.clone());
    for (step, how) in &job.fail {
        fail::cfg(step.as_str(), how).unwrap();
    }
    let rounds = (0..=job.again).flat_map(|_| &job.sql);
    for (number, sql) in rounds.enumerate() {
        say(format_args!("begin {number}"));
        match run(&ctx, sql).await {
            Ok(_) => say(format_args!("done {number}")),
            Err(error) => {
                let text = error.strip_backtrace().replace('\n', " ");
                say(format_args!("failed {number} {}: {text}", kind(&error)));
            }
        }
    }
    if let Some(pushes) = &job.pushes {
        let number = job.sql.len();
        match pushes.run(&ctx).await {
            Ok(()) => say(format_args!("done {number}")),
            Err(error) => say(format_args!("failed {number} {:?}: {error}", error.kind())),
        }
    }
    if let Some((When::AtTheEnd, act)) = &job.act {
        act.run();
    }
    say(format_args!("steps {}", taken.lock().unwrap().join(" ")));
    // A process that may open no more files cannot tell.
    if let Ok(status) = std::fs::read_to_string("/proc/self/status") {
        say(format_args!("peak {}", peak_memory(&status)));
    }
}

/// The most memory that this process has had, in KiB.
fn peak_memory(status: &str) -> u64 {
    let line = status.lines().find(|line| line.starts_with("VmHWM:"));
    let number = line.unwrap().split_whitespace().nth(1).unwrap();
    number.parse().unwrap()
}

/// Counts every step from here on, and acts when it is time.
fn watch(act: Option<(When, Act)>) -> &'static Mutex<Vec<&'static str>> {
    let taken: &'static Mutex<Vec<&'static str>> = Box::leak(Box::default());
    for step in STEPS {
        let act = act.clone();
        fail::cfg_callback(step, move || {
            let number = {
                let mut taken = taken.lock().unwrap();
                taken.push(step);
                taken.len()
            };
            match &act {
                Some((When::Step(at), act)) if *at == number => act.run(),
                _ => {}
            }
        })
        .unwrap();
    }
    let named = match act {
        Some((When::Named(name), act)) => Some((name, 1, act)),
        Some((When::Nth(name, number), act)) => Some((name, number, act)),
        _ => None,
    };
    if let Some((name, number, act)) = named {
        let taken = AtomicUsize::new(0);
        fail::cfg_callback(name, move || {
            if taken.fetch_add(1, Ordering::Relaxed) + 1 == number {
                act.run();
            }
        })
        .unwrap();
    }
    taken
}
