//! Deletes, updates, merges and truncations: each data file here holds one row, a number.

mod compactions;
mod later;
mod lists;
mod marks;
mod python;
mod questions;
mod races;

use std::collections::BTreeSet;
use std::sync::Arc;

use atio_core::format::stats::{Bound, ColumnStats, Value};
use atio_core::format::{CommitRecord, FileEntry, Isolation, Manifest, Reads, Record};
use atio_core::log::{
    CommitOptions, Committed, DoesSelect, RowChange, Snapshot, Table, Transaction,
};
use atio_core::{Error, Result};
use futures::TryStreamExt;
use object_store::memory::InMemory;
use object_store::{ObjectStore, ObjectStoreExt};

use super::{create, file, on_disk, on_store};

/// The id of the column.
const COLUMN: i32 = 1;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Does {
    Append,
    Overwrite,
    Delete,
    Update,
    Merge,
    Truncate,
    Compact,
}

/// What a statement says that is asked for its rows, because statistics do not tell.
#[derive(Debug, Clone, Copy)]
enum Answers {
    /// It is not to be asked.
    Never,
    /// It would have selected these rows.
    Rows(&'static [i64]),
    /// It cannot tell.
    Fails,
}

impl Answers {
    fn does_select(self) -> Option<DoesSelect> {
        let rows = match self {
            Answers::Never => return None,
            Answers::Rows(rows) => Some(rows),
            Answers::Fails => None,
        };
        Some(DoesSelect::new(move |manifests: Vec<Manifest>| {
            let files = manifests
                .iter()
                .flat_map(|of| of.files.iter().map(move |file| value(of, file)));
            let selects = rows.map(|rows| files.into_iter().any(|value| rows.contains(&value)));
            let answer = selects.ok_or_else(|| Error::invalid("nobody knows"));
            Box::pin(std::future::ready(answer))
        }))
    }
}

/// A statement: the rows that it removes, adds, and looks for, by what statistics tell.
#[derive(Debug, Clone, Copy)]
struct Statement {
    does: Does,
    removes: &'static [i64],
    adds: &'static [i64],
    selects: &'static [i64],
    answers: Answers,
    isolation: Isolation,
}

impl Statement {
    const fn new(does: Does, removes: &'static [i64], adds: &'static [i64]) -> Self {
        Self {
            does,
            removes,
            adds,
            selects: removes,
            answers: Answers::Never,
            isolation: Isolation::WriteSerializable,
        }
    }

    const fn selecting(self, selects: &'static [i64]) -> Self {
        Self { selects, ..self }
    }

    /// Of what statistics do not tell it selects these.
    const fn exactly(self, rows: &'static [i64]) -> Self {
        let answers = Answers::Rows(rows);
        Self { answers, ..self }
    }

    const fn failing(self) -> Self {
        let answers = Answers::Fails;
        Self { answers, ..self }
    }

    const fn serializable(self) -> Self {
        Self {
            isolation: Isolation::Serializable,
            ..self
        }
    }

    /// Runs as one that was planned on `base`.
    async fn run(
        self,
        table: &Arc<Table>,
        base: &Arc<Snapshot>,
        options: CommitOptions,
    ) -> Result<Committed> {
        let txn = Transaction::begin(table);
        let merges = table.prepare_merges(&txn, base).await?;
        let listed = table.manifests(base).await?;
        let has = |wanted: i64| {
            let mut files = listed
                .iter()
                .flat_map(|of| of.files.iter().map(|file| value(of, file)));
            files.any(|found| found == wanted)
        };
        let mut adds = Vec::new();
        for value in self.adds {
            // A compaction has the rows that are there.
            if self.does != Does::Compact || has(*value) {
                adds.push(file_of(&txn, *value).await?);
            }
        }
        let adds = Manifest::new(base.schema.id, vec![COLUMN], adds);
        let with = |values: &[i64]| -> BTreeSet<String> {
            let files = listed.iter().flat_map(|manifest| {
                let files = manifest.files.iter();
                files.filter(|file| values.contains(&value(manifest, file)))
            });
            files.map(|file| file.path.clone()).collect()
        };
        let selects = self.selects;
        let reads = Reads {
            files: with(selects),
            all_files: false,
            may_select: Some(Arc::new(move |manifest: &Manifest| {
                let files = manifest.files.iter();
                files
                    .map(|file| selects.contains(&value(manifest, file)))
                    .collect()
            })),
            isolation: self.isolation,
        };
        let removes = with(self.removes);
        let change = match self.does {
            Does::Append => {
                RowChange::append(adds.schema, adds.stats_ids, adds.files).reading(reads)
            }
            Does::Overwrite => RowChange::overwrite(adds.schema, adds.stats_ids, adds.files),
            Does::Delete => RowChange::delete(removes, adds, reads),
            Does::Update => RowChange::update(removes, adds, reads),
            Does::Merge => RowChange::merge(removes, adds, reads),
            Does::Truncate => RowChange::truncate(),
            Does::Compact => RowChange::compact(removes, adds),
        };
        let change = change.asking(self.answers.does_select());
        let base = Arc::clone(base);
        table.commit(txn, base, change, merges, options).await
    }

