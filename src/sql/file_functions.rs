//! The table functions about files that COPY writes.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use atio_core::storage::blocking;
use datafusion::arrow::array::{BooleanArray, StringArray, UInt64Array};
use datafusion::arrow::datatypes::{DataType, Field, Schema};
use datafusion::arrow::record_batch::RecordBatch;
use datafusion::catalog::TableProvider;
use datafusion::error::Result;
use datafusion::execution::runtime_env::RuntimeEnv;

use super::arguments::Arguments;
use super::policy::{Access, AtioPolicy};
use super::target::CopyTarget;
use crate::error::{Error, ErrorKind, Result as AtioResult};
use crate::file::{self, Leftover};
use crate::function_table::{Call, provider};

/// The functions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum FileFunction {
    Restore,
    Clean,
}

impl FileFunction {
    pub(super) const ALL: [Self; 2] = [Self::Restore, Self::Clean];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Restore => "atio_restore",
            Self::Clean => "atio_clean",
        }
    }

    /// The parameters, in the order of positional arguments.
    pub(super) fn parameters(self) -> &'static [&'static str] {
        match self {
            Self::Restore => &["path"],
            Self::Clean => &["directory", "dry_run"],
        }
    }

    /// The provider of the rows that a call gives. Changes nothing.
    pub(super) fn provider(
        self,
        arguments: &Arguments,
        policy: &AtioPolicy,
        runtime: &Arc<RuntimeEnv>,
    ) -> Result<Arc<dyn TableProvider>> {
        match self {
            Self::Restore => restore(arguments, policy, runtime),
            Self::Clean => clean(arguments, policy),
        }
    }
}

fn restore(
    arguments: &Arguments,
    policy: &AtioPolicy,
    runtime: &Arc<RuntimeEnv>,
) -> Result<Arc<dyn TableProvider>> {
    let path = arguments.needed_text("path", "/data/users.csv")?;
    let target = CopyTarget::parse(path)?;
    target.check(policy, Access::Write)?;
    let schema = Arc::new(Schema::new(vec![
        Field::new("path", DataType::Utf8, false),
        Field::new("has_backup", DataType::Boolean, false),
    ]));
    let (rows_schema, runtime) = (Arc::clone(&schema), Arc::clone(runtime));
    let policy = Arc::new(policy.clone());
    provider(
        Call::writing(FileFunction::Restore.name()),
        schema,
        move |_| {
            let (schema, target) = (Arc::clone(&rows_schema), target.clone());
            let (runtime, policy) = (Arc::clone(&runtime), Arc::clone(&policy));
            Box::pin(async move {
                let swapped = file::restore(&target.open(&runtime, &policy)?).await?;
                let columns: Vec<Arc<dyn datafusion::arrow::array::Array>> = vec![
                    Arc::new(StringArray::from(vec![target.shown()])),
                    Arc::new(BooleanArray::from(vec![swapped])),
                ];
                batch(RecordBatch::try_new(schema, columns))
            })
        },
    )
}

fn clean(arguments: &Arguments, policy: &AtioPolicy) -> Result<Arc<dyn TableProvider>> {
    let text = arguments.needed_text("directory", "/data")?;
    let dry_run = arguments.flag("dry_run", false)?;
    let folder = local(text)?;
    let access = if dry_run { Access::Read } else { Access::Write };
    policy.check_path(&folder, access)?;
    let policy = policy.clone();
    let schema = Arc::new(Schema::new(vec![
        Field::new("path", DataType::Utf8, false),
        Field::new("bytes", DataType::UInt64, false),
        Field::new("removed", DataType::Boolean, false),
    ]));
    let rows_schema = Arc::clone(&schema);
    let call = Call {
        name: FileFunction::Clean.name(),
        writes: !dry_run,
    };
    provider(call, schema, move |_| {
        let (schema, folder) = (Arc::clone(&rows_schema), folder.clone());
        let policy = policy.clone();
        Box::pin(async move {
            // Where the policy forbids it nothing was staged beside the directory.
            let may_look = move |above: &Path| policy.check_path(above, access).is_ok();
            let left = clean_folder(folder, may_look, dry_run).await?;
            let paths = left.iter().map(|left| left.path.display().to_string());
            let columns: Vec<Arc<dyn datafusion::arrow::array::Array>> = vec![
                Arc::new(StringArray::from_iter_values(paths)),
                Arc::new(UInt64Array::from_iter_values(
                    left.iter().map(|left| left.bytes),
                )),
                Arc::new(
                    left.iter()
                        .map(|left| Some(left.removed))
                        .collect::<BooleanArray>(),
                ),
            ];
            batch(RecordBatch::try_new(schema, columns))
        })
    })
}

/// The directory that a text names; fails for a place on an object store.
pub(super) fn local(text: &str) -> AtioResult<PathBuf> {
    match CopyTarget::parse(text)? {
        CopyTarget::Local(path) => Ok(path),
        CopyTarget::Store(location) => Err(Error::unsupported(format!(
            "{} is on an object store, where a writer that died leaves nothing to see: its unfinished uploads are removed by a rule of the store's own",
            location.shown()
        ))),
    }
}

pub(super) async fn clean_folder(
    folder: PathBuf,
    may_look: impl Fn(&Path) -> bool + Send + 'static,
    dry_run: bool,
) -> AtioResult<Vec<Leftover>> {
    let cleaned = blocking(move || Ok(file::clean(&folder, may_look, dry_run))).await;
    cleaned.unwrap_or_else(|error| {
        Err(Error::new(ErrorKind::Storage, "cleaning up was cut off").with_source(error))
    })
}

fn batch(
    batch: Result<RecordBatch, datafusion::arrow::error::ArrowError>,
) -> AtioResult<RecordBatch> {
    batch.map_err(|error| Error::invalid("a result cannot be shown").with_source(error))
}
