//! Lines 8 to 10, and everything else that a host's policy forbids.

mod permissions;

use std::fs;
use std::os::unix::fs::symlink;
use std::sync::Arc;

use atio::{AtioCatalog, AtioPolicy, AtioTable, ErrorKind, register, register_with};
use datafusion::execution::options::CsvReadOptions;
use datafusion::object_store::ObjectStore;
use datafusion::object_store::memory::InMemory;
use datafusion::prelude::{SQLOptions, SessionConfig, SessionContext};
use url::Url;

use super::attempt;
use crate::objects::{Objects, assert_same, files};
use crate::query::{row, rows};
use crate::session::Place;

use ErrorKind::NotAllowed;

/// A directory with `data/a`, which a policy allows, and places beside it that look alike.
struct Host {
    place: Place,
}

impl Host {
    /// Tables and files inside and outside, made by a session that may do everything.
    async fn new() -> Self {
        let host = Self {
            place: Place::disk(),
        };
        let ctx = host.session(AtioPolicy::default());
        for (name, path) in [("inside", "data/a/t"), ("outside", "data/a-evil/t")] {
            let path = host.path(path);
            rows(&ctx, &create(name, &path)).await;
            rows(&ctx, &format!("INSERT INTO {name} VALUES (1)")).await;
            let copy = format!("COPY (SELECT 7 AS a) TO '{path}.csv' STORED AS CSV");
            rows(&ctx, &copy).await;
        }
        symlink(host.path("data/a-evil"), host.path("data/a/link")).unwrap();
        symlink(host.path("data/nowhere"), host.path("data/a/dangling")).unwrap();
        host
    }

    fn path(&self, path: &str) -> String {
        format!("{}/{path}", self.place.root())
    }

    fn policy(&self) -> AtioPolicy {
        AtioPolicy::default()
            .with_allowed_roots([self.path("data/a")])
            .unwrap()
    }

    fn session(&self, policy: AtioPolicy) -> SessionContext {
        let ctx = SessionContext::new();
        register_with(&ctx, policy).unwrap();
        ctx
    }

    fn files(&self) -> Objects {
        files(self.place.path())
    }

    /// Places that are outside of `data/a`, and what each is when it is resolved.
    fn outside(&self) -> Vec<(String, String)> {
        let outside = |path: &str, resolved: &str| (self.path(path), self.path(resolved));
        vec![
            outside("data/a-evil/t", "data/a-evil/t"),
            outside("data/a/../a-evil/t", "data/a-evil/t"),
            outside("data/a/./../../data/a-evil/t", "data/a-evil/t"),
            outside("data/a/link/t", "data/a-evil/t"),
            outside("data/a/link/new", "data/a-evil/new"),
            outside("data", "data"),
            (
                format!("file://{}", self.path("data/a-evil/t")),
                self.path("data/a-evil/t"),
            ),
            (
                format!("file://{}", self.path("data/a/%2e%2e/a-evil/t")),
                self.path("data/a-evil/t"),
            ),
            ("/etc/passwd".to_owned(), "/etc/passwd".to_owned()),
            ("/etc/none/t".to_owned(), "/etc/none/t".to_owned()),
            ("memory://test/t".to_owned(), "memory://test/t".to_owned()),
        ]
    }
}

fn create(name: &str, path: &str) -> String {
    format!("CREATE EXTERNAL TABLE {name} (a BIGINT) STORED AS ATIO LOCATION '{path}'")
}

