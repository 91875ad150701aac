//! A child as its parent has it: started with a job, stopped, continued, killed.

use std::io::{BufRead, BufReader};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process, waitid};

use super::ended::Ended;
use super::job::{JOB, Job, SAYS};

/// A child that runs; it is killed when it is dropped.
pub(crate) struct Child {
    process: std::process::Child,
    out: BufReader<std::process::ChildStdout>,
    said: Vec<String>,
}

impl Job {
    /// Statements over `at`.
    pub(crate) fn new(at: &Path, sql: Vec<String>) -> Self {
        let at = at.to_owned();
        Self {
            at,
            sql,
            ..Self::default()
        }
    }

    pub(crate) fn start(&self) -> Child {
        // Root gives that right up.
        let gives_up = self.obeys_modes && rustix::process::geteuid().is_root();
        let by: &[&str] = match gives_up {
            true => &[
                "setpriv",
                "--inh-caps=-dac_override,-dac_read_search",
                "--bounding-set=-dac_override,-dac_read_search",
            ],
            false => &[],
        };
        self.start_by(by)
    }

    /// Starts the child by a program, such as one that takes rights away.
    pub(crate) fn start_by(&self, by: &[&str]) -> Child {
        let this = std::env::current_exe().unwrap();
        let arguments = [
            "--exact",
            "processes::job::child",
            "--nocapture",
            "--test-threads=1",
        ];
        let words = by.iter().map(PathBuf::from).chain([this]);
        let words: Vec<_> = words.chain(arguments.map(PathBuf::from)).collect();
        let mut process = Command::new(&words[0])
            .args(&words[1..])
            .env(JOB, serde_json::to_string(self).unwrap())
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let out = BufReader::new(process.stdout.take().unwrap());
        Child {
            process,
            out,
            said: Vec::new(),
        }
    }

    /// Runs the child to its end.
    pub(crate) async fn run(&self) -> Ended {
        let child = self.start();
        tokio::task::spawn_blocking(|| child.end()).await.unwrap()
    }

    /// The steps that the job takes.
    pub(crate) async fn steps(&self) -> Vec<String> {
        let ended = self.run().await;
        assert!(!ended.killed);
        for number in 0..self.sql.len() {
            assert!(ended.done(number), "{self:?}: {:?}", ended.said);
        }
        ended.steps()
    }
}

impl Child {
    fn pid(&self) -> Pid {
        Pid::from_child(&self.process)
    }

    /// The bytes of the file without a name that it writes in the file system of `at`.
    pub(crate) fn unnamed(&self, at: &Path) -> Option<u64> {
        let open = format!("/proc/{}/fd", self.process.id());
        let own = format!("{}/#", at.canonicalize().ok()?.display());
        let mut open = std::fs::read_dir(open).ok()?.flatten();
        open.find_map(|file| {
            let path = file.path();
            let is_ours = path.read_link().ok()?.to_str()?.starts_with(&own);
            is_ours.then(|| path.metadata().ok().map(|meta| meta.len()))?
        })
    }

    /// The next thing that it says; None at its end.
    pub(crate) fn next(&mut self) -> Option<String> {
        loop {
            let mut line = String::new();
            if self.out.read_line(&mut line).unwrap() == 0 {
                return None;
            }
            if let Some(said) = line.trim_end().strip_prefix(SAYS) {
                self.said.push(said.to_owned());
                return Some(said.to_owned());
            }
        }
    }

    pub(crate) fn has_ended(&mut self) -> bool {
        self.process.try_wait().unwrap().is_some()
    }

    /// Waits until it has stopped itself.
    pub(crate) fn wait_until_stopped(&self) {
        let options = WaitIdOptions::STOPPED | WaitIdOptions::EXITED | WaitIdOptions::NOWAIT;
        let status = waitid(WaitId::Pid(self.pid()), options).unwrap().unwrap();
        assert!(status.stopped(), "the child ended: {:?}", self.said);
    }

    pub(crate) fn go_on(&self) {
        kill_process(self.pid(), Signal::CONT).unwrap();
    }

    pub(crate) fn kill(&self) {
        kill_process(self.pid(), Signal::KILL).unwrap();
    }

    /// Reads what it says until it ends; one that found a fault fails the test.
    pub(crate) fn end(mut self) -> Ended {
        while self.next().is_some() {}
        let status = self.process.wait().unwrap();
        let killed = status.signal() == Some(Signal::KILL.as_raw());
        assert!(
            killed || status.success(),
            "the child ended with {status}: {:?}",
            self.said
        );
        Ended {
            said: std::mem::take(&mut self.said),
            killed,
        }
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        self.process.kill().ok();
        self.process.wait().ok();
    }
}
