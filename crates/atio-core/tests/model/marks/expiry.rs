//! The expiry of all versions but the newest: a version that says so, and then the deletes.

use super::super::search::Step;
use super::{EXPIRY, Marks, Naive, Record, State, listed, named_vectors};

/// How far an expiry has come.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub(super) enum Expirer {
    #[default]
    Start,
    Ready(u8),
    /// Its version says which have expired.
    Fenced(u8),
    DeletedVectors(u8),
    DeletedFiles,
    /// Of the versions that have expired only tombstones are left.
    Done,
}

impl Marks {
    pub(super) fn expire(&self, state: &State, step: &mut Step<'_, State>) {
        let mut next = *state;
        let newest = state.newest;
        match state.expirer {
            Expirer::Start => {
                next.expirer = Expirer::Ready(newest);
                step(next, format_args!("E reads v{newest}"));
            }
            Expirer::Ready(base) if base < newest => {
                next.expirer = Expirer::Ready(newest);
                step(next, format_args!("E plans anew on v{newest}"));
            }
            Expirer::Ready(base) => {
                next.newest += 1;
                next.records[usize::from(next.newest)] = Record {
                    by: EXPIRY,
                    ..*state.record(base)
                };
                next.first = next.newest;
                next.expirer = Expirer::Fenced(next.newest);
                step(next, format_args!("E creates v{}", next.newest));
            }
            Expirer::Fenced(fence) => {
                let live = named_vectors(state.record(fence));
                let expired = (1..fence).map(|version| *state.record(version));
                let goes = match self.naive {
                    Some(Naive::ExpiresByAge) => {
                        expired
                            .map(|record| 1 << record.by)
                            .fold(0, |all, by: u8| all | by)
                            & !1
                    }
                    _ => expired.fold(0, |all, record| all | named_vectors(&record)) & !live,
                };
                next.gone_vectors |= goes;
                next.expirer = Expirer::DeletedVectors(fence);
                step(next, format_args!("E deletes vectors {goes:b}"));
            }
            Expirer::DeletedVectors(fence) => {
                let fence = state.record(fence);
                let expired = state.records[1..usize::from(state.first)].iter();
                let goes = match self.naive {
                    // A content of which the newest version has another is one that it does not need.
                    Some(Naive::ExpiresByVector) => {
                        let other = |record: &Record, file: usize| {
                            fence.lists & 1 << file == 0
                                || record.vectors[file] != fence.vectors[file]
                        };
                        let files = expired.flat_map(|record| {
                            listed(record).filter(move |file| other(record, *file))
                        });
                        files.fold(0, |all, file| all | 1 << file)
                    }
                    _ => expired.fold(0, |all, record| all | record.lists) & !fence.lists,
                };
                next.gone_files |= goes;
                next.expirer = Expirer::DeletedFiles;
                step(next, format_args!("E deletes files {goes:b}"));
            }
            Expirer::DeletedFiles => {
                next.expirer = Expirer::Done;
                step(next, format_args!("E sets tombstones"));
            }
            Expirer::Done => {}
        }
    }
}
