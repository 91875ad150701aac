//! Databases that cannot be reached or refuse, and statements that must not be obeyed. No
//! message shows a password.

use atio::{
    AtioPolicy, Connection, ErrorKind, IfExists, Server, Tls, register_connection, write_database,
};
use datafusion::error::DataFusionError;
use datafusion::prelude::SessionContext;
use tokio::net::TcpListener;

use super::on_every_database;
use super::server_programs::USER;
use super::site::{Kind, Site};
use crate::session::run;

on_every_database!(
    statements_that_name_no_table_are_refused,
    settings_for_a_version_are_refused_and_used_up,
);

/// A database has no versions that they could describe, and a later statement must not get them.
async fn settings_for_a_version_are_refused_and_used_up(site: Site) {
    let ctx = site.session();
    let stored_as = site.stored_as();
    let copy = format!("COPY (SELECT 1 AS a) TO 'db/t' STORED AS {stored_as}");
    run(&ctx, &copy).await.unwrap();
    let open = format!("CREATE EXTERNAL TABLE t STORED AS {stored_as} LOCATION 'db/t'");
    run(&ctx, &open).await.unwrap();
    let append = format!("{copy} OPTIONS (if_exists 'append')");
    for setting in [
        "idempotency_key = 'load'",
        "message = 'm'",
        "commit_every_rows = 1",
    ] {
        for write in [
            "INSERT INTO t VALUES (2)",
            "INSERT OVERWRITE t VALUES (2)",
            &append,
        ] {
            run(&ctx, &format!("SET atio.{setting}")).await.unwrap();
            let error = run(&ctx, write).await.unwrap_err();
            assert_eq!(
                atio::Error::find(&error).unwrap().kind(),
                ErrorKind::InvalidInput
            );
            let name = setting.split(' ').next().unwrap();
            let said = format!("t is no atio table: atio.{name} is for the version");
            assert!(error.to_string().contains(&said), "{error}");
            assert_eq!(site.ask("SELECT a FROM t").await, ["1"]);
        }
    }
    run(&ctx, "INSERT INTO t VALUES (2)").await.unwrap();
    assert_eq!(site.count().await, Some(2));
}

fn session() -> SessionContext {
    let ctx = SessionContext::new();
    atio::register(&ctx).unwrap();
    ctx
}

/// Everything that an error shows.
fn shown(error: &DataFusionError) -> String {
    let text = format!("{error} {error:?} {error:#?}");
    assert!(!text.contains("SECRET"), "{text}");
    text
}

/// Tries to open, to copy and to write, and returns what each of them said.
async fn tried(connection: &Connection, stored_as: &str) -> Vec<String> {
    assert!(!format!("{connection} {connection:?}").contains("SECRET"));
    let ctx = session();
    register_connection(&ctx, "db", connection.clone()).unwrap();
    let mut said = Vec::new();
    for sql in [
        format!("CREATE EXTERNAL TABLE t STORED AS {stored_as} LOCATION 'db/t'"),
        format!("COPY (SELECT 1 AS a) TO 'db/t' STORED AS {stored_as}"),
        format!("EXPLAIN ANALYZE COPY (SELECT 1 AS a) TO 'db/t' STORED AS {stored_as}"),
    ] {
        said.push(shown(&run(&ctx, &sql).await.unwrap_err()));
    }
    let rows = ctx.sql("SELECT 1 AS a").await.unwrap();
    let error = write_database(rows, connection, "t", IfExists::Replace)
        .await
        .unwrap_err();
    assert_eq!(
        atio::Error::find(&error).unwrap().kind(),
        ErrorKind::Storage
    );
    said.push(shown(&error));
    said
}

