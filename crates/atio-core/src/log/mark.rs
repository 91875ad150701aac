//! Commits without rows of their own: tags, their removal, and rollbacks.
//!
//! Each attempt is planned anew on the newest version, where it is asked again whether the
//! version that it is about has expired (A5).

use std::sync::Arc;

use tokio::time::Instant;

use super::commit::{RETRY_FOR, announce, pause};
use super::commit_options::CommitOptions;
use super::rebase::Pending;
use super::resolve::{Outcome, create_record};
use super::snapshot::Snapshot;
use super::table::Table;
use super::transaction::Transaction;
use crate::error::{ErrorKind, Result};
use crate::format::refs::RefsFile;
use crate::format::{CommitRecord, Operation, Txn, Version, layout};

/// A version, as people name one.
#[derive(Debug, Clone)]
pub enum Target {
    /// By its number.
    Version(Version),
    /// By a name that it was given.
    Tag(String),
}

/// A commit without rows of its own.
#[derive(Debug, Clone)]
pub enum Mark {
    /// Gives a version a name.
    Tag {
        /// The name that it is given.
        name: String,
        /// None: the one that is newest when the commit begins.
        version: Option<Version>,
        /// What it stands for, for people.
        message: Option<String>,
        /// Takes the name away from another version.
        replace: bool,
    },
    /// Takes a name back.
    Untag {
        /// The name that is taken back.
        name: String,
    },
    /// Makes the state of a version that of the newest.
    Rollback {
        /// The version whose state it is.
        to: Target,
    },
}

impl Mark {
    /// What people call the statement that asks for it.
    fn statement(&self) -> &'static str {
        match self {
            Mark::Tag { .. } => "atio_tag",
            Mark::Untag { .. } => "atio_untag",
            Mark::Rollback { .. } => "atio_rollback",
        }
    }
}

/// What a mark came to.
#[derive(Debug, Clone, Copy)]
pub struct Marked {
    /// The version that it is about.
    pub version: Version,
    /// The version that it made, or that was made under the same key before; None if there was
    /// nothing to change.
    pub committed: Option<Version>,
}

/// The next attempt.
pub(super) struct Attempt {
    pub(super) version: Version,
    /// None if there is nothing to change.
    pub(super) record: Option<CommitRecord>,
}

/// How a mark ended, and whether something of it is to stay.
struct Ended {
    marked: Marked,
    repeated: bool,
    made: bool,
}

impl Table {
    /// Commits `mark`, with the endings of [`commit`](Table::commit).
    ///
    /// Fails with [`ErrorKind::VersionExpired`] if the version that it is about has expired,
    /// also if that happens meanwhile.
    pub async fn mark(self: &Arc<Self>, mark: Mark, options: CommitOptions) -> Result<Marked> {
        options.check()?;
        options.check_one_version(mark.statement())?;
        let table = Arc::clone(self);
        let txn = Transaction::begin(self);
        let id = txn.id();
        let commit = async move {
            let base = table.newest().await?;
            let mut ended = table
                .mark_in_queue(&txn, Arc::clone(&base), mark, &options)
                .await;
            if let Err(error) = &ended
                && matches!(error.kind(), ErrorKind::Storage | ErrorKind::Conflict)
                && let Some(stopped) = txn.stopped(&table, &base).await
            {
                ended = Err(stopped);
            }
            if let Err(error) = ended {
                ended = Err(table.or_dropped(&base, error).await);
            }
            match &ended {
                Ok(ended) if !ended.made => txn.abort().await,
                _ => txn.end(&ended).await,
            }
            let ended = ended?;
            if let (true, Some(version)) = (ended.repeated, ended.marked.committed) {
                table.say_repeated(options.idempotency_key.as_deref(), version);
            }
            Ok(ended.marked)
        };
        self.to_its_end(id, commit).await
    }

    async fn mark_in_queue(
        &self,
        txn: &Transaction,
        base: Arc<Snapshot>,
        mark: Mark,
        options: &CommitOptions,
    ) -> Result<Ended> {
        let _turn = self.queue.lock().await;
        let give_up = Instant::now() + RETRY_FOR;
        let pending = Pending {
            txn: txn.id(),
            key: options.idempotency_key.as_deref(),
            needs_same_state: matches!(mark, Mark::Rollback { .. }),
        };
        let mut base = base;
        let asked = mark.version();
        let mark = mark.meaning(&base);
        let mut repeats = match pending.key {
            Some(key) => self.committed_with(&base, key).await?,
            None => None,
        };
        let mut attempt = 0;
        let mut unused = Vec::new();
        loop {
            if let Some(version) = repeats {
                let about = self
                    .repeated((&mark, asked), version, pending.key, &base)
                    .await?;
                return Ok(Ended::repeated(about, version));
            }
            let plan = self.plan(txn, &base, &mark, options, attempt);
            let Attempt { version, record } = plan.await?;
            let Some(record) = record else {
                return Ok(Ended::unchanged(version));
            };
            match create_record(self, txn, &record).await? {
                Outcome::Committed => {
                    futures::join!(announce(txn, &record), txn.discard(&unused));
                    return Ok(Ended::made(version, record.version_id));
                }
                Outcome::Conflict(_) if Instant::now() < give_up => {
                    let newest = self.newest().await?;
                    repeats = self.check_passed(&pending, &base, &newest).await?;
                    base = newest;
                    unused.extend(staged_names(&record, txn.id()));
                    attempt += 1;
                    tokio::time::sleep(pause(attempt)).await;
                }
                Outcome::Conflict(_) => return Err(self.gave_up(attempt)),
            }
        }
    }

