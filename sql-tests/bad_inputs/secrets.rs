//! A secret in every place where one can be put, and every output searched for it.
//!
//! The outputs are those of a process of its own: this test program again, which runs
//! [`show_everything`] with secrets in its environment.

mod endpoint;

use std::error::Error;
use std::fmt::Debug;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use atio::{AtioCatalog, AtioPolicy, AtioTable, Connection, Server, Tls};
use datafusion::arrow::util::pretty::pretty_format_batches;
use datafusion::object_store::aws::AmazonS3Builder;
use datafusion::object_store::memory::InMemory;
use datafusion::object_store::{ObjectStore, RetryConfig};
use datafusion::prelude::SessionContext;
use futures::TryStreamExt;
use url::Url;

use crate::databases::server_programs::PASSWORD;
use crate::databases::site::Site;
use crate::stores::hooked::HookedStore;
use endpoint::Endpoint;

/// Every secret begins with this, and goes on with where it was put.
const CANARY: &str = "CANARY";
/// What a child that came to its end prints last.
const END: &str = "everything was shown";
/// Set for the child alone.
const SHOW: &str = "ATIO_TEST_SHOW";
const PATIENCE: Duration = Duration::from_secs(5);

#[test]
fn no_output_holds_a_secret() {
    let output = shown("bad_inputs::secrets::show_everything");
    // That there is something to search.
    for part in [
        "| version |",
        "DataSourceExec",
        "AtioSink",
        "SHOW CREATE",
        "Debug: AtioTable",
        "Debug: AtioCatalog",
        "SignatureDoesNotMatch",
        "LOG atio",
        "object base/t/metadata/v1.metadata.json",
        "cannot read _current_version.json",
        "Debug: Connection",
        "Debug: Server",
        "DatabaseSink",
        END,
    ] {
        assert!(
            output.contains(part),
            "{part} is not in the output:\n{output}"
        );
    }
    let leaks: Vec<_> = output
        .match_indices(CANARY)
        .map(|(at, _)| {
            let start = output[..at].rfind('\n').map_or(0, |line| line + 1);
            let mut from = at.saturating_sub(300).max(start);
            while !output.is_char_boundary(from) {
                from += 1;
            }
            let end = output[at..].find('\n').map_or(output.len(), |end| at + end);
            output[from..end.min(at + 60)].to_owned()
        })
        .collect();
    assert!(leaks.is_empty(), "{} leaks: {:#?}", leaks.len(), leaks);
    for password in [PASSWORD, "w@rd", "w%40rd"] {
        assert!(!output.contains(password), "the right password is shown");
    }
    if std::env::var_os("ATIO_POSTGRES_BIN").is_some() {
        let refused = "password authentication failed for user";
        assert!(output.contains(refused), "no server refused a password");
    }
}

