//! Locations on object stores: what the environment says, and what the shell says of it.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::Duration;

use tempfile::TempDir;

use super::{atio, failed};

/// The shell without anything in its environment that names an object store.
fn shell(home: &TempDir, environment: &[(&str, &str)], arguments: &[&str]) -> String {
    let mut command = atio(home.path());
    for (name, _) in std::env::vars_os() {
        let name = name.to_string_lossy().into_owned();
        let store = ["AWS_", "AZURE_", "AZURITE_", "GOOGLE_"];
        if store.iter().any(|prefix| name.starts_with(prefix)) || name == "SERVICE_ACCOUNT" {
            command.env_remove(name);
        }
    }
    let environment = environment.iter().copied();
    let output = command.envs(environment).args(arguments).output().unwrap();
    failed(&output)
}

/// Answers every request with 404 and this code; gives the address, and the requests.
fn server(code: &'static str) -> (String, Receiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let (sender, requests) = channel();
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let mut reader = BufReader::new(stream);
            let mut head = String::new();
            let mut length = 0;
            loop {
                let mut line = String::new();
                if reader.read_line(&mut line).unwrap_or(0) == 0 || line == "\r\n" {
                    break;
                }
                if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
                    length = value.trim().parse().unwrap_or(0);
                }
                head.push_str(&line);
            }
            let mut body = vec![0; length];
            reader.read_exact(&mut body).ok();
            let answer = match head.starts_with("HEAD") {
                true => String::new(),
                false => format!("<Error><Code>{code}</Code><Message>No</Message></Error>"),
            };
            write!(
                reader.get_mut(),
                "HTTP/1.1 404 Not Found\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{answer}",
                answer.len()
            )
            .ok();
            sender.send(head).ok();
        }
    });
    (address, requests)
}

fn open(store: &str, options: &str) -> String {
    format!("CREATE EXTERNAL TABLE t STORED AS ATIO LOCATION '{store}/p/t' {options}")
}

/// What every service says of a store that is not there, by a table and by a warehouse.
#[track_caller]
fn check_missing(store: &str, environment: &[(&str, &str)], requests: &Receiver<String>) -> String {
    let home = TempDir::new().unwrap();
    let expected = "does not exist or is not visible to these credentials";
    let message = shell(&home, environment, &["-c", &open(store, "")]);
    assert!(message.contains(expected), "{message}");
    let warehouse = format!("{store}/w");
    let arguments = ["--warehouse", &warehouse, "-c", "CREATE TABLE t (a INT)"];
    let warehouse = shell(&home, environment, &arguments);
    assert!(warehouse.contains(expected), "{warehouse}");
    assert!(!format!("{message}{warehouse}").contains("HUSH"));
    requests.recv_timeout(Duration::from_secs(10)).unwrap()
}

#[test]
fn s3_is_found_by_the_environment() {
    let (address, requests) = server("NoSuchBucket");
    let environment = [
        ("AWS_ENDPOINT", address.as_str()),
        ("AWS_ALLOW_HTTP", "true"),
        ("AWS_ACCESS_KEY_ID", "someone"),
        ("AWS_SECRET_ACCESS_KEY", "HUSH"),
    ];
    for scheme in ["s3", "s3a"] {
        let request = check_missing(&format!("{scheme}://bucket"), &environment, &requests);
        assert!(request.contains(" /bucket/p/t/_current"), "{request}");
        assert!(request.contains("Credential=someone/"), "{request}");
        while requests.try_recv().is_ok() {}
    }
}

#[test]
fn gcs_is_found_by_the_environment() {
    let (address, requests) = server("NoSuchBucket");
    let environment = [
        ("GOOGLE_BASE_URL", address.as_str()),
        ("GOOGLE_ALLOW_HTTP", "true"),
        ("GOOGLE_SKIP_SIGNATURE", "true"),
    ];
    let request = check_missing("gs://bucket", &environment, &requests);
    assert!(request.contains(" /bucket/p"), "{request}");
}

#[test]
fn azure_is_found_by_the_environment() {
    let (address, requests) = server("ContainerNotFound");
    let emulator = [
        ("AZURE_STORAGE_USE_EMULATOR", "true"),
        ("AZURITE_BLOB_STORAGE_URL", address.as_str()),
    ];
    let request = check_missing("az://container", &emulator, &requests);
    let expected = " /devstoreaccount1/container/p/t/_current";
    assert!(request.contains(expected), "{request}");
    while requests.try_recv().is_ok() {}

    let endpoint = [
        ("AZURE_STORAGE_ENDPOINT", address.as_str()),
        ("AZURE_ALLOW_HTTP", "true"),
        ("AZURE_STORAGE_ACCOUNT_KEY", "SFVTSA=="),
    ];
    let store = "abfss://container@account.dfs.core.windows.net";
    let request = check_missing(store, &endpoint, &requests);
    assert!(request.contains(" /container/p/t/_current"), "{request}");
    assert!(request.contains("SharedKey account:"), "{request}");
    while requests.try_recv().is_ok() {}

    // The options of a statement go before the environment, and nowhere else.
    let options = format!(
        "OPTIONS ('azure.account_name' 'other', 'azure.account_key' 'SFVTSA==', \
         'azure.endpoint' '{address}', 'azure.allow_http' 'true', 'atio.single_writer' 'true')"
    );
    let home = TempDir::new().unwrap();
    let message = shell(&home, &[], &["-c", &open("az://container", &options)]);
    assert!(
        message.contains("container container does not"),
        "{message}"
    );
    let request = requests.recv_timeout(Duration::from_secs(10)).unwrap();
    assert!(request.contains("SharedKey other:"), "{request}");
}

#[test]
fn what_is_missing_in_the_environment_is_named() {
    let home = TempDir::new().unwrap();
    let message = shell(&home, &[], &["-c", &open("az://container", "")]);
    assert!(message.contains("AZURE_STORAGE_ACCOUNT_NAME"), "{message}");
    let nobody = [("AWS_EC2_METADATA_DISABLED", "true")];
    let message = shell(&home, &nobody, &["-c", &open("s3://bucket", "")]);
    assert!(
        message.contains("cannot connect to s3://bucket: set AWS_ACCESS_KEY_ID"),
        "{message}"
    );
    let plain = [
        ("AWS_ENDPOINT_URL", "http://127.0.0.1:1"),
        ("AWS_ACCESS_KEY_ID", "someone"),
        ("AWS_SECRET_ACCESS_KEY", "HUSH"),
    ];
    let message = shell(&home, &plain, &["-c", &open("s3://bucket", "")]);
    assert!(message.contains("set AWS_ALLOW_HTTP to true"), "{message}");
    assert!(!message.contains("HUSH"), "{message}");
    let options = "OPTIONS ('azure.colour' 'HUSH')";
    let message = shell(&home, &[], &["-c", &open("az://container", options)]);
    assert!(message.contains("option 'azure.colour'"), "{message}");
    assert!(!message.contains("HUSH"), "{message}");
}
