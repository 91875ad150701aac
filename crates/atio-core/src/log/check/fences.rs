//! Fences that were passed on the way down, and which of them first said that a version has expired.

use crate::format::{Operation, StoredRecord, Version};
use crate::log::read::snapshot::in_ranges;

/// The repairs, and the fences below one, from the newest down.
#[derive(Default)]
pub(super) struct PastFences(Vec<PastFence>);

struct PastFence {
    version: Version,
    is_repair: bool,
    expired: Vec<(Version, Version)>,
}

impl PastFences {
    /// Notes the record if it is such a fence.
    pub(super) fn note(&mut self, record: &StoredRecord) {
        let version = record.version();
        if record.last_expire() != Some(version) || record.is_lost() {
            return;
        }
        let is_repair = record.operation() == Operation::Repair;
        if is_repair || !self.0.is_empty() {
            self.0.push(PastFence {
                version,
                is_repair,
                expired: record.expired().to_vec(),
            });
        }
    }

    /// The repair that gave up the number of a record that is no tombstone: someone put it back.
    pub(super) fn gave_up(&self, record: &StoredRecord) -> Option<Version> {
        if record.is_tombstone() {
            return None;
        }
        // Each names all that has expired before it, too.
        let mut fences = self.0.iter().rev();
        let first = fences.find(|fence| in_ranges(&fence.expired, record.version()));
        let repair = first.filter(|fence| fence.is_repair);
        repair.map(|fence| fence.version)
    }
}
