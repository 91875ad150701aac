//! The chain of records, from the newest down: each against the one above it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use futures::StreamExt;

use super::fences::PastFences;
use super::finding::{Finding, Severity};
use super::hints::Hints;
use super::needed::Needed;
use super::numbers::{self, Gap, Stays, Unfenced};
use crate::error::{Error, ErrorKind, Result};
use crate::format::{
    CommitRecord, ObjectRef, Operation, PythonRecord, Record, StoredRecord, Txn, Version, layout,
};
use crate::log::read::history::PARALLEL;
use crate::log::read::snapshot::in_ranges;
use crate::log::table::Table;

/// What the records say.
pub(super) struct Chain {
    /// The largest number that has a record.
    pub(super) top: Version,
    /// That record; None if it cannot be read.
    pub(super) newest: Option<StoredRecord>,
    /// What has expired, as the newest fence says that could be read.
    pub(super) expired: Arc<[(Version, Version)]>,
    /// The versions that have not expired and whose records are whole, and who committed them.
    pub(super) readable: BTreeMap<Version, Option<Txn>>,
    /// Of each of these, from the newest down, which of `snapshots` it is.
    pub(super) states: Vec<(Version, usize)>,
    /// Those of them whose records say that no file has a deletion vector.
    pub(super) without_vectors: Vec<(Version, usize)>,
    pub(super) snapshots: Needed,
    pub(super) refs: Needed,
    /// What says what a version changed.
    pub(super) changes: Needed,
    /// Tombstones of versions that expired, which the newest fence does not name.
    pub(super) unfenced: Vec<Version>,
}

/// A record that was read, or why it could not be; None if it is not there.
type Read = Option<Result<StoredRecord>>;

/// Reads all records. None if none is left; fails if there is no table.
pub(super) async fn read(
    table: &Table,
    hints: &Hints,
    findings: &mut Vec<Finding>,
) -> Result<Option<Chain>> {
    let mut listed = list(table, findings).await?;
    listed.sort_unstable_by(|a, b| b.cmp(a));
    let Some(top) = listed.first().copied() else {
        let (name, named) = hints.largest(None).ok_or_else(|| table.not_found())?;
        findings.push(Finding::error(
            name,
            None,
            format!("{name} names version {named}, but there is no commit record"),
            "Restore the table from a copy.",
        ));
        return Ok(None);
    };
    let reads = futures::stream::iter(listed).map(|version| async move {
        let read: Read = match table.objects.get(&layout::record(version)).await {
            Ok(None) => None,
            Ok(Some(bytes)) => Some(Record::parse(version, &bytes)),
            Err(error) => Some(Err(error)),
        };
        (version, read)
    });
    let mut walk = Walk::new(top);
    let mut reads = reads.buffered(PARALLEL);
    while let Some((version, read)) = reads.next().await {
        match read {
            // Listed, and gone: the numbers around it tell.
            None => {}
            Some(Err(error)) => walk.unreadable(version, &error, findings),
            Some(Ok(record)) => walk.pass(table, record, findings).await?,
        }
    }
    drop(reads);
    walk.end(table, findings).await?;
    Ok(Some(walk.chain))
}

/// The numbers of all records. Names that look like those of records are told.
async fn list(table: &Table, findings: &mut Vec<Finding>) -> Result<Vec<Version>> {
    let mut versions = Vec::new();
    for object in table.objects.list(layout::METADATA).await? {
        let Some((_, name)) = object.path.split_once('/') else {
            continue;
        };
        match layout::parse_record(name) {
            Some(version) => versions.push(version),
            None if looks_like_a_record(name) => findings.push(Finding::warning(
                object.path.clone(),
                None,
                format!(
                    "'{}' is not the name of a commit record, and is ignored",
                    object.path.escape_debug()
                ),
                "Remove it, or give it the name that it had.",
            )),
            None => {}
        }
    }
    Ok(versions)
}

fn looks_like_a_record(name: &str) -> bool {
    let digit = |rest: &str| rest.trim_start().starts_with(|c: char| c.is_ascii_digit());
    name.strip_prefix(['v', 'V']).is_some_and(digit) && name.contains(".metadata.json")
}

/// Whether it is known what has expired.
#[derive(PartialEq, Eq)]
enum Fence {
    /// No record that tells has been met.
    Unknown,
    Known,
    /// It cannot be read, which is a finding of its own.
    Lost,
}

