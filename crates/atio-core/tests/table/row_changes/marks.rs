//! Rows that are marked as deleted: in files of several rows, each a number.

mod features;
mod later;
mod lists;
mod races;
mod refused;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use atio_core::Result;
use atio_core::format::{FileEntry, Isolation, Manifest, Reads, Version};
use atio_core::log::{
    CommitOptions, Committed, RefUpdate, RollbackTarget, RowChange, Snapshot, Table, Transaction,
};

use object_store::ObjectStoreExt;

use super::super::rows_left;
use super::{Answers, COLUMN, Does, Open, Place, Statement, create, file_of, value};

/// The files of each table here, by their numbers, with so many rows.
const A: i64 = 1;
const B: i64 = 2;
const C: i64 = 3;
const FILES: [(i64, u64); 3] = [(A, 4), (B, 2), (C, 3)];

/// Rows of a file, by its number.
type OfFile = (i64, &'static [u64]);

/// The rows of a table that nobody changed.
const ALL: [OfFile; 3] = [(A, &[0, 1, 2, 3]), (B, &[0, 1]), (C, &[0, 1, 2])];

/// A delete, update or merge: the rows that it marks, the files that it removes, adds, read for all
/// their rows, and would have selected from.
#[derive(Debug, Clone, Copy)]
struct Marking {
    does: Does,
    marks: &'static [OfFile],
    removes: &'static [i64],
    adds: &'static [i64],
    reads: &'static [i64],
    selects: &'static [i64],
    answers: Answers,
    isolation: Isolation,
}

/// Marks rows.
const fn mark(marks: &'static [OfFile]) -> Marking {
    Marking {
        does: Does::Delete,
        marks,
        removes: &[],
        adds: &[],
        reads: &[],
        selects: &[],
        answers: Answers::Never,
        isolation: Isolation::WriteSerializable,
    }
}

impl Marking {
    /// An update, which adds a file of a row for each of these.
    const fn adding(self, adds: &'static [i64]) -> Self {
        Self {
            does: Does::Update,
            adds,
            ..self
        }
    }

    const fn merging(self) -> Self {
        Self {
            does: Does::Merge,
            ..self
        }
    }

    const fn removing(self, removes: &'static [i64]) -> Self {
        Self { removes, ..self }
    }

    const fn reading(self, reads: &'static [i64]) -> Self {
        Self { reads, ..self }
    }

    const fn selecting(self, selects: &'static [i64]) -> Self {
        Self { selects, ..self }
    }

    const fn exactly(self, rows: &'static [i64]) -> Self {
        let answers = Answers::Rows(rows);
        Self { answers, ..self }
    }

    const fn serializable(self) -> Self {
        Self {
            isolation: Isolation::Serializable,
            ..self
        }
    }

    /// What it commits on `base`.
    async fn change(self, table: &Table, base: &Snapshot, txn: &Transaction) -> Result<RowChange> {
        let mut adds = Vec::new();
        for value in self.adds {
            adds.push(file_of(txn, *value).await?);
        }
        let adds = Manifest::new(base.schema.id, vec![COLUMN], adds);
        let paths = paths(table, base).await?;
        let with = |values: &[i64]| -> BTreeSet<_> {
            let paths = values.iter().map(|value| paths[value].clone());
            paths.collect()
        };
        let selects = self.selects;
        let reads = Reads {
            files: with(self.reads),
            all_files: false,
            may_select: Some(Arc::new(move |manifest: &Manifest| {
                let files = manifest.files.iter();
                files
                    .map(|file| selects.contains(&value(manifest, file)))
                    .collect()
            })),
            isolation: self.isolation,
        };
        let marks = self.marks.iter().map(|(file, rows)| {
            let rows = rows.iter().copied().collect();
            (paths[file].clone(), rows)
        });
        let removes = with(self.removes);
        let change = match self.does {
            Does::Delete => RowChange::delete(removes, adds, reads),
            Does::Update => RowChange::update(removes, adds, reads),
            Does::Merge => RowChange::merge(removes, adds, reads),
            other => panic!("{other:?}"),
        };
        let change = change.asking(self.answers.does_select());
        Ok(change.marking(marks.collect()))
    }

    /// Runs as one that was planned on `base`.
    async fn run(self, table: &Arc<Table>, base: &Arc<Snapshot>) -> Result<Committed> {
        let txn = Transaction::begin(table);
        let merges = table.prepare_merges(&txn, base).await?;
        let change = self.change(table, base, &txn).await?;
        let (base, options) = (Arc::clone(base), CommitOptions::default());
        table.commit(txn, base, change, merges, options).await
    }

    /// Runs as one that begins now.
    async fn run_now(self, table: &Arc<Table>) -> Result<Committed> {
        let base = table.newest().await?;
        self.run(table, &base).await
    }
}

/// Anything that makes a version.
#[derive(Debug, Clone, Copy)]
enum Step {
    Marks(Marking),
    /// By whole files.
    Does(Statement),
    /// Goes back to this version.
    Back(u64),
}

impl Step {
    async fn run(self, table: &Arc<Table>, base: &Arc<Snapshot>) -> Result<Committed> {
        match self {
            Step::Marks(marking) => marking.run(table, base).await,
            Step::Does(statement) => statement.run(table, base, CommitOptions::default()).await,
            Step::Back(number) => go_back(table, number).await.map(Committed::As),
        }
    }

    async fn run_now(self, table: &Arc<Table>) -> Result<Committed> {
        let base = table.newest().await?;
        self.run(table, &base).await
    }
}

fn version(number: u64) -> Version {
    Version::new(number).unwrap()
}

async fn go_back(table: &Arc<Table>, number: u64) -> Result<Version> {
    let to = RollbackTarget::Version(version(number));
    let update = RefUpdate::Rollback { to };
    let updated = table.update_refs(update, CommitOptions::default()).await?;
    Ok(updated.committed.expect("a version"))
}

/// The path of each file of a version, by the number of the file.
async fn paths(table: &Table, snapshot: &Snapshot) -> Result<BTreeMap<i64, String>> {
    let files = entries(table, snapshot).await?;
    let paths = files.into_iter().map(|(value, file)| (value, file.path));
    Ok(paths.collect())
}

async fn entries(table: &Table, snapshot: &Snapshot) -> Result<BTreeMap<i64, FileEntry>> {
    let manifests = table.manifests(snapshot).await?;
    let files = manifests.iter().flat_map(|manifest| {
        let files = manifest.files.iter();
        files.map(|file| (value(manifest, file), file.clone()))
    });
    Ok(files.collect())
}

/// The rows of a version, by the numbers of their files, all of which are there.
async fn left(table: &Table, snapshot: &Snapshot) -> BTreeMap<i64, Vec<u64>> {
    let mut left = rows_left(table, snapshot).await.unwrap();
    let mut rows = BTreeMap::new();
    for (value, path) in paths(table, snapshot).await.unwrap() {
        let key = table.data_key(&path).unwrap();
        table.store().head(&key).await.unwrap();
        rows.insert(value, left.remove(&path).unwrap());
    }
    assert!(left.is_empty(), "{left:?}");
    rows
}

async fn left_now(table: &Table) -> BTreeMap<i64, Vec<u64>> {
    left(table, &table.newest().await.unwrap()).await
}

/// These rows, as [`left`] gives them.
fn of(rows: &[OfFile]) -> BTreeMap<i64, Vec<u64>> {
    let rows = rows.iter().map(|(file, rows)| (*file, rows.to_vec()));
    rows.collect()
}

impl Place {
    /// A table: version 1 adds the files A and B, and version 2 the file C.
    async fn of_files(&self, name: &str) -> Open {
        let open = self.place(name);
        let table = open();
        create(&table).await;
        for files in [&FILES[..2], &FILES[2..]] {
            add(&table, files).await.unwrap();
        }
        open
    }
}

/// Adds these files, of so many rows each.
async fn add(table: &Arc<Table>, files: &[(i64, u64)]) -> Result<Committed> {
    let (base, txn) = (table.newest().await?, Transaction::begin(table));
    let mut adds = Vec::new();
    for (value, rows) in files {
        adds.push(FileEntry {
            rows: Some(*rows),
            ..file_of(&txn, *value).await?
        });
    }
    let change = RowChange::append(base.schema.id, vec![COLUMN], adds);
    let options = CommitOptions::default();
    table.commit(txn, base, change, Vec::new(), options).await
}
