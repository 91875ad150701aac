//! Other libraries in a session with atio: their statements say what they say without it, whichever
//! was registered first, and their tables and those of atio meet in one statement.

#![cfg(test)]

use std::path::Path;
use std::sync::Arc;

use datafusion::arrow::array::{Int64Array, StringArray};
use datafusion::arrow::record_batch::RecordBatch;
use datafusion::arrow::util::pretty::pretty_format_batches;
use datafusion::catalog::TableProviderFactory;
use datafusion::prelude::SessionContext;
use datafusion_table_providers::sqlite::SqliteTableProviderFactory;
use deltalake_core::DeltaTable;
use deltalake_core::delta_datafusion::{DeltaTableFactory, create_session};
use tempfile::TempDir;
use url::Url;

/// A library, and what a host does to have it.
struct Library {
    session: fn() -> SessionContext,
    add: fn(&SessionContext),
    /// Statements that are not about atio; `{place}` is a directory.
    script: &'static [&'static str],
    /// What the answers hold, to show that the library made them.
    says: &'static [&'static str],
    /// A table of the library with the columns `id` and `name`.
    table: Option<&'static str>,
}

const SQLITE: Library = Library {
    // With a planner and a rule of its own.
    session: || SessionContext::new_with_state(datafusion_federation::default_session_state()),
    add: |ctx| add_factory(ctx, "SQLITE", Arc::new(SqliteTableProviderFactory::new())),
    script: &[
        "SET datafusion.sql_parser.map_string_types_to_utf8view = false",
        "CREATE EXTERNAL TABLE people (id BIGINT, name VARCHAR) STORED AS SQLITE LOCATION 'memory'",
        "INSERT INTO people VALUES (1, 'Ada'), (2, 'Bo'), (3, NULL)",
        "SELECT name, id FROM people WHERE id > 1 ORDER BY id",
        "SELECT a.name, count(*) FROM people a JOIN people b ON a.id >= b.id GROUP BY 1 ORDER BY 2",
        "EXPLAIN SELECT max(id) FROM people",
    ],
    says: &["Bo", "SQLiteSqlExec"],
    table: Some("people"),
};

const DELTA: Library = Library {
    session: || create_session().into_inner(),
    add: |ctx| add_factory(ctx, "DELTATABLE", Arc::new(DeltaTableFactory {})),
    script: &[
        "CREATE EXTERNAL TABLE people STORED AS DELTATABLE LOCATION '{place}/delta'",
        "SELECT name, id FROM people WHERE id > 1 ORDER BY id",
        "INSERT INTO people VALUES (7, 'Cy')",
        "DROP TABLE people",
        "CREATE EXTERNAL TABLE people STORED AS DELTATABLE LOCATION '{place}/delta'",
        "SELECT count(*), max(id) FROM people",
    ],
    says: &["Bo", "| 4        | 7"],
    table: Some("people"),
};

const JSON: Library = Library {
    session: SessionContext::new,
    add: |ctx| datafusion_functions_json::register_all(&mut ctx.clone()).unwrap(),
    script: &[
        r#"SELECT '{"a": [5, 6]}' -> 'a' -> 1, json_length('[1, 2, 3]')"#,
        r#"SELECT v ->> 'b' FROM (VALUES ('{"b": "x"}'), ('{}')) t (v) WHERE json_contains(v, 'b')"#,
    ],
    says: &["{int=6}", "| x "],
    table: None,
};

fn add_factory(ctx: &SessionContext, name: &str, factory: Arc<dyn TableProviderFactory>) {
    let state = ctx.state_ref();
    let mut state = state.write();
    state.table_factories_mut().insert(name.to_owned(), factory);
}

impl Library {
    /// A place with what the script needs.
    async fn place(&self) -> TempDir {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("delta");
        std::fs::create_dir(&path).unwrap();
        let ids = Arc::new(Int64Array::from(vec![1, 2, 3]));
        let names = Arc::new(StringArray::from(vec![Some("Ada"), Some("Bo"), None]));
        let rows = RecordBatch::try_from_iter_with_nullable([
            ("id", ids as _, true),
            ("name", names as _, true),
        ]);
        let table = DeltaTable::try_from_url(Url::from_directory_path(path).unwrap());
        table.await.unwrap().write([rows.unwrap()]).await.unwrap();
        place
    }

    /// What the script says, each statement by itself.
    async fn answers(&self, ctx: &SessionContext, place: &Path) -> Vec<String> {
        let mut answers = Vec::new();
        for sql in self.script {
            let sql = sql.replace("{place}", place.to_str().unwrap());
            answers.push(said(ctx, &sql).await);
        }
        answers
    }

    async fn check(&self) {
        let plain = {
            let (ctx, place) = ((self.session)(), self.place().await);
            (self.add)(&ctx);
            self.answers(&ctx, place.path()).await
        };
        for words in self.says {
            let found = plain.iter().any(|answer| answer.contains(words));
            assert!(found, "{words}: {plain:#?}");
        }
        for first in [true, false] {
            let (ctx, place) = ((self.session)(), self.place().await);
            match first {
                true => {
                    (self.add)(&ctx);
                    atio::register(&ctx).unwrap();
                }
                false => {
                    atio::register(&ctx).unwrap();
                    (self.add)(&ctx);
                }
            }
            let answers = self.answers(&ctx, place.path()).await;
            assert_eq!(plain, answers, "the library was first: {first}");
            self.meet(&ctx, place.path()).await;
        }
    }

    /// Rows go from the library's table to one of atio's and to a file, and are joined.
    async fn meet(&self, ctx: &SessionContext, place: &Path) {
        let (Some(table), place) = (self.table, place.to_str().unwrap()) else {
            return;
        };
        for sql in [
            format!(
                "CREATE EXTERNAL TABLE copies (id BIGINT, name VARCHAR) STORED AS ATIO LOCATION '{place}/copies'"
            ),
            format!("INSERT INTO copies SELECT id, name FROM {table} WHERE id < 3"),
            "INSERT INTO copies VALUES (9, 'Di')".to_owned(),
            format!("COPY (SELECT * FROM {table}) TO '{place}/new/people.parquet'"),
        ] {
            said(ctx, &sql).await;
        }
        let joined = format!(
            "SELECT c.name FROM atio_table('copies', version => 1) c JOIN {table} t ON c.id = t.id ORDER BY 1"
        );
        let joined = said(ctx, &joined).await;
        assert!(joined.contains("Ada") && joined.contains("Bo"), "{joined}");
        let counts = format!(
            "SELECT (SELECT max(id) FROM '{place}/new/people.parquet') = (SELECT max(id) FROM {table}) AS same, \
             (SELECT count(*) FROM copies) AS copies"
        );
        let ctx = ctx.clone().enable_url_table();
        let counts = said(&ctx, &counts).await;
        assert!(
            counts.contains("true") && counts.contains("| 3 "),
            "{counts}"
        );
    }
}

async fn said(ctx: &SessionContext, sql: &str) -> String {
    let rows = async { ctx.sql(sql).await?.collect().await };
    let rows = rows.await.unwrap_or_else(|error| panic!("{sql}: {error}"));
    pretty_format_batches(&rows).unwrap().to_string()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sqlite_tables_of_table_providers_work_with_atio() {
    SQLITE.check().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn delta_tables_work_with_atio() {
    DELTA.check().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn json_functions_and_operators_work_with_atio() {
    JSON.check().await;
}
