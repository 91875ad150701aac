//! Secrets that the shell is given: nothing that it prints holds one.

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::process::Output;

use tempfile::TempDir;

use crate::{atio, stderr, stdout};

const CANARY: &str = "CANARY";

/// A server that refuses everything and repeats what it was asked with; its address.
fn refusing_server() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            std::thread::spawn(move || refuse(&stream));
        }
    });
    url
}

fn refuse(mut stream: &TcpStream) -> Option<()> {
    let mut head = String::new();
    let mut reader = BufReader::new(stream);
    while !head.ends_with("\r\n\r\n") {
        reader.read_line(&mut head).ok().filter(|read| *read > 0)?;
    }
    let body = format!(
        "<Error><Code>AccessDenied</Code><Message>No.</Message><Headers>{head}</Headers></Error>"
    );
    let length = body.len();
    let body = if head.starts_with("HEAD") { "" } else { &body };
    write!(
        stream,
        "HTTP/1.1 403 Forbidden\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}"
    )
    .ok()
}

fn shell(home: &TempDir, server: &str, arguments: &[&str]) -> Output {
    atio(home.path())
        .env("AWS_ACCESS_KEY_ID", format!("{CANARY}-id"))
        .env("AWS_SECRET_ACCESS_KEY", format!("{CANARY}-key"))
        .env("AWS_SESSION_TOKEN", format!("{CANARY}-token"))
        .env("AWS_REGION", "eu-central-1")
        .env("AWS_ENDPOINT_URL", server)
        .env("AWS_ENDPOINT", server)
        .env("AWS_ALLOW_HTTP", "true")
        .env("RUST_LOG", "atio=trace,warn")
        .args(arguments)
        .output()
        .unwrap()
}

#[test]
fn no_output_holds_a_secret() {
    let home = TempDir::new().unwrap();
    let server = refusing_server();
    let options = format!(
        "OPTIONS ('aws.access_key_id' '{CANARY}', 'aws.secret_access_key' '{CANARY}', \
         'aws.session_token' '{CANARY}', 'aws.region' 'r', 'aws.allow_http' 'true', 'aws.endpoint' '{server}')"
    );
    let create = "CREATE EXTERNAL TABLE t (a INT) STORED AS";
    for sql in [
        format!("{create} ATIO LOCATION 's3://b/t' {options}"),
        format!("EXPLAIN {create} ATIO LOCATION 's3://b/t' {options}"),
        format!("{create} CSV LOCATION 's3://b/t.csv' {options}; SELECT * FROM t"),
        format!("{create} CSV LOCATION 's3://b/t.csv' {options}; SHOW CREATE TABLE t"),
        format!("COPY (SELECT 1 AS a) TO 's3://b/t.csv' {options}"),
        format!("EXPLAIN VERBOSE COPY (SELECT 1 AS a) TO 's3://b/t.csv' {options}"),
        format!("{create} ATIO LOCATION 's3://{CANARY}:{CANARY}@b/t'"),
        format!("COPY (SELECT 1 AS a) TO 's3://{CANARY}:{CANARY}@b/t.csv'"),
        format!("SELECT * FROM 's3://{CANARY}:{CANARY}@b/t.csv'"),
        format!("SELECT * FROM atio_table('s3://b/t?{CANARY}')"),
        format!("{create} ATIO LOCATION 'x' OPTIONS ('secret' '{CANARY}')"),
        "SELECT * FROM atio_table('s3://b/t')".to_owned(),
        "SELECT * FROM 's3://b/t.csv'".to_owned(),
        "SHOW ALL".to_owned(),
    ] {
        let output = shell(&home, &server, &["-c", &sql]);
        let printed = stdout(&output) + &stderr(&output);
        assert!(!printed.is_empty(), "{sql}");
        assert!(!printed.contains(CANARY), "{sql}:\n{printed}");
        assert!(!printed.contains("panic"), "{sql}:\n{printed}");
    }
    let warehouse = ["--warehouse", "s3://b/w", "-c", "SELECT * FROM t"];
    let output = shell(&home, &server, &warehouse);
    let printed = stdout(&output) + &stderr(&output);
    assert!(
        printed.contains("AccessDenied") || printed.contains("403"),
        "{printed}"
    );
    assert!(!printed.contains(CANARY), "{printed}");
}
