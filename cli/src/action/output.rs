//! Where rows go.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use atio::{AtioTable, CommitOptions, CreateOptions, Existing, OverwriteOptions, WriteOptions};
use datafusion::arrow::array::AsArray;
use datafusion::arrow::datatypes::{Field, Schema, UInt64Type};
use datafusion::catalog::{MemTable, TableProvider};
use datafusion::common::{TableReference, plan_err};
use datafusion::dataframe::DataFrame;
use datafusion::datasource::file_format::format_as_file_type;
use datafusion::datasource::listing::ListingTableUrl;
use datafusion::error::Result;
use datafusion::logical_expr::LogicalPlan;
use datafusion::logical_expr::dml::CopyTo;
use datafusion::object_store::ObjectStoreExt;
use futures::StreamExt;

use super::columns::by_name;
use super::format::Format;
use super::input::{self, Input, find_table};
use super::wishes::{IfExists, NO_MARKER, Wishes};
use crate::failure::Failure;
use crate::session::Session;

/// A place for rows.
pub(super) struct Output {
    location: String,
    kind: Kind,
}

enum Kind {
    File(Format),
    Table,
    Database(Format),
}

impl Output {
    /// Finds out what `text` names, and whether the wishes can be met there. Changes nothing.
    pub(super) async fn find(
        session: &Session,
        text: &str,
        format: Option<Format>,
        wishes: &Wishes<'_>,
    ) -> std::result::Result<Self, Failure> {
        if text == input::STDIN {
            return Err(Failure::usage(
                "rows are written to a file or a table, which is there completely or not at all; for standard output there is SQL: atio -q --format csv -c \"SELECT ..\"",
            ));
        }
        let guessed = match format {
            Some(format) => Some(format),
            None => input::guess(text)?,
        };
        let (kind, location) = match guessed {
            None | Some(Format::Table) => (Kind::Table, session.table(text).await?),
            Some(Format::Avro) => {
                return Err(Failure::usage(
                    "Avro is read and not written: choose another format",
                ));
            }
            Some(format) if format.is_database() => (Kind::Database(format), text.to_owned()),
            Some(format) => {
                session.output(text).await?;
                (Kind::File(format), text.to_owned())
            }
        };
        let unfit = match (&kind, wishes) {
            (Kind::File(_) | Kind::Database(_), Wishes { create: true, .. }) => {
                Some("--create is for atio tables; everything else is made if it is missing")
            }
            (
                Kind::File(_) | Kind::Database(_),
                Wishes {
                    message: Some(_), ..
                },
            ) => Some("--message is for atio tables; nothing else has a history"),
            (Kind::File(_) | Kind::Database(_), Wishes { retries: 1.., .. }) => {
                Some("--retries is for atio tables; nothing else knows conflicts")
            }
            (Kind::Table, Wishes { backup: true, .. }) => {
                Some("--backup is for files; an atio table keeps its versions anyway")
            }
            (Kind::Database(_), Wishes { backup: true, .. }) => {
                Some("--backup is for files; a database has backups of its own")
            }
            (
                Kind::Table | Kind::Database(_),
                Wishes {
                    marker: Some(_), ..
                },
            ) => Some("--marker is for files"),
            (
                Kind::File(_),
                Wishes {
                    marker: Some("true" | "false" | "yes" | "no" | "on" | "off"),
                    ..
                },
            ) => Some("--marker is a path, or 'none'"),
            (
                Kind::File(_),
                Wishes {
                    if_exists: Some(IfExists::Append),
                    ..
                },
            ) => Some("rows are appended to tables, not to files: a file is replaced as a whole"),
            (
                Kind::Database(_),
                Wishes {
                    if_exists: Some(IfExists::Skip),
                    ..
                },
            ) => Some("--if-exists skip is for files and atio tables"),
            _ => None,
        };
        match unfit {
            Some(unfit) => Err(Failure::usage(unfit)),
            None => Ok(Self { location, kind }),
        }
    }

    /// Writes the rows; returns how many, or None if what was there is to stay.
    pub(super) async fn write(
        &self,
        session: &Session,
        input: Input,
        wishes: &Wishes<'_>,
    ) -> std::result::Result<Option<u64>, Failure> {
        match self.kind {
            Kind::File(format) => {
                let rows = input.rows(session, None).await?;
                self.write_file(session, rows, format, wishes).await
            }
            Kind::Table => self.write_table(session, &input, wishes).await,
            Kind::Database(format) => {
                let rows = input.rows(session, None).await?;
                Ok(Some(self.write_database(rows, format, wishes).await?))
            }
        }
    }

    async fn write_file(
        &self,
        session: &Session,
        rows: DataFrame,
        format: Format,
        wishes: &Wishes<'_>,
    ) -> std::result::Result<Option<u64>, Failure> {
        let options = WriteOptions {
            format: Some(format.stored_as().to_owned()),
            format_options: format.options_to_write(&self.location),
            if_exists: match wishes.if_exists {
                Some(IfExists::Replace) => Some(Existing::Replace),
                Some(IfExists::Fail) => Some(Existing::Fail),
                Some(IfExists::Skip) => Some(Existing::Skip),
                Some(IfExists::Append) | None => None,
            },
            backup: wishes.backup,
            marker: wishes.marker != Some(NO_MARKER),
            marker_path: wishes.marker.map(PathBuf::from),
            // A name without an ending is one, too, if it is said to be a file.
            single_file: Some(!self.location.ends_with('/')),
            ..WriteOptions::default()
        };
        let may_stay = wishes.if_exists == Some(IfExists::Skip) && self.is_there(session).await?;
        match atio::write(rows, &self.location, options).await? {
            0 if may_stay => Ok(None),
            rows => Ok(Some(rows)),
        }
    }

