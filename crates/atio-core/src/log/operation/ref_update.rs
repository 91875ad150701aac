//! Commits without rows of their own: tags, their removal, and rollbacks.
//!
//! Each attempt is planned anew on the newest version, where it is asked again whether the
//! version that it is about has expired (A5).

use std::sync::Arc;

use crate::error::Result;
use crate::format::intent::Intent;
use crate::format::refs::RefsFile;
use crate::format::{Operation, Version};
use crate::log::commit::engine::{self, On, Planned, Statement};
use crate::log::commit::options::CommitOptions;
use crate::log::commit::transaction::Transaction;
use crate::log::read::snapshot::Snapshot;
use crate::log::table::Table;

/// A version, as people name one.
#[derive(Debug, Clone)]
pub enum RollbackTarget {
    /// By its number.
    Version(Version),
    /// By a name that it was given.
    Tag(String),
}

/// A commit without rows of its own.
#[derive(Debug, Clone)]
pub enum RefUpdate {
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
        to: RollbackTarget,
    },
}

impl RefUpdate {
    /// What people call the statement that asks for it.
    fn statement(&self) -> &'static str {
        match self {
            RefUpdate::Tag { .. } => "atio_tag",
            RefUpdate::Untag { .. } => "atio_untag",
            RefUpdate::Rollback { .. } => "atio_rollback",
        }
    }
}

/// What an update came to.
///
/// ```
/// fn changed(updated: &atio_core::log::RefUpdated) -> bool {
///     updated.committed.is_some()
/// }
/// ```
#[derive(Debug, Clone, Copy)]
pub struct RefUpdated {
    /// The version that it is about.
    pub version: Version,
    /// The version that it made, or that was made under the same key before; None if there was
    /// nothing to change.
    pub committed: Option<Version>,
}

/// How an update ended, and whether something of it is to stay.
struct Ended {
    updated: RefUpdated,
    repeated: bool,
    made: bool,
}

impl Table {
    /// Commits `update`, with the endings of [`commit`](Table::commit).
    ///
    /// Fails with [`ErrorKind::VersionExpired`](crate::ErrorKind::VersionExpired) if the version that it is about has expired,
    /// also if that happens meanwhile.
    pub async fn update_refs(
        self: &Arc<Self>,
        update: RefUpdate,
        options: CommitOptions,
    ) -> Result<RefUpdated> {
        options.check()?;
        options.check_one_version(update.statement())?;
        options.check_no_query(update.statement())?;
        options.check_no_checks(update.statement())?;
        let table = Arc::clone(self);
        let txn = Transaction::begin(self);
        let id = txn.id();
        let commit = async move {
            let base = table.newest().await?;
            let mut ended = table.commit_ref_update(&txn, &base, update, &options).await;
            if let Err(error) = ended {
                let error = table.why_it_failed(&txn, &base, error).await;
                ended = Err(table.or_dropped(&base, error).await);
            }
            match &ended {
                Ok(ended) if !ended.made => txn.abort().await,
                _ => txn.end(&ended).await,
            }
            let ended = ended?;
            if let (true, Some(version)) = (ended.repeated, ended.updated.committed) {
                table.say_repeated(options.idempotency_key.as_deref(), version);
            }
            Ok(ended.updated)
        };
        self.to_its_end(id, commit).await
    }

    async fn commit_ref_update(
        &self,
        txn: &Transaction,
        base: &Arc<Snapshot>,
        update: RefUpdate,
        options: &CommitOptions,
    ) -> Result<Ended> {
        let asked = update.version();
        let mut pending = PendingUpdate {
            update: update.meaning(base),
            options,
            about: None,
        };
        let key = pending.key().map(str::to_owned);
        let before = match &key {
            Some(key) => self.committed_with(base, key).await?,
            None => None,
        };
        let ended = match before {
            Some(version) => engine::Ended::Repeats(version, Arc::clone(base)),
            None => engine::commit(self, txn, Some(Arc::clone(base)), &mut pending).await?,
        };
        let about = pending.about.unwrap_or(base.version);
        match ended {
            engine::Ended::Committed(record) => Ok(Ended::made(about, record.version_id)),
            engine::Ended::Unchanged => {
                self.sync_found(about).await?;
                Ok(Ended::unchanged(about))
            }
            engine::Ended::Repeats(version, newest) => {
                let update = (&pending.update, asked);
                let about = self.repeated(update, version, key.as_deref(), &newest);
                Ok(Ended::repeated(about.await?, version))
            }
        }
    }