#[tokio::test]
async fn place_outside_the_allowed_roots_is_refused_by_its_resolved_name() {
    let host = Host::new().await;
    let ctx = host.session(host.policy());
    let store: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
    ctx.register_object_store(&Url::parse("memory://test/").unwrap(), store);
    let before = host.files();
    let roots = format!("is outside the allowed roots [{}]", host.path("data/a"));
    for (place, resolved) in host.outside() {
        for sql in [
            create("x", &place),
            format!("CREATE EXTERNAL TABLE x STORED AS ATIO LOCATION '{place}'"),
            format!("SELECT * FROM atio_table('{place}')"),
            format!("SELECT * FROM atio_table('{place}', version => 1)"),
            format!("SELECT * FROM atio_changes('{place}')"),
            format!("SELECT * FROM atio_history('{place}')"),
            format!("SELECT * FROM atio_files('{place}')"),
            format!("SELECT * FROM expire_snapshots('{place}')"),
            format!("SELECT * FROM atio_compact('{place}')"),
            format!("SELECT * FROM atio_stats('{place}')"),
            format!("SELECT * FROM atio_check('{place}', deep => true)"),
            format!("SELECT * FROM atio_repair('{place}')"),
            format!("SELECT * FROM atio_repair('{place}', dry_run => false)"),
            format!("SELECT * FROM atio_tags('{place}')"),
            format!("SELECT * FROM atio_tag('{place}', tag => 'x')"),
            format!("SELECT * FROM atio_rollback('{place}', version => 1)"),
            format!("EXPLAIN SELECT * FROM atio_table('{place}')"),
            format!("SELECT * FROM atio_restore('{place}')"),
            format!("SELECT * FROM atio_clean('{place}')"),
        ] {
            // No store has anything to clean, whatever is allowed.
            if sql.contains("atio_clean('memory:") {
                continue;
            }
            let failure = attempt(&ctx, &sql).await.unwrap_err();
            failure.assert(8, &sql, Some(NotAllowed), &[&resolved, &roots]);
        }
        let opened = AtioTable::open(&ctx, &place).await.unwrap_err();
        assert_eq!(opened.kind(), NotAllowed, "{opened}");
        let opened = AtioCatalog::open(&ctx, &place).unwrap_err();
        assert_eq!(opened.kind(), NotAllowed, "{opened}");
    }
    let dangling = host.path("data/a/dangling");
    for sql in [
        create("x", &dangling),
        format!("COPY (SELECT 1 AS a) TO '{dangling}/x.csv'"),
    ] {
        let failure = attempt(&ctx, &sql).await.unwrap_err();
        failure.assert(10, &sql, Some(NotAllowed), &["cannot be resolved"]);
    }
    assert_same(&before, &host.files(), "refused statements");
    assert!(!host.place.path().join("data/nowhere").exists());
}

#[tokio::test]
async fn place_inside_the_allowed_roots_works_as_without_a_policy() {
    let host = Host::new().await;
    let ctx = host.session(host.policy());
    let inside = host.path("data/a/t");
    rows(&ctx, &create("t", &host.path("data/a/../a/./t"))).await;
    rows(&ctx, "INSERT INTO t VALUES (2)").await;
    let read = format!("SELECT sum(a) FROM atio_table('{inside}')");
    assert_eq!(row(&ctx, &read).await, "3");
    rows(&ctx, &create("new", &host.path("data/a/new/deep/t"))).await;
    let csv = host.path("data/a/out.csv");
    rows(&ctx, &format!("COPY t TO '{csv}'")).await;
    let open = format!("CREATE EXTERNAL TABLE c STORED AS CSV LOCATION '{csv}'");
    rows(&ctx, &open).await;
    assert_eq!(rows(&ctx, "SELECT a FROM c").await, ["1", "2"]);
    let catalog = AtioCatalog::open(&ctx, &host.path("data/a/w")).unwrap();
    ctx.register_catalog("w", Arc::new(catalog));
    rows(&ctx, "CREATE SCHEMA w.s").await;
    rows(&ctx, "CREATE TABLE w.s.x AS SELECT 1 AS a").await;
    assert_eq!(rows(&ctx, "SELECT a FROM w.s.x").await, ["1"]);
    rows(&ctx, "DROP TABLE w.s.x").await;
}