/// What is known on the way down.
struct Walk {
    chain: Chain,
    /// The record that was passed last, and its number, whether or not it could be read.
    above: Option<StoredRecord>,
    last: Option<Version>,
    fence: Fence,
    /// Tombstones of which the newest fence that was met does not know.
    unfenced: Vec<(Version, Unfenced)>,
    /// What has expired by the repairs, and by the fences below one, from the newest down.
    fences: PastFences,
    /// The fence that each version goes by.
    goes_by: BTreeMap<Version, Version>,
    /// Records that cannot be read.
    damaged: BTreeSet<Version>,
    /// Expired versions that still have a record.
    left: Vec<Version>,
    /// Records of Python's above all of atio's: what they name is theirs, unless atio's are below.
    python: Vec<(Version, PythonRecord)>,
    /// The lowest record of atio's.
    lowest_of_atio: Option<Version>,
    /// Numbers without record.
    gaps: Vec<Gap>,
}

impl Walk {
    fn new(top: Version) -> Self {
        Self {
            chain: Chain {
                top,
                newest: None,
                expired: Arc::new([]),
                readable: BTreeMap::new(),
                states: Vec::new(),
                without_vectors: Vec::new(),
                snapshots: Needed::default(),
                refs: Needed::default(),
                changes: Needed::default(),
                unfenced: Vec::new(),
            },
            above: None,
            last: None,
            fence: Fence::Unknown,
            unfenced: Vec::new(),
            fences: PastFences::default(),
            goes_by: BTreeMap::new(),
            damaged: BTreeSet::new(),
            left: Vec::new(),
            python: Vec::new(),
            lowest_of_atio: None,
            gaps: Vec::new(),
        }
    }

    fn has_expired(&self, version: Version) -> bool {
        in_ranges(&self.chain.expired, version)
    }

    fn unreadable(&mut self, version: Version, error: &Error, findings: &mut Vec<Finding>) {
        self.note_gap(version, None);
        let mut finding = Finding::unreadable(layout::record(version), version, error);
        if self.has_expired(version) {
            finding.severity = Severity::Warning;
            finding.version = None;
            finding.action =
                "The version has expired: its number stays taken, and no rows are lost.".to_owned();
        }
        findings.push(finding);
        (self.above, self.last) = (None, Some(version));
        self.damaged.insert(version);
    }

    async fn pass(
        &mut self,
        table: &Table,
        record: StoredRecord,
        findings: &mut Vec<Finding>,
    ) -> Result<()> {
        let version = record.version();
        if version == self.chain.top {
            if let Record::Live(live) = &record.record
                && live.operation == Operation::Drop
            {
                return Err(table.not_found());
            }
            self.chain.newest = Some(record.clone());
            if record.is_tombstone() && !record.is_lost() {
                findings.push(Finding::error(
                    layout::record(version),
                    None,
                    format!("the newest record, of version {version}, is a tombstone: the records above it are missing"),
                    "Restore the rest of the table from the same copy.",
                ));
            }
        }
        self.note_gap(version, Some(&record));
        if self.fence == Fence::Unknown && !record.record.is_python() {
            self.find_fence(table, &record).await?;
        }
        let given_up = match self.has_expired(version) {
            true => self.fences.gave_up(&record),
            false => None,
        };
        if let Some(above) = self
            .above
            .as_ref()
            .filter(|_| self.last == version.next().ok() && given_up.is_none())
            && let Err(error) = record.check_next(above)
        {
            self.broken(above.version(), &error, findings);
        }
        match given_up {
            Some(by) => findings.push(numbers::put_back(version, by)),
            None => self.note(&record, findings),
        }
        self.fences.note(&record);
        (self.last, self.above) = (Some(version), Some(record));
        Ok(())
    }

    /// What has expired, as the newest record says that can be read.
    async fn find_fence(&mut self, table: &Table, record: &StoredRecord) -> Result<()> {
        match table.expired_at(record).await {
            Ok(expired) => {
                self.chain.expired = expired;
                self.fence = Fence::Known;
            }
            Err(error) if error.kind() == ErrorKind::Storage => return Err(error),
            Err(_) => self.fence = Fence::Lost,
        }
        Ok(())
    }

    fn broken(&self, above: Version, error: &Error, findings: &mut Vec<Finding>) {
        let action = match error.kind() {
            ErrorKind::ForeignWrite => {
                let below = above.previous().unwrap_or(Version::ZERO);
                format!(
                    "Stop the programs that write with Python atio. Version {below} is the newest of this \
                     table: read its rows by number, and load them into a new table."
                )
            }
            _ => "Restore both records from one copy of the table.".to_owned(),
        };
        let version = (!self.has_expired(above)).then_some(above);
        findings.push(Finding::error(
            layout::record(above),
            version,
            error.to_string(),
            action,
        ));
    }

