//! Tables that are there twice: in atio, and in memory.

#![cfg(test)]

use std::collections::HashSet;
use std::time::Duration;

use datafusion::arrow::array::AsArray;
use datafusion::arrow::compute::filter_record_batch;
use datafusion::arrow::datatypes::{Int64Type, SchemaRef};
use datafusion::arrow::record_batch::RecordBatch;
use datafusion::prelude::SessionContext;
use tokio::time::timeout;

use super::answer::{Answer, Row, Rule, difference, rows};
use super::expected;
use super::settings::{self, Setting};
use super::statements::{Source, Statement};
use super::tables::{Change, Gone, Part, Table};
use crate::session::{Place, run};

/// No query of a test takes so long; one that does waits for something.
const PATIENCE: Duration = Duration::from_secs(180);

/// Changes an answer of atio, to see that it is found out.
pub(super) type Spoil = fn(&mut Vec<Row>);

/// What is known of a table that was written.
pub(super) struct Written {
    pub(super) schema: SchemaRef,
    /// The rows that each step wrote.
    pub(super) batches: Vec<Vec<RecordBatch>>,
    /// What is there after each step.
    pub(super) there: Vec<Vec<There>>,
    /// The newest version after each step.
    versions: Vec<u64>,
}

/// Rows of a step that are there.
#[derive(Debug, Clone)]
pub(super) struct There {
    pub(super) step: usize,
    /// Without these.
    gone: Vec<Gone>,
}

impl There {
    fn all(step: usize) -> Self {
        Self {
            step,
            gone: Vec::new(),
        }
    }
}

impl Written {
    pub(super) fn rows(&self, there: &There) -> Vec<RecordBatch> {
        let batches = self.batches[there.step].iter().map(|batch| {
            let ids = batch.column(0).as_primitive::<Int64Type>();
            let is_gone = |id: i64| there.gone.iter().any(|gone| gone.has(id));
            let stays = ids.values().iter().map(|id| Some(!is_gone(*id)));
            filter_record_batch(batch, &stays.collect()).unwrap()
        });
        batches.collect()
    }
}

pub(super) struct World<'a> {
    tables: &'a [Table],
    pub(super) written: Vec<Written>,
    atio: SessionContext,
    memory: SessionContext,
    registered: HashSet<String>,
    spoil: Option<Spoil>,
    /// Rows that the answers had, so far.
    pub(super) rows: usize,
    /// Queries that go wrong over rows in memory too, with the same settings.
    pub(super) of_the_engine: Vec<String>,
}

impl<'a> World<'a> {
    /// Writes the tables.
    pub(super) async fn build(tables: &'a [Table], spoil: Option<Spoil>) -> Result<Self, String> {
        let place = Place::memory();
        let atio = place.session();
        let root = place.root();
        run(&atio, "SET datafusion.catalog.default_catalog = 'w'")
            .await
            .unwrap();
        let mut world = Self {
            tables,
            written: Vec::new(),
            atio,
            memory: expected::session(),
            registered: HashSet::new(),
            spoil,
            rows: 0,
            of_the_engine: Vec::new(),
        };
        for table in tables {
            let written = world.write(table, &root).await?;
            world.written.push(written);
        }
        Ok(world)
    }

    async fn write(&self, table: &Table, root: &str) -> Result<Written, String> {
        let mut written: Option<Written> = None;
        for (at, step) in table.steps.iter().enumerate() {
            let versions = written
                .as_ref()
                .map_or(&[][..], |written| &written.versions);
            for sql in table.sql(at, versions, root) {
                answer(&self.atio, &sql)
                    .await
                    .map_err(|error| format!("{sql}: {error}"))?;
            }
            let written = match &mut written {
                Some(written) => written,
                None => {
                    let schema = self.atio.table_provider(table.name.as_str()).await;
                    written.insert(Written {
                        schema: schema.unwrap().schema(),
                        batches: Vec::new(),
                        there: Vec::new(),
                        versions: Vec::new(),
                    })
                }
            };
            let rows = async |part: &Part| {
                let sql = table.rows_sql(part);
                expected::stored(&self.memory, &sql, &written.schema).await
            };
            let before = written.there.last().cloned().unwrap_or_default();
            let (batches, there) = match &step.change {
                Change::Insert(part) => {
                    let there = [before, vec![There::all(at)]].concat();
                    (rows(part).await?, there)
                }
                Change::Overwrite(part) => (rows(part).await?, vec![There::all(at)]),
                Change::Delete(gone) => {
                    let mut there = before;
                    for part in &mut there {
                        part.gone.push(gone.clone());
                    }
                    (Vec::new(), there)
                }
                Change::Rollback(to) => (Vec::new(), written.there[*to].clone()),
                Change::Tag => (Vec::new(), before),
            };
            written.batches.push(batches);
            written.there.push(there);
            let sql = format!("SELECT max(version) FROM atio_history('{}')", table.name);
            let newest = answer(&self.atio, &sql).await?;
            written.versions.push(newest[0][0].parse().unwrap());
        }
        Ok(written.unwrap())
    }

