//! A server that refuses every request, and repeats in its answer all that it was asked
//! with, as S3 does.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};

pub(super) struct Endpoint {
    url: String,
}

impl Endpoint {
    /// Answers until the process ends.
    pub(super) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                std::thread::spawn(move || answer(&stream));
            }
        });
        Self { url }
    }

    pub(super) fn url(&self) -> String {
        self.url.clone()
    }
}

fn answer(stream: &TcpStream) -> Option<()> {
    let mut reader = BufReader::new(stream);
    let mut head = String::new();
    let mut length = 0;
    loop {
        let start = head.len();
        reader.read_line(&mut head).ok()?;
        let line = head[start..].trim();
        if line.is_empty() {
            break;
        }
        let (name, value) = line.split_once(':').unwrap_or((line, ""));
        if name.eq_ignore_ascii_case("content-length") {
            length = value.trim().parse().ok()?;
        }
    }
    std::io::copy(&mut reader.by_ref().take(length), &mut std::io::sink()).ok()?;
    let (status, code) = match head.split('/').nth(1)? {
        "denied" => ("403 Forbidden", "SignatureDoesNotMatch"),
        "missing" => ("404 Not Found", "NoSuchBucket"),
        _ => ("500 Internal Server Error", "InternalError"),
    };
    let header = |name: &str| {
        head.lines()
            .find_map(|line| line.strip_prefix(name))
            .unwrap_or_default()
            .trim()
            .to_owned()
    };
    let body = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error><Code>{code}</Code><Message>No.</Message>\
         <AWSAccessKeyId>{}</AWSAccessKeyId><Token-0>{}</Token-0>\
         <CanonicalRequest>{head}</CanonicalRequest></Error>",
        header("authorization:"),
        header("x-amz-security-token:"),
    );
    let length = body.len();
    let body = match head.starts_with("HEAD") {
        true => String::new(),
        false => body,
    };
    let mut stream = stream;
    write!(
        stream,
        "HTTP/1.1 {status}\r\nContent-Type: application/xml\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}"
    )
    .ok()
}