/// What other formats would read or write, atio's analyzer rule and factories see first.
#[tokio::test]
async fn copy_and_other_formats_are_held_to_the_roots() {
    let host = Host::new().await;
    let ctx = host.session(host.policy());
    let before = host.files();
    let mut places = host.outside();
    places.push((host.path("data/a-ev*/t.csv"), host.path("data")));
    for (place, resolved) in places {
        let mut statements = vec![
            format!("CREATE EXTERNAL TABLE x STORED AS CSV LOCATION '{place}'"),
            format!("CREATE EXTERNAL TABLE x STORED AS PARQUET LOCATION '{place}'"),
            format!("CREATE EXTERNAL TABLE x (a INT) STORED AS JSON LOCATION '{place}'"),
        ];
        if !place.contains('*') {
            statements.extend([
                format!("COPY (SELECT 1 AS a) TO '{place}' STORED AS CSV"),
                format!("COPY (SELECT 1 AS a) TO '{place}' STORED AS PARQUET"),
                format!(
                    "COPY (SELECT 1 AS a, 2 AS b) TO '{place}/' STORED AS CSV PARTITIONED BY (a)"
                ),
                format!("EXPLAIN ANALYZE COPY (SELECT 1 AS a) TO '{place}' STORED AS CSV"),
            ]);
        }
        for sql in statements {
            let failure = attempt(&ctx, &sql).await.unwrap_err();
            failure.assert(
                8,
                &sql,
                Some(NotAllowed),
                &[&resolved, "outside the allowed"],
            );
        }
    }
    // A stream opens its text as a path, a URL is none.
    let stream = format!(
        "CREATE UNBOUNDED EXTERNAL TABLE x (a INT) STORED AS CSV LOCATION 'file://{}'",
        host.path("data/a/t.csv")
    );
    let failure = attempt(&ctx, &stream).await.unwrap_err();
    failure.assert(8, &stream, Some(NotAllowed), &["outside the allowed"]);
    let frame = ctx.sql("SELECT 1 AS a").await.unwrap();
    let target = host.path("data/a-evil/frame.csv");
    let error = frame.write_csv(&target, Default::default(), None).await;
    let kind = atio::Error::find(&error.unwrap_err()).map(atio::Error::kind);
    assert_eq!(kind, Some(NotAllowed));
    assert_same(&before, &host.files(), "refused statements");
}

#[tokio::test]
async fn link_that_appears_in_a_warehouse_leads_nowhere() {
    let host = Host::new().await;
    let ctx = host.session(host.policy());
    let catalog = Arc::new(AtioCatalog::open(&ctx, &host.path("data/a/w")).unwrap());
    ctx.register_catalog("w", Arc::clone(&catalog) as _);
    rows(&ctx, "CREATE TABLE w.public.s AS SELECT 1 AS a").await;
    symlink(host.path("data/a-evil"), host.path("data/a/w/evil")).unwrap();
    symlink(host.path("data/a-evil/t"), host.path("data/a/w/public/t")).unwrap();
    let before = host.files();
    for (sql, dropped) in [
        ("SELECT * FROM w.evil.t", false),
        ("SELECT * FROM w.public.t", false),
        ("INSERT INTO w.public.t VALUES (2)", false),
        ("CREATE TABLE w.evil.n AS SELECT 1 AS a", false),
        ("DROP TABLE w.evil.t", true),
        ("DROP SCHEMA w.evil CASCADE", false),
    ] {
        let failure = attempt(&ctx, sql).await.unwrap_err();
        // DataFusion says of every failed DROP TABLE that there is none.
        if !dropped {
            assert_eq!(failure.kind, Some(NotAllowed), "{sql}: {failure:?}");
        }
        assert_same(&before, &host.files(), sql);
    }
    let error = catalog.drop_table("evil", "t").await.unwrap_err();
    assert_eq!(error.kind(), NotAllowed, "{error}");
    assert_same(&before, &host.files(), "refused statements");
    assert_eq!(rows(&ctx, "SELECT a FROM w.public.s").await, ["1"]);
}

#[tokio::test]
async fn dropped_tables_outside_the_allowed_roots_are_neither_listed_nor_brought_back() {
    let host = Host::new().await;
    let all = host.session(AtioPolicy::default());
    AtioCatalog::register(&all, "evil", &host.path("data/a-evil/w")).unwrap();
    rows(&all, "CREATE TABLE evil.public.x AS SELECT 1 AS a").await;
    rows(&all, "DROP TABLE evil.public.x").await;
    let ctx = host.session(host.policy());
    AtioCatalog::register(&ctx, "w", &host.path("data/a/w")).unwrap();
    rows(&ctx, "CREATE TABLE w.public.s AS SELECT 1 AS a").await;
    symlink(
        host.path("data/a-evil/w/public"),
        host.path("data/a/w/evil"),
    )
    .unwrap();
    let before = host.files();
    assert_eq!(rows(&ctx, "SELECT * FROM atio_dropped()").await, [""; 0]);
    for sql in [
        "SELECT * FROM atio_undrop('w.evil.x')",
        "SELECT * FROM atio_purge('w.evil.x')",
    ] {
        let failure = attempt(&ctx, sql).await.unwrap_err();
        failure.assert(8, sql, Some(NotAllowed), &["outside the allowed roots"]);
    }
    rows(&ctx, "DROP TABLE w.public.s").await;
    rows(&ctx, "SELECT * FROM atio_undrop('w.public.s')").await;
    assert_same(&before, &host.files(), "refused statements");
}