    /// The version that an update was about which was committed as `version` under the same key;
    /// `asked` is the one that it names itself.
    ///
    /// Fails if that was another.
    async fn repeated(
        &self,
        (update, asked): (&RefUpdate, Option<Version>),
        version: Version,
        key: Option<&str>,
        newest: &Snapshot,
    ) -> Result<Version> {
        let record = self.repeats(version, key, &update.operation()).await?;
        let other = |what: String| {
            let word = record.operation().word().to_owned();
            let did = match update {
                RefUpdate::Rollback { .. } => "roll back",
                _ => &word,
            };
            let why = format!("which did not {did} {what}: give this {word} a key of its own");
            Err(self.of_other_work(&record, key, &why))
        };
        let name = match update {
            RefUpdate::Rollback { .. } => {
                let about = record.parent().unwrap_or(version);
                return match asked.filter(|asked| *asked != about) {
                    Some(asked) => other(format!("to version {asked}")),
                    None => Ok(about),
                };
            }
            RefUpdate::Tag { name, .. } | RefUpdate::Untag { name } => name,
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
        match (update, was, is) {
            (RefUpdate::Untag { .. }, Some(was), None) => Ok(was),
            // Without a version it was the newest of then.
            (RefUpdate::Tag { .. }, _, Some(is))
                if changed && asked.is_none_or(|asked| asked == is) =>
            {
                Ok(is)
            }
            _ => {
                let shown: String = name.escape_debug().take(64).collect();
                other(format!("'{shown}'"))
            }
        }
    }

    /// Loads a version that a commit on `base` counts on.
    ///
    /// What `base` says decides whether it can be read: if another expiry comes before the
    /// commit, the commit is not on `base`.
    pub(in crate::log) async fn target(
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

/// An update on its way.
struct PendingUpdate<'a> {
    update: RefUpdate,
    options: &'a CommitOptions,
    /// The version that it is about, once it is planned.
    about: Option<Version>,
}

impl Statement for PendingUpdate<'_> {
    fn intent(&self) -> Intent {
        Intent::of(&self.update.operation())
    }

    fn key(&self) -> Option<&str> {
        self.options.idempotency_key.as_deref()
    }

    async fn plan(&mut self, on: On<'_>) -> Result<Option<Planned>> {
        let (version, record) = match &self.update {
            RefUpdate::Rollback { to } => on.table.plan_rollback(on, to, self.options).await?,
            RefUpdate::Tag { .. } | RefUpdate::Untag { .. } => {
                on.table.plan_tag(on, &self.update, self.options).await?
            }
        };
        self.about = Some(version);
        Ok(record.map(|record| Planned::alone(record, on.txn.id())))
    }
}

impl RefUpdate {
    fn operation(&self) -> Operation {
        match self {
            RefUpdate::Tag { .. } => Operation::Tag,
            RefUpdate::Untag { .. } => Operation::Untag,
            RefUpdate::Rollback { .. } => Operation::Rollback,
        }
    }

    /// The version that it is about, where it says so itself.
    fn version(&self) -> Option<Version> {
        match self {
            RefUpdate::Tag { version, .. } => *version,
            RefUpdate::Rollback {
                to: RollbackTarget::Version(version),
            } => Some(*version),
            _ => None,
        }
    }

    /// The same, wherever the newest version moves to.
    fn meaning(mut self, base: &Snapshot) -> Self {
        if let RefUpdate::Tag { version, .. } = &mut self {
            version.get_or_insert(base.version);
        }
        self
    }
}

impl Ended {
    fn made(version: Version, committed: Version) -> Self {
        Self {
            updated: RefUpdated {
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
            updated: RefUpdated {
                version,
                committed: None,
            },
            repeated: false,
            made: false,
        }
    }
}