    /// True if there is a file, or a directory with one. What cannot be asked fails to be
    /// written, too, and says why.
    async fn is_there(&self, session: &Session) -> Result<bool> {
        if !self.location.contains("://") {
            return Ok(Path::new(&self.location).exists());
        }
        let url = ListingTableUrl::parse(&self.location)?;
        let store = session.ctx.runtime_env().object_store(&url)?;
        Ok(match url.is_collection() {
            true => store.list(Some(url.prefix())).next().await.is_some(),
            false => store.head(url.prefix()).await.is_ok(),
        })
    }

    async fn write_database(
        &self,
        rows: DataFrame,
        format: Format,
        wishes: &Wishes<'_>,
    ) -> Result<u64> {
        let if_exists = match wishes.if_exists {
            Some(IfExists::Append) => "append",
            Some(IfExists::Replace) => "replace",
            _ => "fail",
        };
        let (state, plan) = rows.into_parts();
        let stored_as = format.stored_as();
        let Some(factory) = state.get_file_format_factory(stored_as) else {
            return plan_err!("{stored_as} cannot be written in this session");
        };
        let copy = CopyTo::new(
            Arc::new(plan),
            self.location.clone(),
            Vec::new(),
            format_as_file_type(factory),
            [("if_exists".to_owned(), if_exists.to_owned())].into(),
        );
        count(DataFrame::new(state, LogicalPlan::Copy(copy))).await
    }

    async fn write_table(
        &self,
        session: &Session,
        input: &Input,
        wishes: &Wishes<'_>,
    ) -> std::result::Result<Option<u64>, Failure> {
        session.show_bars();
        let found = find_table(session, &self.location).await?;
        let (table, made) = match (found, wishes.if_exists) {
            (Some(_), Some(IfExists::Skip)) => return Ok(None),
            (Some(_), Some(IfExists::Fail)) => {
                return Err(Failure::new(format!(
                    "there is a table {} already: --if-exists append adds to it, \
                     --if-exists replace puts a version with the new rows alone on top",
                    self.location
                )));
            }
            (Some(table), _) => (table, false),
            (None, _) if wishes.create => {
                let rows = input.rows(session, None).await?;
                (self.make(session, rows.schema().as_arrow()).await?, true)
            }
            (None, _) => {
                return Err(Failure::new(format!(
                    "there is no table {}: --create makes it with the columns of what is read; \
                     if it is to be a file, say which, as in --to csv",
                    self.location
                )));
            }
        };
        let written = self.fill(session, input, wishes, table).await;
        match written {
            Ok(rows) => Ok(Some(rows)),
            Err(error) if made => Err(error.at(format_args!(
                "the table {} was made and is empty",
                self.location
            ))),
            Err(error) => Err(error),
        }
    }

    /// Writes the rows into the table, which is there.
    async fn fill(
        &self,
        session: &Session,
        input: &Input,
        wishes: &Wishes<'_>,
        table: AtioTable,
    ) -> std::result::Result<u64, Failure> {
        let rows = input.rows(session, Some(&table.schema())).await?;
        let rows = by_name(rows, &table.schema())?;
        let commit = CommitOptions {
            message: wishes.message.map(str::to_owned),
            retries: wishes.retries,
            ..CommitOptions::default()
        };
        let written = match wishes.if_exists {
            Some(IfExists::Replace) => {
                let options = OverwriteOptions {
                    commit,
                    ..OverwriteOptions::default()
                };
                table.overwrite(rows, options).await
            }
            _ => table.append(rows, commit).await,
        };
        Ok(written?.rows)
    }

    /// Makes the table, which has no rows then.
    async fn make(&self, session: &Session, columns: &Schema) -> Result<AtioTable> {
        // What is read may be without gaps by chance, and the next file not.
        let fields = columns
            .fields()
            .iter()
            .map(|field| Field::clone(field).with_nullable(true));
        let columns = Schema::new(fields.collect::<Vec<_>>());
        if !session.names_table(&self.location) {
            let options = CreateOptions::default();
            let made = AtioTable::create(&session.ctx, &self.location, &columns, options);
            return Ok(made.await?);
        }
        let name = TableReference::parse_str(&self.location);
        let empty = MemTable::try_new(Arc::new(columns), vec![vec![]])?;
        session.ctx.register_table(name, Arc::new(empty))?;
        match find_table(session, &self.location).await? {
            Some(table) => Ok(table),
            None => plan_err!("there is no table {}, and it cannot be made", self.location),
        }
    }
}

/// Runs a write; returns the number of its rows.
async fn count(write: DataFrame) -> Result<u64> {
    let batches = write.collect().await?;
    let counts = batches.iter().filter_map(|batch| {
        batch
            .columns()
            .first()?
            .as_primitive_opt::<UInt64Type>()
            .map(|counts| counts.iter().flatten().sum::<u64>())
    });
    Ok(counts.sum())
}