#[tokio::test]
async fn no_sql_changes_the_policy() {
    let host = Host::new().await;
    let ctx = host.session(host.policy());
    let outside = host.path("data/a-evil/");
    for sql in [
        // Makes the state of the session anew.
        "SET datafusion.runtime.memory_limit = '1G'".to_owned(),
        // Would make a catalog over a directory the next time that happens.
        format!("SET datafusion.catalog.location = 'file://{outside}'"),
        "SET datafusion.catalog.format = 'csv'".to_owned(),
        "SET datafusion.catalog.has_header = true".to_owned(),
        "SET datafusion.catalog.default_catalog = 'other'".to_owned(),
        "SET datafusion.catalog.create_default_catalog_and_schema = true".to_owned(),
        "SET datafusion.runtime.memory_limit = '2G'".to_owned(),
    ] {
        rows(&ctx, &sql).await;
    }
    for sql in [
        format!("SELECT * FROM atio_table('{outside}t')"),
        format!(
            "CREATE EXTERNAL TABLE datafusion.public.x STORED AS CSV LOCATION '{outside}t.csv'"
        ),
        format!("COPY (SELECT 1 AS a) TO '{outside}x.csv'"),
    ] {
        let failure = attempt(&ctx, &sql).await.unwrap_err();
        failure.assert(8, &sql, Some(NotAllowed), &["outside the allowed roots"]);
    }
    for name in ["t", "t.csv"] {
        let found = attempt(&ctx, &format!("SELECT * FROM other.public.\"{name}\"")).await;
        assert!(found.is_err(), "{found:?}");
    }
}

#[tokio::test]
async fn policy_of_a_session_is_given_once() {
    let host = Host::new().await;
    let ctx = host.session(host.policy());
    register(&ctx).unwrap();
    register_with(&ctx, host.policy()).unwrap();
    let error = register_with(&ctx, AtioPolicy::default()).unwrap_err();
    let error = atio::Error::find(&error).unwrap();
    assert_eq!(error.kind(), ErrorKind::InvalidInput, "{error}");
    let outside = format!("SELECT * FROM atio_table('{}')", host.path("data/a-evil/t"));
    assert_eq!(
        attempt(&ctx, &outside).await.unwrap_err().kind,
        Some(NotAllowed)
    );

    // By the configuration, as any extension of a session.
    let config = SessionConfig::new().with_extension(Arc::new(host.policy()));
    let ctx = SessionContext::new_with_config(config);
    register(&ctx).unwrap();
    assert_eq!(
        attempt(&ctx, &outside).await.unwrap_err().kind,
        Some(NotAllowed)
    );
}

/// What is left to the host, as the documentation of `AtioPolicy` says: if one of these
/// fails, less is left to it.
#[tokio::test]
async fn what_a_policy_leaves_to_the_host() {
    let host = Host::new().await;
    let ctx = host.session(host.policy());
    let csv = host.path("data/a-evil/t.csv");
    // What the host registers is the host's decision.
    ctx.register_csv("mine", &csv, CsvReadOptions::new())
        .await
        .unwrap();
    assert_eq!(rows(&ctx, "SELECT a FROM mine").await, ["7"]);
    // Where large queries spill is a setting, which statements can be kept from changing.
    let spill = host.path("data/spill");
    let set = format!("SET datafusion.runtime.temp_directory = '{spill}'");
    let options = SQLOptions::new().with_allow_statements(false);
    let refused = ctx.sql_with_options(&set, options).await;
    assert!(refused.is_err());
    rows(&ctx, &set).await;
    // Names of files as tables are for hosts that let SQL read every file.
    let open = ctx.enable_url_table();
    let read = format!("SELECT a FROM '{csv}'");
    assert_eq!(rows(&open, &read).await, ["7"]);
    fs::remove_file(&csv).unwrap();
}