    /// Runs as one that begins now.
    async fn run_now(self, table: &Arc<Table>) -> Result<Committed> {
        let base = table.newest().await?;
        self.run(table, &base, CommitOptions::default()).await
    }
}

const fn append(adds: &'static [i64]) -> Statement {
    Statement::new(Does::Append, &[], adds)
}

const fn overwrite(adds: &'static [i64]) -> Statement {
    Statement::new(Does::Overwrite, &[], adds)
}

const fn delete(removes: &'static [i64]) -> Statement {
    Statement::new(Does::Delete, removes, &[])
}

const fn update(removes: &'static [i64], adds: &'static [i64]) -> Statement {
    Statement::new(Does::Update, removes, adds)
}

const fn merge(removes: &'static [i64], adds: &'static [i64]) -> Statement {
    Statement::new(Does::Merge, removes, adds)
}

/// Writes these rows into other files.
const fn compact(rows: &'static [i64]) -> Statement {
    Statement::new(Does::Compact, rows, rows).selecting(&[])
}

const TRUNCATE: Statement = Statement::new(Does::Truncate, &[], &[]);

async fn file_of(txn: &Transaction, value: i64) -> Result<FileEntry> {
    let bound = || {
        Some(Bound {
            value: Value::Int(value.into()),
            cut: false,
        })
    };
    Ok(FileEntry {
        stats: vec![ColumnStats {
            nulls: Some(0),
            min: bound(),
            max: bound(),
            nan: false,
        }],
        ..file(txn).await?
    })
}

/// The row of a file.
fn value(manifest: &Manifest, file: &FileEntry) -> i64 {
    let stats = manifest.stats_of(file, COLUMN).expect("statistics");
    match stats.min.as_ref().map(|bound| &bound.value) {
        Some(Value::Int(value)) => i64::try_from(*value).unwrap(),
        other => panic!("{other:?}"),
    }
}

/// The rows of a version, in order, of which each file is there.
async fn values(table: &Table, snapshot: &Snapshot) -> Vec<i64> {
    let manifests = table.manifests(snapshot).await.unwrap();
    let mut rows = Vec::new();
    for manifest in &manifests {
        for file in &manifest.files {
            let key = table.data_key(&file.path).unwrap();
            table.store().head(&key).await.unwrap();
            rows.push(value(manifest, file));
        }
    }
    rows.sort_unstable();
    rows
}

/// The same of a version that was made here, whose files have a byte each.
async fn rows(table: &Table, snapshot: &Snapshot) -> Vec<i64> {
    let rows = values(table, snapshot).await;
    let totals = snapshot.totals();
    assert_eq!(
        (totals.files, totals.rows),
        (rows.len() as u64, totals.bytes)
    );
    rows
}

async fn newest_rows(table: &Table) -> Vec<i64> {
    rows(table, &table.newest().await.unwrap()).await
}

/// The objects of the table below a folder.
async fn objects(table: &Table, folder: &str) -> BTreeSet<String> {
    let root = table.data_key(folder).unwrap();
    let listed = table.store().list(Some(&root));
    let listed: Vec<_> = listed.try_collect().await.unwrap();
    listed
        .into_iter()
        .map(|meta| meta.location.to_string())
        .collect()
}

fn record(snapshot: &Snapshot) -> &CommitRecord {
    match &snapshot.record.record {
        Record::Live(live) => live,
        other => panic!("{other:?}"),
    }
}

/// Gives every check a place for tables: a store in memory, and a local disk.
async fn on_both<F: Future<Output = ()>>(check: impl Fn(Place) -> F) {
    check(Place::Memory).await;
    let directory = Arc::new(tempfile::tempdir().unwrap());
    check(Place::Disk(Arc::clone(&directory))).await;
}

#[derive(Clone)]
enum Place {
    Memory,
    Disk(Arc<tempfile::TempDir>),
}

/// Opens a table anew, each time as another process does.
type Open = Box<dyn Fn() -> Arc<Table>>;

impl Place {
    /// Where there is no table.
    fn place(&self, name: &str) -> Open {
        match self {
            Place::Memory => {
                let store = Arc::new(InMemory::new());
                Box::new(move || on_store(&store))
            }
            Place::Disk(directory) => {
                let directory = directory.path().join(name);
                Box::new(move || on_disk(&directory))
            }
        }
    }

    /// A table: version 1 adds the rows 1, 2 and 3, and version 2 the row 4.
    async fn table(&self, name: &str) -> Open {
        let open = self.place(name);
        let table = open();
        create(&table).await;
        append(&[1, 2, 3]).run_now(&table).await.unwrap();
        append(&[4]).run_now(&table).await.unwrap();
        open
    }
}
