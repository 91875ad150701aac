//! What the actors share: the log, the objects, and where each actor is.

use super::super::search::hash_as_word;
use super::History;

/// The version that others tag or go back to.
pub(super) const TAGGED: u8 = 1;

pub(super) const ROW_A: u8 = 1;
const ROW_B: u8 = 2;

/// The objects, in the order in which an expiry deletes them.
pub(super) const WITHOUT_A: u8 = 1;
pub(super) const FIRST: u8 = 2;
const SECOND: u8 = 4;
const OBJECTS: u32 = 8;

/// Who makes versions: 0 the first two, 1 and 2 the writers, 4 and 5 the expirers.
pub(super) const EXPIRER: u8 = 4;
pub(super) const TAGGER: u8 = 6;
pub(super) const ROLLBACK: u8 = 7;
pub(super) const DELETER: u8 = 8;

/// The row of a writer.
pub(super) fn row(writer: usize) -> u8 {
    4 << writer
}

/// The object that a writer stages for its row.
pub(super) fn small(writer: usize) -> u8 {
    8 << (2 * writer)
}

/// The object that a writer stages for its row and all that it saw.
pub(super) fn merged(writer: usize) -> u8 {
    16 << (2 * writer)
}

pub(super) fn version_bit(version: u8) -> u8 {
    1 << (version - 1)
}

#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct State {
    log: [Record; 8],
    pub(super) writers: [Writer; 2],
    /// The record that a request under way will create, and as which version.
    pub(super) late: [(u8, Record); 2],
    pub(super) expirers: [Expirer; 2],
    pub(super) tag: Actor,
    pub(super) rollback: Actor,
    pub(super) delete: Actor,
    /// Objects that exist.
    pub(super) data: u8,
    pub(super) acked_rows: u8,
    pub(super) acked_delete: bool,
    pub(super) acked_tag: bool,
    /// The tag as an object of its own exists.
    pub(super) tag_object: bool,
}

#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Record {
    /// False above the newest version.
    pub(super) exists: bool,
    pub(super) tombstone: bool,
    pub(super) by: u8,
    /// Objects that the version consists of.
    pub(super) lists: u8,
    /// Writers, by bits.
    pub(super) revoked: u8,
    /// Versions that have expired, by bits.
    pub(super) expired: u8,
    /// Versions that are tagged, by bits.
    pub(super) tags: u8,
    pub(super) keyed: bool,
}

#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Writer {
    pub(super) at: At,
    pub(super) base: u8,
    pub(super) tries: u8,
    /// The rows of its merged manifest, if it staged one.
    pub(super) merged_rows: u8,
    /// What that stands for.
    pub(super) inputs: u8,
    /// One answer has been lost already.
    pub(super) unclear: bool,
}

#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum At {
    #[default]
    Start,
    Based,
    Ready,
    Unknown,
    Conflict,
    Acked,
    Failed,
    /// The key was there already: nothing to do.
    Repeated,
    /// CommitUnknown.
    GaveUp,
}

#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Expirer {
    pub(super) at: ExpirerAt,
    pub(super) base: u8,
    pub(super) candidates: u8,
    pub(super) expired: u8,
    pub(super) rounds: u8,
    pub(super) listing: u8,
    /// What it remembers of a plan that it reads on from; nothing if it plans anew. The last
    /// version that it read, those that stay, what they list, and what the others list.
    pub(super) read: u8,
    pub(super) kept: u8,
    pub(super) live: u8,
    pub(super) named: u8,
    pub(super) freed: u8,
}

#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum ExpirerAt {
    #[default]
    Idle,
    Listed,
    Planning,
    Fencing,
    Deleting,
}

/// Somebody who wants to make one commit of another kind.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Actor {
    pub(super) at: Marker,
    pub(super) base: u8,
    pub(super) tries: u8,
    /// The rows that a delete left of a merged manifest.
    pub(super) rows: u8,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Marker {
    Absent,
    Start,
    Ready,
    /// A tag object is written and looked at once more.
    Verifying,
    Acked,
    Failed,
}

hash_as_word!(Record {
    exists,
    tombstone,
    by,
    lists,
    revoked,
    expired,
    tags,
    keyed
});
hash_as_word!(Writer {
    at,
    base,
    tries,
    merged_rows,
    inputs,
    unclear
});
hash_as_word!(Expirer {
    at,
    base,
    candidates,
    expired,
    rounds,
    listing,
    read,
    kept,
    live,
    named,
    freed
});
hash_as_word!(Actor {
    at,
    base,
    tries,
    rows
});

