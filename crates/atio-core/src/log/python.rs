//! Tables that Python atio 2.0 wrote: reading them as they are, and taking them over.
//!
//! Python's metadata has no schema, sizes, row counts or statistics; the footers of its
//! data files tell them. The first commit of atio writes them down, once.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::datatypes::{Field, Schema, SchemaRef as ArrowSchema};
use futures::{StreamExt, TryStreamExt};
use uuid::Uuid;

use crate::error::{Error, Result};
use crate::format::python_snapshot::PythonSnapshot;
use crate::format::record::{StoredRecord, foreign_write};
use crate::format::schema::FieldIds;
use crate::format::snapshot::{COMPATIBILITY, FORMAT_1, SchemaRef, State};
use crate::format::{
    FileEntry, Manifest, ManifestRef, ObjectRef, PythonRecord, Record, TableSchema, Totals,
    Version, layout, pointer,
};
use crate::log::commit::merge::stage_manifest;
use crate::log::commit::transaction::Transaction;
use crate::log::read::footer::{Footer, stats_columns};
use crate::log::read::snapshot::Snapshot;
use crate::log::table::Table;

/// The schema id of everything that Python wrote with the columns of the version.
const SCHEMA_ID: u32 = 1;
/// The schema id of files whose columns differ from it; no schema file has it.
const OTHER_SCHEMA_ID: u32 = 0;
/// About the cap of a manifest's size.
const FILES_PER_MANIFEST: usize = 7000;

/// Loads a version that Python wrote.
pub(in crate::log) async fn load(
    table: &Table,
    version: Version,
    python: &PythonRecord,
    record: &StoredRecord,
) -> Result<Arc<Snapshot>> {
    check_below(table, version).await?;
    let snapshot = read_snapshot(table, &python.snapshot).await?;
    let mut entries = Vec::new();
    for path in &snapshot.manifests {
        let bytes = table.objects.get_named(path).await?;
        entries.extend(Manifest::parse(path, &bytes, true)?.files);
    }
    let reads: Vec<_> = entries
        .into_iter()
        .map(|entry| read_file(table, entry))
        .collect();
    let files: Vec<_> = futures::stream::iter(reads)
        .buffered(32)
        .try_collect()
        .await?;
    let arrow = union(&files)?;
    let mut ids = FieldIds { next: 1 };
    let schema = TableSchema::from_python(SCHEMA_ID, &arrow, &mut ids)?;
    let manifests = fill(&files, &schema)?;
    let totals = manifests
        .iter()
        .try_fold(Totals::default(), |sum, manifest| {
            sum.plus(manifest.totals()?)
        })?;
    // A placeholder: the schema file is written when atio first commits.
    let object = ObjectRef::of(String::new(), b"");
    Ok(Arc::new(Snapshot {
        version,
        record: record.clone(),
        arrow: schema.to_arrow()?,
        schema: Arc::new(schema),
        state: State {
            manifests: Vec::new(),
            schema: SchemaRef {
                id: SCHEMA_ID,
                object,
            },
            next_field_id: ids.next,
            totals,
            apps: BTreeMap::new(),
            // Its Python programs go on reading it.
            options: [(COMPATIBILITY.to_owned(), FORMAT_1.to_owned())].into(),
        },
        table: Uuid::nil(),
        committed_at_us: table.committed_at_us(version).await?,
        python: Some(manifests.into_iter().map(Arc::new).collect()),
        expired: Arc::new([]),
    }))
}

/// The times of the versions up to `last` that Python wrote: for each the latest of all
/// snapshots up to it (C11). A version whose snapshot is lost has none.
pub(in crate::log) async fn times(table: &Table, last: Version) -> Result<BTreeMap<Version, i64>> {
    let versions = table.versions(last).await?;
    let read = futures::stream::iter(versions).map(|version| async move {
        let time = match table.record(version).await?.record {
            Record::Python(python) => read_snapshot(table, &python.snapshot).await?.at_us,
            Record::Live(record) => record.committed_at_us,
            Record::Tombstone(tombstone) => tombstone.committed_at_us,
        };
        Ok::<_, Error>((version, time))
    });
    let read: Vec<_> = read.buffered(32).collect().await;
    let mut latest = i64::MIN;
    let times = read.into_iter().flatten().map(|(version, time)| {
        latest = latest.max(time);
        (version, latest)
    });
    Ok(times.collect())
}

/// Like [`times`], but nothing is read where the table began with atio.
pub(in crate::log) async fn python_times(
    table: &Table,
    last: Version,
) -> Result<BTreeMap<Version, i64>> {
    match table.first_version().await? {
        Version::ZERO => Ok(BTreeMap::new()),
        _ => times(table, last).await,
    }
}