    /// The version that a mark was about which was committed as `version` under the same key;
    /// `asked` is the one that it names itself.
    ///
    /// Fails if that was another mark.
    async fn repeated(
        &self,
        (mark, asked): (&Mark, Option<Version>),
        version: Version,
        key: Option<&str>,
        newest: &Snapshot,
    ) -> Result<Version> {
        let record = self.repeats(version, key, &mark.operation()).await?;
        let other = |what: String| {
            let word = record.operation().word().to_owned();
            let did = match mark {
                Mark::Rollback { .. } => "roll back",
                _ => &word,
            };
            let why = format!("which did not {did} {what}: give this {word} a key of its own");
            Err(self.of_other_work(&record, key, &why))
        };
        let name = match mark {
            Mark::Rollback { .. } => {
                let about = record.parent().unwrap_or(version);
                return match asked.filter(|asked| *asked != about) {
                    Some(asked) => other(format!("to version {asked}")),
                    None => Ok(about),
                };
            }
            Mark::Tag { name, .. } | Mark::Untag { name } => name,
        };
        let below = match version.previous() {
            Some(below) => self.record(below).await?,
            None => record.clone(),
        };
        if record.is_tombstone() || below.is_tombstone() {
            // What an expired version named is forgotten.
            let refs = self.refs(newest).await?;
            let tag = refs.tags.get(name).map(|tag| tag.version);
            return Ok(tag.or(asked).unwrap_or(version));
        }
        let (before, after) = (self.refs_of(&below).await?, self.refs_of(&record).await?);
        let version_of = |refs: &RefsFile| refs.tags.get(name).map(|tag| tag.version);
        let (was, is) = (version_of(&before), version_of(&after));
        let changed = before.tags.get(name) != after.tags.get(name);
        match (mark, was, is) {
            (Mark::Untag { .. }, Some(was), None) => Ok(was),
            // Without a version it was the newest of then.
            (Mark::Tag { .. }, _, Some(is)) if changed && asked.is_none_or(|asked| asked == is) => {
                Ok(is)
            }
            _ => {
                let shown: String = name.escape_debug().take(64).collect();
                other(format!("'{shown}'"))
            }
        }
    }

    async fn plan(
        &self,
        txn: &Transaction,
        base: &Arc<Snapshot>,
        mark: &Mark,
        options: &CommitOptions,
        attempt: u32,
    ) -> Result<Attempt> {
        match mark {
            Mark::Rollback { to } => self.plan_rollback(txn, base, to, options, attempt).await,
            _ => self.plan_tag(txn, base, mark, options, attempt).await,
        }
    }

    /// Loads a version that a commit on `base` counts on.
    ///
    /// What `base` says decides whether it can be read: if another expiry comes before the
    /// commit, the commit is not on `base`.
    pub(super) async fn target(
        &self,
        base: &Arc<Snapshot>,
        version: Version,
    ) -> Result<Arc<Snapshot>> {
        if version == base.version {
            return Ok(Arc::clone(base));
        }
        if version > base.version {
            return Err(self.never_existed(version, base.version));
        }
        match self.older(version, base.version, &base.expired).await {
            Err(error) => Err(self.or_expired(version, base, error).await),
            target => target,
        }
    }
}

impl Mark {
    fn operation(&self) -> Operation {
        match self {
            Mark::Tag { .. } => Operation::Tag,
            Mark::Untag { .. } => Operation::Untag,
            Mark::Rollback { .. } => Operation::Rollback,
        }
    }

    /// The version that it is about, where it says so itself.
    fn version(&self) -> Option<Version> {
        match self {
            Mark::Tag { version, .. } => *version,
            Mark::Rollback {
                to: Target::Version(version),
            } => Some(*version),
            _ => None,
        }
    }

    /// The same, wherever the newest version moves to.
    fn meaning(mut self, base: &Snapshot) -> Self {
        if let Mark::Tag { version, .. } = &mut self {
            version.get_or_insert(base.version);
        }
        self
    }
}

impl Ended {
    fn made(version: Version, committed: Version) -> Self {
        Self {
            marked: Marked {
                version,
                committed: Some(committed),
            },
            repeated: false,
            made: true,
        }
    }

    fn repeated(version: Version, committed: Version) -> Self {
        Self {
            repeated: true,
            made: false,
            ..Self::made(version, committed)
        }
    }

    fn unchanged(version: Version) -> Self {
        Self {
            marked: Marked {
                version,
                committed: None,
            },
            repeated: false,
            made: false,
        }
    }
}

/// What was staged for a record that lost the race; nothing of it is used again.
fn staged_names(record: &CommitRecord, txn: Txn) -> impl Iterator<Item = String> {
    let changes = &record.changes;
    let named = (record.snapshot.iter())
        .chain(&record.refs)
        .chain(&changes.added)
        .chain(&changes.removed);
    let ours = |path: &&String| layout::parse(path).is_some_and(|object| object.txn == Some(txn));
    named
        .map(|object| &object.path)
        .filter(ours)
        .cloned()
        .collect::<Vec<_>>()
        .into_iter()
}