fn of(kind: &str, server: Server) -> Connection {
    match kind {
        "POSTGRES" => Connection::postgres(server),
        _ => Connection::mysql(server),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn wrong_password_is_refused_and_not_shown() {
    for site in [Site::postgres().await, Site::mariadb().await]
        .into_iter()
        .flatten()
    {
        let stored_as = site.stored_as();
        let server = Server {
            host: "127.0.0.1".to_owned(),
            port: site.address().map(|address| address.port()),
            user: USER.to_owned(),
            password: Some("wrong-SECRET".to_owned()),
            database: "postgres".to_owned(),
            tls: Tls::Off,
            ..Server::default()
        };
        for said in tried(&of(stored_as, server.clone()), stored_as).await {
            let refusal = match stored_as {
                "POSTGRES" => "the server says: password authentication failed for user",
                _ => "the server says: Access denied for user",
            };
            assert!(said.contains(refusal), "{said}");
        }
        let nobody = Server {
            user: "nobody".to_owned(),
            ..server.clone()
        };
        tried(&of(stored_as, nobody), stored_as).await;
        // A server that does not encrypt is not spoken to in the clear.
        let encrypted = Server {
            tls: Tls::Verified(None),
            ..server
        };
        tried(&of(stored_as, encrypted), stored_as).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn server_that_is_not_there_is_an_error() {
    let nobody = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let closed = nobody.local_addr().unwrap().port();
    drop(nobody);
    let rude = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let hangs_up = rude.local_addr().unwrap().port();
    tokio::spawn(async move { while rude.accept().await.is_ok() {} });
    for stored_as in ["POSTGRES", "MYSQL"] {
        for (host, port) in [
            ("127.0.0.1", closed),
            ("127.0.0.1", hangs_up),
            ("no.such.host.invalid", 1),
        ] {
            let server = Server {
                host: host.to_owned(),
                port: Some(port),
                user: "u".to_owned(),
                password: Some("SECRET".to_owned()),
                database: "d".to_owned(),
                tls: Tls::Off,
                ..Server::default()
            };
            let connection = of(stored_as, server);
            for said in tried(&connection, stored_as).await {
                let place = format!("table 't' of {connection}: cannot connect: ");
                assert!(said.contains(&place), "{said}");
            }
        }
    }
}

#[tokio::test]
async fn file_of_sqlite_that_cannot_be_used_is_an_error() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path();
    std::fs::write(
        path.join("text.db"),
        "no database, but a longer text than its header is, a hundred bytes and some more"
            .repeat(9),
    )
    .unwrap();
    for (name, said) in [
        ("missing/a.db", "unable to open database file"),
        ("text.db", "file is not a database"),
        ("", "unable to open database file"),
    ] {
        let connection = Connection::sqlite(path.join(name));
        let rows = session().sql("SELECT 1 AS a").await.unwrap();
        let error = write_database(rows, &connection, "t", IfExists::Fail)
            .await
            .unwrap_err();
        assert!(error.to_string().contains(said), "{name}: {error}");
    }
    assert!(!path.join("missing").exists());
    // Reading makes no file.
    let ctx = session();
    let open = format!(
        "CREATE EXTERNAL TABLE t STORED AS SQLITE LOCATION '{}/new.db/t'",
        path.display()
    );
    let error = run(&ctx, &open).await.unwrap_err();
    assert_eq!(
        atio::Error::find(&error).unwrap().kind(),
        ErrorKind::TableNotFound
    );
    assert!(!path.join("new.db").exists());
    // Without a registered connection a path names the file.
    let copy = format!(
        "COPY (SELECT 1 AS a) TO '{}/new.db/t' STORED AS SQLITE",
        path.display()
    );
    run(&ctx, &copy).await.unwrap();
    run(&ctx, &open).await.unwrap();
}

async fn statements_that_name_no_table_are_refused(site: Site) {
    let ctx = site.session();
    let stored_as = site.stored_as();
    let other = if stored_as == "POSTGRES" {
        "MYSQL"
    } else {
        "POSTGRES"
    };
    let open = |location: &str, stored_as: &str| {
        format!("CREATE EXTERNAL TABLE x STORED AS {stored_as} LOCATION '{location}'")
    };
    let copy = |location: &str, rest: &str| {
        format!("COPY (SELECT 1 AS a) TO '{location}' STORED AS {stored_as} {rest}")
    };
    let mut wrong = vec![
        (open("db/t", stored_as), format!("cannot open table 't' of {}: there is no such table", site.connection())),
        (open("db/t", other), format!("connection 'db' is {}; say STORED AS {stored_as}", site.connection())),
        (open("t", stored_as), "'t' is no table of a database; name it as 'connection/table'".to_owned()),
        (open("db/", stored_as), "'' names no table of a database: a name is empty".to_owned()),
        (open("db/a.b.c", stored_as), "'a.b.c' names no table of a database: it has more parts than a schema and a table".to_owned()),
        (open("env:ATIO_NO_SUCH/t", stored_as), "the environment variable 'ATIO_NO_SUCH' does not hold the URL of a database".to_owned()),
        (open("postgres://u:SECRET@h/d/t", stored_as), format!("STORED AS {stored_as} takes no URL: it would show the password; name a registered connection, or the environment variable that holds it, as 'env:NAME/table'")),
        (format!("CREATE EXTERNAL TABLE x (a INT) STORED AS {stored_as} LOCATION 'db/t'"), "table 'x' has the columns that the database says: leave them, and all other clauses, out; COPY makes a table that is missing".to_owned()),
        (copy("db/t", "OPTIONS (if_exists 'maybe')"), "option 'if_exists' is one of fail, append and replace, not 'maybe'".to_owned()),
        (copy("db/t", "OPTIONS (compression 'zstd')"), format!("COPY .. STORED AS {stored_as} has no option 'compression'; it has 'if_exists'")),
        (copy("db/t", "PARTITIONED BY (a)"), "a table of a database is not PARTITIONED BY COPY".to_owned()),
        (copy("postgres://u:SECRET@h/d/t", ""), "takes no URL".to_owned()),
        (copy("u:SECRET@h/t", ""), "takes no URL".to_owned()),
    ];
    if stored_as != "SQLITE" {
        wrong.push((copy("nowhere/t", ""), "connection 'nowhere' is not registered; register it, or name the environment variable that holds its URL, as 'env:NAME/table'".to_owned()));
    }
    for (sql, said) in wrong {
        let error = run(&ctx, &sql).await.unwrap_err();
        assert!(error.to_string().contains(&said), "{sql}: {error}");
        shown(&error);
    }
    assert_eq!(site.tables().await, [""; 0]);
    let error = register_connection(&ctx, "db", Connection::sqlite("other.db")).unwrap_err();
    assert_eq!(
        error.message(),
        format!(
            "connection 'db' is registered already, for {}",
            site.connection()
        )
    );
    register_connection(&ctx, "db", site.connection()).unwrap();
    let error = register_connection(&ctx, "a/b", site.connection()).unwrap_err();
    assert_eq!(
        error.message(),
        "'a/b' names no connection: letters, digits, '_' and '-' do"
    );
    if let Kind::Sqlite(directory) = &site.kind {
        // A session that may not reach everything uses what its host has registered.
        let ctx = SessionContext::new();
        let allowed = directory.path().display().to_string();
        let policy = AtioPolicy::default().with_allowed_roots([allowed]).unwrap();
        atio::register_with(&ctx, policy).unwrap();
        let file = directory.path().join("b.db");
        let error = run(&ctx, &open(&format!("{}/t", file.display()), "SQLITE"))
            .await
            .unwrap_err();
        assert_eq!(
            atio::Error::find(&error).unwrap().kind(),
            ErrorKind::NotAllowed
        );
        assert!(
            error
                .to_string()
                .contains("is not registered, and this session may use no other"),
            "{error}"
        );
        register_connection(&ctx, "db", site.connection()).unwrap();
        run(&ctx, &copy("db/t", "")).await.unwrap();
        run(&ctx, &open("db/t", "SQLITE")).await.unwrap();
        run(&ctx, "DROP TABLE x").await.unwrap();
        let error = run(&ctx, &open("env:PATH/t", "SQLITE")).await.unwrap_err();
        assert_eq!(
            atio::Error::find(&error).unwrap().kind(),
            ErrorKind::NotAllowed
        );
    }
}

#[tokio::test]
async fn column_that_is_gone_is_an_error_and_never_its_name() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("db");
    let database = rusqlite::Connection::open(&file).unwrap();
    database
        .execute_batch("CREATE TABLE t (name TEXT); INSERT INTO t VALUES ('Ada')")
        .unwrap();
    let ctx = session();
    let at = file.display();
    let open = format!("CREATE EXTERNAL TABLE t STORED AS SQLITE LOCATION '{at}/t'");
    run(&ctx, &open).await.unwrap();
    database
        .execute_batch("ALTER TABLE t RENAME COLUMN name TO title")
        .unwrap();
    let error = run(&ctx, "SELECT name FROM t").await.unwrap_err();
    assert!(error.to_string().contains("no such column"), "{error}");
}

#[tokio::test]
async fn names_that_sqlite_takes_for_no_file_are_files_or_refused() {
    let ctx = session();
    let error = run(&ctx, "COPY (SELECT 1 AS a) TO '/t' STORED AS SQLITE").await;
    let error = error.unwrap_err().to_string();
    assert!(error.contains("is named by its file"), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn column_of_another_type_than_when_the_table_was_opened_is_an_error() {
    let Some(site) = Site::postgres().await else {
        return;
    };
    let ctx = site.session();
    site.ask("CREATE TABLE t (a INTEGER)").await;
    site.ask("INSERT INTO t VALUES (1)").await;
    let open = "CREATE EXTERNAL TABLE t STORED AS POSTGRES LOCATION 'db/t'";
    run(&ctx, open).await.unwrap();
    site.ask("ALTER TABLE t ALTER COLUMN a TYPE REAL").await;
    let error = run(&ctx, "SELECT a FROM t").await.unwrap_err().to_string();
    assert!(
        error.contains("column 'a' is not of the type integer any more"),
        "{error}"
    );
}