/// Stages what atio needs to go on from Python's version `base` with the state of `of`, which
/// is `base` or older; with `keep_files` its data files are listed, otherwise only the schema
/// is kept.
pub(in crate::log) async fn stage(
    txn: &Transaction,
    base: &Snapshot,
    of: &Snapshot,
    keep_files: bool,
) -> Result<State> {
    let bytes = of.schema.to_bytes()?;
    let path = layout::schema(txn.id(), txn.seq());
    let mut state = of.state.clone();
    state.schema = SchemaRef {
        id: of.schema.id,
        object: ObjectRef::of(path.clone(), &bytes),
    };
    txn.stage(path, bytes.into()).await?;
    // A pointer that is a string stops Python's writers before they write, so that none of
    // them can take the number that atio is about to commit (A2).
    let hint = pointer::pointer(base.version, Uuid::nil())?;
    txn.replace(layout::POINTER, hint.into()).await?;
    if keep_files {
        state.manifests = stage_manifests(txn, of).await?;
    }
    Ok(state)
}

/// Writes down the manifests of a version that Python wrote.
pub(in crate::log) async fn stage_manifests(
    txn: &Transaction,
    of: &Snapshot,
) -> Result<Vec<ManifestRef>> {
    let mut staged = Vec::new();
    for manifest in of.python.iter().flatten() {
        staged.push(stage_manifest(txn, manifest).await?);
    }
    Ok(staged)
}

/// Fails if atio committed any version below: Python has then overwritten it, or its work (A2).
///
/// A version below that cannot be read proves nothing.
async fn check_below(table: &Table, version: Version) -> Result<()> {
    let Some(below) = version.previous() else {
        return Ok(());
    };
    let versions = table.versions(below).await?;
    let reads = futures::stream::iter(versions).map(|below| table.record(below));
    let records: Vec<Result<StoredRecord>> = reads.buffered(32).collect().await;
    let ours = records
        .iter()
        .flatten()
        .rfind(|record| !record.record.is_python());
    match ours {
        Some(ours) => Err(foreign_write(ours.version().next()?)),
        None => Ok(()),
    }
}

async fn read_snapshot(table: &Table, path: &str) -> Result<PythonSnapshot> {
    let bytes = table.objects.get_named(path).await?;
    PythonSnapshot::parse(path, &bytes)
}

struct PythonFile {
    entry: FileEntry,
    footer: Footer,
}

async fn read_file(table: &Table, mut entry: FileEntry) -> Result<PythonFile> {
    let size = table.objects.size(&entry.path).await?;
    let size =
        size.ok_or_else(|| Error::damaged(format!("data file {} is missing", entry.path)))?;
    let footer = Footer::read(&table.objects, &entry.path, size).await?;
    entry.size = Some(size);
    entry.rows = Some(footer.rows()?);
    Ok(PythonFile { entry, footer })
}

/// The columns of all files by name, in the order they first occur; all may be null, as in
/// Python. Oldest files come last in Python's lists, and their order is the table's.
fn union(files: &[PythonFile]) -> Result<ArrowSchema> {
    let mut fields: Vec<Field> = Vec::new();
    for file in files.iter().rev() {
        for field in file.footer.schema().fields() {
            let field = Field::new(field.name(), field.data_type().clone(), true);
            match fields.iter_mut().find(|known| known.name() == field.name()) {
                None => fields.push(field),
                Some(known) if known.data_type() == field.data_type() => {}
                // A column in which a file has nothing but None is of any type.
                Some(_) if field.data_type().is_null() => {}
                Some(known) if known.data_type().is_null() => *known = field,
                Some(known) => {
                    return Err(Error::unsupported(format!(
                        "data file {} has column '{}' of type {}, but another file of the same version has {}: rewrite the table in Python with one type",
                        file.entry.path,
                        field.name(),
                        field.data_type(),
                        known.data_type()
                    )));
                }
            }
        }
    }
    if fields.is_empty() {
        return Err(Error::unsupported(
            "the table has no data file that could tell its columns",
        ));
    }
    Ok(Arc::new(Schema::new(fields)))
}

/// Manifests of `files` with everything that Python left out.
fn fill(files: &[PythonFile], schema: &TableSchema) -> Result<Vec<Manifest>> {
    let arrow = schema.to_arrow()?;
    let (ids, names) = stats_columns(schema, &arrow);
    let columns = |schema: &Schema| -> Vec<_> {
        let fields = schema.fields().iter();
        fields
            .map(|field| (field.name().clone(), field.data_type().clone()))
            .collect()
    };
    let mut manifests = Vec::new();
    for id in [SCHEMA_ID, OTHER_SCHEMA_ID] {
        let same = |file: &&PythonFile| {
            (columns(file.footer.schema()) == columns(&arrow)) == (id == SCHEMA_ID)
        };
        let entries: Vec<_> = files
            .iter()
            .filter(same)
            .map(|file| FileEntry {
                stats: file.footer.stats(&names, |_| false),
                dv: None,
                column_bytes: file.footer.column_bytes(&names),
                ..file.entry.clone()
            })
            .collect();
        for entries in entries.chunks(FILES_PER_MANIFEST) {
            manifests.push(Manifest::new(id, ids.clone(), entries.to_vec()));
        }
    }
    Ok(manifests)
}
