//! Making a table: version 0, which is empty.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::datatypes::Schema;
use chrono::Utc;
use uuid::Uuid;

use crate::error::{Error, Result};
use crate::format::intent::Intent;
use crate::format::record::Features;
use crate::format::schema::FieldIds;
use crate::format::snapshot::{SchemaRef, State};
use crate::format::{
    Changes, CommitRecord, FORMAT_VERSION, ObjectRef, Operation, Record, TableSchema, Totals,
    Version, layout,
};
use crate::lock::lock;
use crate::log::commit::engine::{self, On, Planned, Statement};
use crate::log::commit::options::CommitOptions;
use crate::log::commit::record::RecordedChange;
use crate::log::commit::transaction::Transaction;
use crate::log::read::locate::{self, Found};
use crate::log::table::Table;

/// What a new table is to be like.
#[derive(Debug)]
pub struct NewTable {
    /// Its columns; field metadata is kept, field ids are given anew.
    pub schema: Arc<Schema>,
    /// Options as the snapshot keeps them.
    pub options: BTreeMap<String, String>,
    /// What its first version carries.
    pub commit: CommitOptions,
}

/// A table that is being made.
struct Creation<'a> {
    new: &'a NewTable,
    schema: TableSchema,
    next_field_id: i32,
    /// The end of the table that was here before, where its log had to stay.
    below: Option<CommitRecord>,
}

impl Statement for Creation<'_> {
    fn intent(&self) -> Intent {
        Intent::of(&Operation::Create)
    }

    async fn plan(&mut self, on: On<'_>) -> Result<Option<Planned>> {
        Ok(Some(on.table.plan_creation(on.txn, self).await?))
    }
}

impl Table {
    /// Creates the table; of several that try at once, one wins and the others fail with
    /// [`ErrorKind::TableExists`](crate::ErrorKind::TableExists).
    ///
    /// Fails if the place holds anything that is not of an atio table. Where a table was
    /// dropped whose log had to stay, the numbers go on from there.
    pub async fn create(&self, new: &NewTable) -> Result<()> {
        new.commit.check_one_version("CREATE TABLE")?;
        new.commit.check_no_query("CREATE TABLE")?;
        new.commit.check_no_checks("CREATE TABLE")?;
        let mut ids = FieldIds { next: 1 };
        let schema = TableSchema::from_arrow(1, &new.schema, &mut ids)
            .map_err(|error| error.context(format!("cannot create table '{}'", self.name())))?;
        let below = match locate::newest(&self.objects).await? {
            Some(newest) => Some(self.dropped(newest)?),
            None => None,
        };
        self.check_nothing_else_is_here().await?;
        self.check_outside_of_tables().await?;
        self.objects.make_folders().await?;
        let txn = Transaction::begin(self);
        let mut creation = Creation {
            new,
            schema,
            next_field_id: ids.next,
            below,
        };
        let created = engine::commit(self, &txn, None, &mut creation).await;
        txn.end(&created).await;
        created.map(drop)
    }

    async fn plan_creation(&self, txn: &Transaction, creation: &Creation<'_>) -> Result<Planned> {
        let Creation {
            new,
            schema,
            next_field_id,
            below,
        } = creation;
        let schema_path = layout::schema(txn.id(), txn.seq());
        let schema_bytes = schema.to_bytes()?;
        let state = State {
            manifests: Vec::new(),
            schema: SchemaRef {
                id: schema.id,
                object: ObjectRef::of(schema_path.clone(), &schema_bytes),
            },
            next_field_id: *next_field_id,
            totals: Totals::default(),
            apps: BTreeMap::new(),
            options: new.options.clone(),
        };
        let at_us = Utc::now().timestamp_micros().max(
            below
                .as_ref()
                .map_or(0, |below| below.committed_at_us.saturating_add(1)),
        );
        let bytes = state.to_bytes(at_us)?;
        let path = layout::snapshot(at_us / 1000, txn.id(), 0);
        let snapshot = ObjectRef::of(path.clone(), &bytes);
        futures::try_join!(
            txn.stage(schema_path, schema_bytes.into()),
            txn.stage(path.clone(), bytes.into()),
        )?;
        self.cache
            .keep_schema(&state.schema.object, Arc::new(schema.clone()));
        *lock(&self.staged) = Some((snapshot.clone(), state.clone()));
        let mut record = self.first_record(txn, at_us, snapshot, below.as_ref())?;
        record.message = new.commit.message.clone();
        record.properties = new.commit.properties.clone();
        record.key = new.commit.idempotency_key.clone();
        record
            .snapshot_filename
            .take_if(|_| !state.python_may_read(schema));
        Ok(Planned::alone(record, txn.id()))
    }