/// The output of a child that runs one test of this program.
fn shown(test: &str) -> String {
    let program = std::env::current_exe().unwrap();
    let output = Command::new(program)
        .args(["--exact", test, "--nocapture", "--test-threads=1"])
        .env(SHOW, "1")
        .env("AWS_ACCESS_KEY_ID", format!("{CANARY}-env-id"))
        .env("AWS_SECRET_ACCESS_KEY", format!("{CANARY}-env-key"))
        .env("AWS_SESSION_TOKEN", format!("{CANARY}-env-token"))
        .env("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
        .env("AWS_ALLOW_HTTP", "true")
        .env(
            "ATIO_TEST_DATABASE",
            format!("postgresql://u:{CANARY}-url@127.0.0.1:9/db"),
        )
        .env("AZURE_STORAGE_ACCOUNT_KEY", "Q0FOQVJZLWVudi1henVyZQ==")
        .output()
        .unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let all = text(&output.stdout) + &text(&output.stderr);
    assert!(output.status.success(), "{all}");
    all
}

struct Printer;

impl log::Log for Printer {
    fn enabled(&self, metadata: &log::Metadata<'_>) -> bool {
        // The engine and its parser log statements and plans, whatever is in them.
        let engine = ["sqlparser", "datafusion"];
        !engine
            .iter()
            .any(|name| metadata.target().starts_with(name))
    }

    fn log(&self, record: &log::Record<'_>) {
        if self.enabled(record.metadata()) {
            println!("LOG {}: {}", record.target(), record.args());
        }
    }

    fn flush(&self) {}
}

fn show(what: &str, thing: impl Debug) {
    println!("Debug: {what} {thing:?}\n{thing:#?}");
}

fn show_error(what: &str, error: &(dyn Error + 'static)) {
    println!("{what} failed: {error}");
    show(what, error);
    let mut next = error.source();
    while let Some(source) = next {
        println!("caused by {source}");
        show("source", source);
        next = source.source();
    }
}

/// Runs a statement and shows all there is to see: rows or error, and with `plans` the plans.
async fn show_statement(ctx: &SessionContext, what: &str, sql: &str, plans: bool) {
    let run = async {
        let frame = ctx.sql(sql).await?;
        if plans {
            show(what, frame.logical_plan());
            println!("{}", frame.logical_plan().display_indent_schema());
            if let Ok(plan) = frame.clone().create_physical_plan().await {
                show(what, plan);
            }
        }
        frame.collect().await
    };
    match tokio::time::timeout(PATIENCE, run).await {
        Ok(Ok(batches)) => println!("{what}\n{}", pretty_format_batches(&batches).unwrap()),
        Ok(Err(error)) => show_error(what, &error),
        Err(_) => println!("{what} took too long"),
    }
}

/// A store on S3 with credentials that are secrets.
fn s3(bucket: &str, endpoint: &str) -> Arc<dyn ObjectStore> {
    let retry = RetryConfig {
        max_retries: 0,
        ..RetryConfig::default()
    };
    let store = AmazonS3Builder::new()
        .with_bucket_name(bucket)
        .with_region("eu-central-1")
        .with_endpoint(endpoint)
        .with_allow_http(true)
        .with_access_key_id(format!("{CANARY}-id"))
        .with_secret_access_key(format!("{CANARY}-key"))
        .with_token(format!("{CANARY}-token"))
        .with_retry(retry);
    Arc::new(store.build().unwrap())
}

/// Shows what this process can be made to show. Run by [`no_output_holds_a_secret`] alone.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn show_everything() {
    if std::env::var_os(SHOW).is_none() {
        // What it prints is for the other test to search.
        return;
    }
    log::set_logger(&Printer).unwrap();
    log::set_max_level(log::LevelFilter::Trace);
    let endpoint = Endpoint::start();
    // It shows its name wherever a store is shown.
    let name = format!("{CANARY}-store");
    let store = Arc::new(HookedStore::new(
        &name,
        Arc::new(InMemory::new()),
        Arc::new(()),
    ));
    let ctx = SessionContext::new();
    atio::register(&ctx).unwrap();
    let put = |url: &str, store| ctx.register_object_store(&Url::parse(url).unwrap(), store);
    put("memory://test/", Arc::clone(&store) as _);
    put("s3://refusing/", s3("refusing", "http://127.0.0.1:9"));
    put("s3://denied/", s3("denied", &endpoint.url()));
    put("s3://missing/", s3("missing", &endpoint.url()));
    put("s3://broken/", s3("broken", &endpoint.url()));

    on_a_store_that_works(&ctx).await;
    for bucket in ["refusing", "denied", "missing", "broken"] {
        on_a_store_that_fails(&ctx, bucket).await;
    }
    secrets_in_statements(&ctx).await;
    on_databases().await;

    let objects = store.list(None).try_collect::<Vec<_>>().await.unwrap();
    for object in objects {
        use datafusion::object_store::ObjectStoreExt;
        let bytes = store.get(&object.location).await.unwrap().bytes().await;
        let bytes = bytes.unwrap();
        println!(
            "object {}: {}",
            object.location,
            String::from_utf8_lossy(&bytes)
        );
    }
    println!("{END}");
}

async fn on_a_store_that_works(ctx: &SessionContext) {
    let root = "memory://test/base";
    let create = format!(
        "CREATE EXTERNAL TABLE t (a BIGINT, b VARCHAR) STORED AS ATIO LOCATION '{root}/t' OPTIONS ('atio.compression' 'snappy')"
    );
    show_statement(ctx, "create", &create, false).await;
    let catalog = AtioCatalog::open(ctx, &format!("{root}/w")).unwrap();
    show("AtioCatalog", &catalog);
    ctx.register_catalog("w", Arc::new(catalog));
    show(
        "AtioTable",
        AtioTable::open(ctx, &format!("{root}/t")).await.unwrap(),
    );
    show(
        "AtioPolicy",
        AtioPolicy::default().with_allowed_roots([root]).unwrap(),
    );
    for sql in [
        "INSERT INTO t VALUES (1, 'one')",
        "INSERT INTO t SELECT a + 1, b FROM t",
        "INSERT OVERWRITE t SELECT a, b FROM t",
        "EXPLAIN INSERT INTO t VALUES (3, 'three')",
        "EXPLAIN VERBOSE INSERT INTO t VALUES (3, 'three')",
        "EXPLAIN ANALYZE INSERT INTO t VALUES (3, 'three')",
        "SELECT * FROM t WHERE a > 0",
        "EXPLAIN SELECT * FROM t WHERE a > 0",
        "EXPLAIN VERBOSE SELECT * FROM t WHERE a > 0",
        "EXPLAIN ANALYZE VERBOSE SELECT count(*) FROM t WHERE a > 0",
        "SELECT * FROM atio_table('t', version => 1)",
        "SELECT * FROM atio_history('t')",
        "SELECT * FROM atio_files('t')",
        "SELECT * FROM expire_snapshots('t', keep_for => INTERVAL '0 days', dry_run => false)",
        "EXPLAIN VERBOSE SELECT * FROM atio_history('t')",
        "SELECT * FROM atio_table('t', version => 99)",
        "SELECT 1 / (a - a) FROM t",
        "INSERT INTO t SELECT 1 / (a - a), b FROM t",
        "DELETE FROM t",
        "CREATE TABLE w.public.s AS SELECT 1 AS x",
        "SELECT * FROM w.public.s",
        "DROP TABLE w.public.s",
        "CREATE VIEW v AS SELECT a FROM t",
        "SHOW CREATE TABLE t",
        "SHOW CREATE TABLE v",
        "SHOW TABLES",
        "SHOW COLUMNS FROM t",
        "DESCRIBE t",
        "SHOW ALL",
        "SELECT * FROM information_schema.tables",
        "SELECT * FROM information_schema.views",
        "SELECT * FROM information_schema.columns WHERE table_schema = 'public'",
        "EXPLAIN COPY t TO 'memory://test/base/out.csv'",
        "COPY t TO 'memory://test/base/out.csv'",
    ] {
        show_statement(ctx, sql, sql, true).await;
    }
}

async fn on_a_store_that_fails(ctx: &SessionContext, bucket: &str) {
    let location = format!("s3://{bucket}/p/t");
    for sql in [
        format!("CREATE EXTERNAL TABLE x STORED AS ATIO LOCATION '{location}'"),
        format!("CREATE EXTERNAL TABLE x (a INT) STORED AS ATIO LOCATION '{location}'"),
        format!("SELECT * FROM atio_table('{location}')"),
        format!("SELECT * FROM atio_table('{location}', version => 1)"),
        format!("SELECT * FROM atio_history('{location}')"),
        format!("SELECT * FROM atio_files('{location}')"),
        format!("SELECT * FROM expire_snapshots('{location}', dry_run => false)"),
    ] {
        show_statement(ctx, &sql, &sql, true).await;
    }
    if let Err(error) = AtioTable::open(ctx, &location).await {
        show_error("AtioTable::open", &error);
    }
    let catalog = AtioCatalog::open(ctx, &format!("s3://{bucket}/w")).unwrap();
    show("AtioCatalog", &catalog);
    ctx.register_catalog(bucket, Arc::new(catalog));
    for sql in [
        format!("CREATE TABLE {bucket}.public.x AS SELECT 1 AS a"),
        format!("SELECT * FROM {bucket}.public.x"),
        format!("CREATE SCHEMA {bucket}.more"),
        format!("SELECT * FROM information_schema.tables WHERE table_catalog = '{bucket}'"),
    ] {
        show_statement(ctx, &sql, &sql, true).await;
    }
    ctx.register_catalog(
        bucket,
        Arc::new(datafusion::catalog::MemoryCatalogProvider::new()),
    );
}

/// Statements with secrets in them, none of which is shown itself.
async fn secrets_in_statements(ctx: &SessionContext) {
    let create = "EXTERNAL TABLE y (a INT) STORED AS ATIO LOCATION";
    for (what, sql) in [
        (
            "userinfo",
            format!("CREATE {create} 's3://{CANARY}-id:{CANARY}-key@b/t'"),
        ),
        (
            "user",
            format!("SELECT * FROM atio_table('s3://{CANARY}-id@b/t')"),
        ),
        (
            "query",
            format!("CREATE {create} 's3://b/t?token={CANARY}'"),
        ),
        (
            "fragment",
            format!("SELECT * FROM atio_history('s3://b/t#{CANARY}')"),
        ),
        (
            "no URL",
            format!("CREATE {create} 's3://{CANARY}:{CANARY}@b:x/t'"),
        ),
        (
            "http",
            format!("SELECT * FROM atio_table('https://{CANARY}:{CANARY}@h/t')"),
        ),
        (
            "option",
            format!(
                "CREATE {create} 'memory://test/y' OPTIONS ('aws.secret_access_key' '{CANARY}')"
            ),
        ),
        (
            "option without prefix",
            format!("CREATE {create} 'memory://test/y' OPTIONS ('secret' '{CANARY}')"),
        ),
        (
            "option explained",
            format!(
                "EXPLAIN CREATE {create} 'memory://test/y' OPTIONS ('aws.secret_access_key' '{CANARY}')"
            ),
        ),
        (
            "option explained verbosely",
            format!("EXPLAIN VERBOSE CREATE {create} 's3://b/y' OPTIONS ('azure.key' '{CANARY}')"),
        ),
        (
            "environment",
            "SELECT * FROM atio_table('s3://unregistered/t')".to_owned(),
        ),
    ] {
        show_statement(ctx, what, &sql, false).await;
    }
    for location in [
        format!("s3://{CANARY}:{CANARY}@b/t"),
        format!("s3://b/t?{CANARY}"),
        format!("az://{CANARY}@b/t#{CANARY}"),
    ] {
        show_error("open", &AtioTable::open(ctx, &location).await.unwrap_err());
        show_error("open", &AtioCatalog::open(ctx, &location).unwrap_err());
        let policy = AtioPolicy::default().with_allowed_roots([&location]);
        show_error("policy", &policy.unwrap_err());
    }
    let policed = SessionContext::new();
    let policy = AtioPolicy::default()
        .with_allowed_roots(["s3://b"])
        .unwrap();
    atio::register_with(&policed, policy).unwrap();
    for sql in [
        format!("COPY (SELECT 1 AS a) TO 's3://{CANARY}:{CANARY}@b/t.csv'"),
        format!("CREATE EXTERNAL TABLE z STORED AS CSV LOCATION 's3://{CANARY}:{CANARY}@b/t.csv'"),
        format!("CREATE EXTERNAL TABLE z STORED AS CSV LOCATION 's3://c/t.csv?{CANARY}'"),
    ] {
        show_statement(&policed, "policed", &sql, false).await;
    }
}

/// With a right password, with a wrong one, and where nobody listens.
async fn on_databases() {
    let ctx = SessionContext::new();
    atio::register(&ctx).unwrap();
    let secret = |port, password: &str| Server {
        host: "127.0.0.1".to_owned(),
        port: Some(port),
        user: "atio".to_owned(),
        password: Some(password.to_owned()),
        database: "postgres".to_owned(),
        tls: Tls::Off,
        ..Server::default()
    };
    let wrong = format!("{CANARY}-database");
    show("Server", secret(9, &wrong));
    let mut connections = vec![
        ("POSTGRES", Connection::postgres(secret(9, &wrong))),
        ("MYSQL", Connection::mysql(secret(9, &wrong))),
    ];
    for site in [Site::postgres().await, Site::mariadb().await]
        .into_iter()
        .flatten()
    {
        let stored_as = site.stored_as();
        let server = secret(site.address().unwrap().port(), &wrong);
        connections.push((stored_as, site.connection()));
        connections.push(match stored_as {
            "POSTGRES" => (stored_as, Connection::postgres(server)),
            _ => (stored_as, Connection::mysql(server)),
        });
    }
    for (number, (stored_as, connection)) in connections.into_iter().enumerate() {
        show("Connection", &connection);
        let name = format!("db{number}");
        atio::register_connection(&ctx, &name, connection.clone()).unwrap();
        let copy = format!("COPY (SELECT 1 AS a) TO '{name}/t' STORED AS {stored_as}");
        let replace = format!("{copy} OPTIONS (if_exists 'replace')");
        for sql in [
            copy.clone(),
            replace.clone(),
            format!("EXPLAIN VERBOSE {copy}"),
            format!("EXPLAIN ANALYZE VERBOSE {replace}"),
            format!("CREATE EXTERNAL TABLE {name} STORED AS {stored_as} LOCATION '{name}/t'"),
            format!("INSERT INTO {name} VALUES (2)"),
            format!("INSERT OVERWRITE {name} SELECT a FROM {name}"),
            format!("EXPLAIN VERBOSE INSERT INTO {name} VALUES (2)"),
            format!("EXPLAIN VERBOSE SELECT * FROM {name} WHERE a > 0"),
            format!("SHOW CREATE TABLE {name}"),
        ] {
            show_statement(&ctx, &sql, &sql, true).await;
        }
        let rows = ctx.sql("SELECT 1 AS a").await.unwrap();
        let written = atio::write_database(rows, &connection, "t", atio::IfExists::Append).await;
        if let Err(error) = written {
            show_error("write_database", &error);
        }
    }
    for sql in [
        "COPY (SELECT 1 AS a) TO 'env:ATIO_TEST_DATABASE/t' STORED AS POSTGRES",
        "COPY (SELECT 1 AS a) TO 'env:ATIO_TEST_DATABASE/t' STORED AS MYSQL",
        "CREATE EXTERNAL TABLE e STORED AS POSTGRES LOCATION 'env:ATIO_TEST_DATABASE/t'",
    ] {
        show_statement(&ctx, sql, sql, true).await;
    }
}

/// What the engine below shows of what it is given; SECURITY.md warns of it. If one of these
/// fails the engine shows less, and the warning can go.
#[tokio::test]
async fn what_the_engine_itself_shows() {
    let ctx = SessionContext::new();
    atio::register(&ctx).unwrap();
    let copy =
        "COPY (SELECT 1 AS a) TO 's3://user:SHOWN@b/x.csv' OPTIONS ('format.delimiter' 'SHOWN')";
    let frame = ctx.sql(&format!("EXPLAIN {copy}")).await.unwrap();
    assert!(frame.to_string().await.unwrap().contains("SHOWN"));
    // Without EXPLAIN it is refused, and not repeated.
    let error = ctx.sql(&copy.replace("'SHOWN'", "','")).await.unwrap();
    let error = error.collect().await.unwrap_err().to_string();
    assert!(!error.contains("SHOWN"), "{error}");
    let create =
        "CREATE EXTERNAL TABLE t (a INT) STORED AS ATIO LOCATION '/x' OPTIONS ('aws.key' 'SHOWN')";
    let plan = ctx.state().create_logical_plan(create).await.unwrap();
    assert!(format!("{plan:?}").contains("SHOWN") || !plan.to_string().contains("SHOWN"));
}