    /// What `source` is called in a statement for atio.
    pub(super) fn name_in_atio(&self, source: &Source) -> String {
        let table = &self.tables[source.table];
        match source.step {
            None => table.name.clone(),
            Some(step) if matches!(table.steps[step].change, Change::Tag) => {
                format!("atio_table('{}', tag => 'tag{step}')", table.name)
            }
            Some(step) => {
                let version = self.written[source.table].versions[step];
                format!("atio_table('{}', version => {version})", table.name)
            }
        }
    }

    /// The table in memory that has the same rows.
    fn name_in_memory(&mut self, source: &Source) -> String {
        let table = &self.tables[source.table];
        let step = source.step.unwrap_or(table.steps.len() - 1);
        let name = format!("{}_after_{step}", table.name);
        if self.registered.insert(name.clone()) {
            let written = &self.written[source.table];
            let parts = written.there[step].iter();
            let batches = parts.flat_map(|there| written.rows(there));
            expected::register(&self.memory, &name, &written.schema, batches.collect());
        }
        name
    }

    /// Asks both, and gives what is wrong with atio's answer.
    pub(super) async fn check(
        &mut self,
        reading: &[Setting],
        statement: &Statement,
    ) -> Option<String> {
        let names: Vec<_> = statement
            .sources
            .iter()
            .map(|source| self.name_in_atio(source))
            .collect();
        let found = asked(&self.atio, reading, &statement.sql(&names)).await;
        let found = match (found, self.spoil) {
            (Ok(mut rows), Some(spoil)) => {
                spoil(&mut rows);
                Ok(rows)
            }
            (found, _) => found,
        };
        let wrong = self.judge(statement, &found).await?;
        let names: Vec<_> = statement
            .sources
            .iter()
            .map(|source| self.name_in_memory(source))
            .collect();
        let sql = statement.sql(&names);
        let settings = [expected::as_usual(), reading.to_vec()].concat();
        let same = asked(&self.memory, &settings, &sql).await;
        match self.judge(statement, &same).await {
            None => Some(wrong),
            Some(same) => {
                self.of_the_engine.push(format!("{same}\n{sql}"));
                None
            }
        }
    }

    /// What is wrong with an answer to `statement`.
    pub(super) async fn judge(&mut self, statement: &Statement, found: &Answer) -> Option<String> {
        let names: Vec<_> = statement
            .sources
            .iter()
            .map(|source| self.name_in_memory(source))
            .collect();
        let expected = answer(&self.memory, &statement.sql(&names)).await;
        let whole = match statement.limit.is_some() || statement.offset.is_some() {
            false => None,
            true => {
                let all = Statement {
                    limit: None,
                    offset: None,
                    ..statement.clone()
                };
                answer(&self.memory, &all.sql(&names)).await.ok()
            }
        };
        let keys: Vec<_> = statement.order.iter().map(|(at, _)| *at).collect();
        let grouped = statement.distinct
            || !statement.groups.is_empty()
            || ["UNION SELECT", "INTERSECT", "EXCEPT"]
                .iter()
                .any(|word| statement.from.contains(word));
        let rule = Rule {
            keys: &keys,
            grouped,
            among: whole.as_deref(),
        };
        self.rows += expected.as_ref().map_or(0, Vec::len);
        difference(&expected, found, &rule)
    }

    /// Everything that leads to the answer of `statement`, as somebody can run it.
    pub(super) fn script(&self, reading: &[Setting], statement: &Statement) -> String {
        let mut script = Vec::new();
        for (table, written) in self.tables.iter().zip(&self.written) {
            for at in 0..table.steps.len() {
                script.extend(table.sql(at, &written.versions, "/tmp/search"));
            }
        }
        script.extend(settings::sql(reading));
        let names: Vec<_> = statement
            .sources
            .iter()
            .map(|source| self.name_in_atio(source))
            .collect();
        script.push(statement.sql(&names));
        script.push(String::new());
        script.join(";\n")
    }
}

/// Runs a statement with settings of its own, which end with it.
pub(super) async fn asked(ctx: &SessionContext, reading: &[Setting], sql: &str) -> Answer {
    let before = ctx.copied_config();
    for (name, value) in reading {
        let state = ctx.state_ref();
        let mut state = state.write();
        let set = state.config_mut().options_mut().set(name, value);
        set.map_err(|error| error.strip_backtrace())?;
    }
    let found = answer(ctx, sql).await;
    *ctx.state_ref().write().config_mut() = before;
    found
}

/// Runs a statement; a panic and a statement that does not end are errors.
pub(super) async fn answer(ctx: &SessionContext, sql: &str) -> Answer {
    let (ctx, sql) = (ctx.clone(), sql.to_owned());
    let running = tokio::spawn(async move { run(&ctx, &sql).await });
    match timeout(PATIENCE, running).await {
        Ok(Ok(Ok(batches))) => Ok(rows(&batches)),
        Ok(Ok(Err(error))) => Err(error.strip_backtrace().chars().take(500).collect()),
        Ok(Err(panic)) => Err(panic.to_string()),
        Err(_) => Err(format!("no answer after {PATIENCE:?}")),
    }
}