    fn first_record(
        &self,
        txn: &Transaction,
        at_us: i64,
        snapshot: ObjectRef,
        below: Option<&CommitRecord>,
    ) -> Result<CommitRecord> {
        let recorded = RecordedChange::same_state(Operation::Create);
        let mut record = CommitRecord {
            version_id: Version::ZERO,
            snapshot_filename: Some(snapshot.path.clone()),
            format_version: FORMAT_VERSION,
            features: Features::default(),
            table: Uuid::now_v7(),
            txn: txn.id(),
            previous: None,
            parent: None,
            committed_at_us: at_us,
            operation: recorded.operation,
            snapshot: Some(snapshot),
            refs: None,
            last_expire: None,
            changes: Changes::default(),
            added: recorded.added,
            removed: recorded.removed,
            message: None,
            properties: BTreeMap::new(),
            key: None,
            writer: crate::log::commit::record::WRITER.to_owned(),
            expired: Vec::new(),
            revoked: Vec::new(),
        };
        if let Some(below) = below {
            record.version_id = below.version_id.next()?;
            record.last_expire = below.last_expire;
            record.previous = Some(below.as_previous()?);
        }
        Ok(record)
    }

    /// The record of `newest` if that dropped the table; otherwise the table exists.
    fn dropped(&self, newest: Found) -> Result<CommitRecord> {
        let (newest, ..) = newest.parse().map_err(|error| self.explain(error))?;
        match newest.record {
            Record::Live(record) if record.operation == Operation::Drop => Ok(*record),
            _ => Err(self.exists()),
        }
    }

    async fn check_nothing_else_is_here(&self) -> Result<()> {
        match self.foreign().await? {
            None => Ok(()),
            Some(foreign) => Err(Error::invalid(format!(
                "{} is not empty and not an atio table (it holds '{}'): choose a directory that is new or empty",
                self.location(),
                foreign.escape_debug()
            ))),
        }
    }

    /// Fails if the directory holds anything that atio did not make.
    pub async fn check_only_ours(&self) -> Result<()> {
        match self.foreign().await? {
            None => Ok(()),
            Some(foreign) => Err(Error::invalid(format!(
                "table '{}' is not dropped: its directory holds '{}', which atio did not make; move it away first",
                self.name(),
                foreign.escape_debug()
            ))),
        }
    }

    /// The first thing in the directory that atio did not make; None if there is none.
    pub async fn foreign(&self) -> Result<Option<String>> {
        let folders = [layout::DATA, layout::METADATA, layout::STAGING];
        let (objects, found) = self.objects.top().await?;
        let ours = |name: &String| name == layout::POINTER || name == layout::SUCCESS;
        let foreign = objects.into_iter().find(|name| !ours(name));
        let foreign = foreign.or(found
            .into_iter()
            .find(|name| !folders.contains(&name.as_str())));
        if foreign.is_some() {
            return Ok(foreign);
        }
        for folder in folders {
            let listed = self.objects.list(folder).await?;
            let mut paths = listed.into_iter().map(|object| object.path);
            let ours = |path: &str| {
                layout::is_reserve(path)
                    || layout::is_of_store(path)
                    || layout::parse(path).is_some()
            };
            if let Some(foreign) = paths.find(|path| !ours(path)) {
                return Ok(Some(foreign));
            }
        }
        Ok(None)
    }
}