    /// What the record names.
    fn note(&mut self, record: &StoredRecord, findings: &mut Vec<Finding>) {
        let version = record.version();
        let expired = self.has_expired(version);
        match &record.record {
            Record::Tombstone(tombstone) if !expired => {
                let newest = self.chain.newest.as_ref().and_then(StoredRecord::table);
                let is_ours = newest == Some(tombstone.table);
                let what = match tombstone.tombstone.as_str() {
                    _ if tombstone.is_lost() => Unfenced::Lost,
                    "expired" if is_ours => Unfenced::Expired(tombstone.by),
                    _ => Unfenced::Foreign(tombstone.by),
                };
                self.unfenced.push((version, what));
            }
            Record::Tombstone(_) => {}
            // The end of a table that was here before: it stays.
            Record::Live(live) if expired && live.operation == Operation::Drop => {}
            Record::Live(_) | Record::Python(_) if expired => self.left.push(version),
            Record::Live(live) => self.note_live(live, findings),
            Record::Python(python) => self.python.push((version, python.clone())),
        }
        if !record.record.is_python() {
            self.lowest_of_atio = Some(version);
            // They took the place of versions of atio's, which the chain tells.
            self.python.clear();
        }
    }

    fn note_live(&mut self, live: &CommitRecord, findings: &mut Vec<Finding>) {
        let (chain, version) = (&mut self.chain, live.version_id);
        if let Some(fence) = live.last_expire {
            self.goes_by.insert(version, fence);
        }
        chain.readable.insert(version, Some(live.txn));
        if let Some(snapshot) = &live.snapshot {
            let (at, _) = chain.snapshots.add_object(snapshot, version, findings);
            chain.states.push((version, at));
            if !live.features.has_vectors() {
                chain.without_vectors.push((version, at));
            }
        }
        if let Some(refs) = &live.refs {
            chain.refs.add_object(refs, version, findings);
        }
        let changes = &live.changes;
        let changes: Vec<&ObjectRef> = changes.added.iter().chain(&changes.removed).collect();
        for object in changes {
            chain.changes.add_object(object, version, findings);
        }
    }

    fn note_gap(&mut self, version: Version, record: Option<&StoredRecord>) {
        let Some(last) = self.last else { return };
        let above = (last, self.above.as_ref());
        let gap = Gap::between(above, (version, record), &self.chain.expired);
        self.gaps.extend(gap);
    }

    /// False if the fence that made a tombstone is not there, which is a finding of its own.
    fn is_there(&self, fence: Option<Version>) -> bool {
        fence.is_none_or(|fence| self.fence == Fence::Known && self.has_record(fence))
    }

    /// True if there is a record of this number that can be read.
    fn has_record(&self, version: Version) -> bool {
        version <= self.chain.top
            && !self.damaged.contains(&version)
            && !self.gaps.iter().any(|gap| gap.holds(version))
    }

    /// Tells what only the whole log shows.
    async fn end(&mut self, table: &Table, findings: &mut Vec<Finding>) -> Result<()> {
        let python = std::mem::take(&mut self.python);
        for (version, python) in python {
            self.chain.readable.insert(version, None);
            let (at, _) = self
                .chain
                .snapshots
                .add(&python.snapshot, None, version, findings);
            self.chain.states.push((version, at));
        }
        let lowest = self.last.unwrap_or(self.chain.top);
        let begins = self
            .above
            .as_ref()
            .is_some_and(|lowest| lowest.record.is_python());
        if let (Some(end), false) = (lowest.previous(), begins) {
            self.gaps.push(Gap {
                first: Version::ZERO,
                last: end,
                stays: Some(Stays::Lowest),
            });
        }
        for gap in self.gaps.clone() {
            let first = gap.first;
            // Python's own expiry leaves gaps below the first record of atio's (C14).
            let above_python = first != Version::ZERO && begins;
            let python = above_python && self.lowest_of_atio.is_none_or(|lowest| lowest > first);
            if !python {
                findings.extend(numbers::missing(table, gap).await?);
            }
        }
        let unfenced = self.unfenced.iter();
        let unfenced = unfenced.filter(|(_, what)| self.is_there(what.by()));
        findings
            .extend(unfenced.map(|(version, what)| numbers::unfenced_tombstone(*version, *what)));
        if self.fence == Fence::Known {
            let expired = self.unfenced.iter();
            let expired = expired.filter(|(_, what)| matches!(what, Unfenced::Expired(_)));
            self.chain.unfenced = expired.map(|(version, _)| *version).collect();
        }
        // A version whose fence cannot be read cannot be opened.
        let mut states = std::mem::take(&mut self.chain.states);
        states.retain(|(version, _)| {
            let fence = self.goes_by.get(version);
            fence.is_none_or(|fence| self.has_record(*fence))
        });
        self.chain.states = states;
        findings.extend(numbers::leftover(&self.left));
        Ok(())
    }
}