impl Actor {
    pub(super) fn new(present: bool) -> Self {
        match present {
            true => Self::at(Marker::Start),
            false => Self::at(Marker::Absent),
        }
    }

    pub(super) fn at(at: Marker) -> Self {
        Self {
            at,
            base: 0,
            tries: 0,
            rows: 0,
        }
    }
}

impl State {
    pub(super) fn new(history: &History) -> Self {
        let together = history.merge.is_some() || history.delete;
        let record = |lists| Record {
            exists: true,
            lists,
            ..Record::default()
        };
        let mut log = [Record::default(); 8];
        log[0] = record(FIRST);
        log[1] = record(if together { FIRST | SECOND } else { SECOND });
        let expirer = Expirer {
            rounds: history.rounds,
            ..Expirer::default()
        };
        Self {
            log,
            writers: [Writer::default(); 2],
            late: [(0, Record::default()); 2],
            expirers: [expirer; 2],
            tag: Actor::new(history.tag.is_some()),
            rollback: Actor::new(history.rollback.is_some()),
            delete: Actor::new(history.delete),
            data: FIRST | SECOND,
            acked_rows: 0,
            acked_delete: false,
            acked_tag: false,
            tag_object: false,
        }
    }

    pub(super) fn newest(&self) -> u8 {
        let mut version = self.log.len();
        while !self.log[version - 1].exists {
            version -= 1;
        }
        version as u8
    }

    pub(super) fn record(&self, version: u8) -> Record {
        self.log[usize::from(version) - 1]
    }

    /// True if there is a version above `base`.
    pub(super) fn passed(&self, base: u8) -> bool {
        self.log
            .get(usize::from(base))
            .is_some_and(|record| record.exists)
    }

    pub(super) fn put(&mut self, version: u8, record: Record) {
        self.log[usize::from(version) - 1] = record;
    }

    /// What a commit carries on from `base`: its lists, its tags, what has expired.
    pub(super) fn above(&self, base: u8, by: u8) -> Record {
        let Record {
            lists,
            expired,
            tags,
            ..
        } = self.record(base);
        Record {
            exists: true,
            by,
            lists,
            expired,
            tags,
            ..Record::default()
        }
    }

    fn rows_of(&self, object: u8) -> u8 {
        match object {
            WITHOUT_A => self.delete.rows,
            FIRST => ROW_A,
            SECOND => ROW_B,
            _ => {
                let writer = usize::from(object >= small(1));
                match object == small(writer) {
                    true => row(writer),
                    false => self.writers[writer].merged_rows,
                }
            }
        }
    }

    /// The rows of several objects; None if one is there twice.
    pub(super) fn rows_once(&self, objects: u8) -> Option<u8> {
        let mut rows = 0;
        for object in bits(objects) {
            let more = self.rows_of(object);
            if rows & more != 0 {
                return None;
            }
            rows |= more;
        }
        Some(rows)
    }

    /// All rows of several objects.
    pub(super) fn rows(&self, objects: u8) -> u8 {
        bits(objects).fold(0, |rows, object| rows | self.rows_of(object))
    }

    /// The one object among `objects` that holds row A, and its other rows.
    pub(super) fn holding_a(&self, objects: u8) -> Option<(u8, u8)> {
        bits(objects)
            .find(|object| self.rows_of(*object) & ROW_A != 0)
            .map(|object| (object, self.rows_of(object) & !ROW_A))
    }

    /// Writers that have made a version up to `last`, by bits.
    pub(super) fn committed(&self, last: u8) -> u8 {
        let mut writers = 0;
        for record in &self.log[..usize::from(last)] {
            if record.exists && (1..=2).contains(&record.by) {
                writers |= record.by;
            }
        }
        writers
    }

    /// True if any version was made with the key.
    pub(super) fn keyed(&self) -> bool {
        self.log.iter().any(|record| record.keyed)
    }
}

/// The single bits of a set, lowest first.
pub(super) fn bits(set: u8) -> impl Iterator<Item = u8> {
    (0..OBJECTS)
        .map(|bit| 1 << bit)
        .filter(move |bit| set & bit != 0)
}
