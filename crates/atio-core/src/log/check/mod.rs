//! The check of a table: everything that its readable versions need, each object once.
//!
//! 1. What the hints name, and then the records, from the newest down. Each is held against the one
//!    above it.
//! 2. The snapshots of the versions that have not expired, and the schemas and tags that they name.
//! 3. Their manifests, and the data files and deletion vectors that these list.
//! 4. The hints again, which had all that time to follow.
//!
//! An object that is damaged is one finding, and the check goes on. Everything is read from the
//! store: what this process remembers says nothing of what is there.

mod fences;
mod files;
mod finding;
mod hints;
mod judge;
mod needed;
mod numbers;
mod options;
mod records;
mod register;
mod rows;
mod states;
mod vectors;

pub(in crate::log) use finding::Remedy;
pub use finding::{Finding, Severity};
pub use options::CheckOptions;

use std::sync::Arc;

use self::files::Listed;
use self::hints::Hints;
use crate::error::{ErrorKind, Result};
use crate::format::{StoredRecord, Version};
use crate::log::read::snapshot::Snapshot;
use crate::log::table::Table;

/// A check begins anew so often if versions expire meanwhile.
const ATTEMPTS: u32 = 3;

/// What a check found, and what a repair goes by.
pub(in crate::log) struct Checked {
    pub(in crate::log) findings: Vec<Finding>,
    /// The largest number that has a record, and the record, if it can be read.
    pub(in crate::log) newest: Option<(Version, Option<StoredRecord>)>,
    /// Tombstones of versions that expired, which no fence names that is left.
    pub(in crate::log) unfenced: Vec<Version>,
    /// What has expired.
    expired: Arc<[(Version, Version)]>,
}

impl Checked {
    /// True if versions have expired since, or the table is another one.
    fn is_outdated(&self, newest: &Snapshot) -> bool {
        let seen = match &self.newest {
            Some((_, Some(seen))) => seen.table(),
            _ => None,
        };
        newest.expired != self.expired || seen.is_some_and(|seen| seen != newest.table)
    }
}

impl Table {
    /// Looks at every object that a version needs which has not expired, and says what is wrong.
    /// Changes nothing.
    ///
    /// A table whose newest version cannot be opened is checked, too. An object that several versions
    /// name is looked at once. Versions that are committed meanwhile are not looked at. Orphans are no
    /// findings: [`expire`](Self::expire) finds them.
    ///
    /// Fails if there is no table, or if its storage gives no answer.
    pub async fn check(&self, options: CheckOptions) -> Result<Vec<Finding>> {
        Ok(self.checked(options).await?.findings)
    }

    pub(in crate::log) async fn checked(&self, options: CheckOptions) -> Result<Checked> {
        // What this process has committed it tells others of.
        self.flush().await;
        let mut checked = self.check_once_or_gone(options).await?;
        for attempt in 1..=ATTEMPTS {
            if checked.findings.is_empty() {
                break;
            }
            // What is missing may have expired since the records were read, or be gone with the table.
            let newest = match self.newest().await {
                Ok(newest) if checked.is_outdated(&newest) => newest,
                Err(error) if error.kind() == ErrorKind::TableNotFound => return Err(error),
                _ => break,
            };
            if attempt < ATTEMPTS {
                checked = self.check_once_or_gone(options).await?;
                continue;
            }
            let expired = |finding: &Finding| {
                finding
                    .version
                    .is_some_and(|version| newest.has_expired(version))
            };
            checked.findings.retain(|finding| !expired(finding));
        }
        Ok(checked)
    }

    async fn check_once_or_gone(&self, options: CheckOptions) -> Result<Checked> {
        let error = match self.check_once(options).await {
            Err(error) => error,
            checked => return checked,
        };
        match self.newest().await {
            Err(now) if now.kind() == ErrorKind::TableNotFound => Err(now),
            _ => Err(error),
        }
    }

    async fn check_once(&self, options: CheckOptions) -> Result<Checked> {
        let mut findings = Vec::new();
        let hints = Hints::read(self).await?;
        let Some(chain) = records::read(self, &hints, &mut findings).await? else {
            return Ok(Checked {
                findings,
                newest: None,
                unfenced: Vec::new(),
                expired: Arc::new([]),
            });
        };
        let newest = chain.newest.as_ref();
        let lost = hints.lost(self, chain.top, newest).await?;
        let mut states = states::read(&self.objects, &chain, &mut findings).await?;
        let listed_by = states.listed_by();
        let listed = Listed {
            manifests: &states.manifests,
            said: &states.said,
            listed_by: &listed_by,
            schemas: &states.by_id,
            deep: options.deep,
        };
        let looked_at = files::check(&self.objects, &listed, &mut findings).await;
        judge::judge(&chain, &mut states, &looked_at, &mut findings);
        let whole = judge::newest_whole(&chain, &states.states);
        judge::advise(&chain, whole, &mut findings);
        let wrong = Hints::wrong(self, chain.top, newest).await?;
        findings.splice(0..0, lost.into_iter().chain(wrong));
        judge::sort(&mut findings);
        Ok(Checked {
            findings,
            newest: Some((chain.top, chain.newest)),
            unfenced: chain.unfenced,
            expired: chain.expired,
        })
    }
}
