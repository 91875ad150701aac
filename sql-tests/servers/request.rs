//! A request as the server of the tests sees it: what it asks for, and of which object.

use std::collections::BTreeMap;

use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::header::IF_NONE_MATCH;
use hyper::{HeaderMap, Method, Uri};

/// What a request asks for, in the words of S3, GCS or Azure alike.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    Get,
    Head,
    List,
    /// Writes whatever is there.
    Put,
    /// Writes if nothing is there.
    Create,
    /// Writes over one known object.
    Update,
    Delete,
    DeleteMany,
    BeginUpload,
    PutPart,
    CompleteUpload,
    AbortUpload,
    ListUploads,
    Other,
}

/// One request, read to its end.
#[derive(Debug, Clone)]
pub(super) struct Request {
    pub(super) kind: Kind,
    pub(super) method: Method,
    pub(super) uri: Uri,
    pub(super) headers: HeaderMap,
    pub(super) query: BTreeMap<String, String>,
    pub(super) bucket: String,
    /// Decoded; empty for a request about the bucket.
    pub(super) key: String,
    pub(super) body: Bytes,
}

impl Request {
    pub(super) async fn read(request: hyper::Request<Incoming>) -> Result<Self, hyper::Error> {
        let (head, body) = request.into_parts();
        let body = body.collect().await?.to_bytes();
        let query = head.uri.query().unwrap_or_default();
        let query: BTreeMap<String, String> = url::form_urlencoded::parse(query.as_bytes())
            .into_owned()
            .collect();
        let path = decode(head.uri.path());
        let path = path.trim_start_matches('/');
        // The emulator of Azure has the account before the container.
        let path = path.strip_prefix("devstoreaccount1/").unwrap_or(path);
        let (bucket, key) = path.split_once('/').unwrap_or((path, ""));
        Ok(Self {
            kind: kind(&head.method, &head.headers, &query, key),
            bucket: bucket.to_owned(),
            key: key.to_owned(),
            method: head.method,
            uri: head.uri,
            headers: head.headers,
            query,
            body,
        })
    }

    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }
}

fn kind(method: &Method, headers: &HeaderMap, query: &BTreeMap<String, String>, key: &str) -> Kind {
    let has = |name: &str| query.contains_key(name);
    let of_azure = query.get("comp").map(String::as_str);
    let absent = headers.get(IF_NONE_MATCH).is_some_and(|tag| tag == "*")
        || headers
            .get("x-goog-if-generation-match")
            .is_some_and(|generation| generation == "0");
    let known =
        headers.contains_key("if-match") || headers.contains_key("x-goog-if-generation-match");
    match *method {
        Method::GET if has("uploads") => Kind::ListUploads,
        Method::GET if key.is_empty() => Kind::List,
        Method::GET => Kind::Get,
        Method::HEAD => Kind::Head,
        Method::POST if has("delete") => Kind::DeleteMany,
        Method::POST if has("uploads") => Kind::BeginUpload,
        Method::POST if has("uploadId") => Kind::CompleteUpload,
        Method::POST if of_azure == Some("batch") => Kind::DeleteMany,
        Method::DELETE if has("uploadId") => Kind::AbortUpload,
        Method::DELETE => Kind::Delete,
        Method::PUT if has("partNumber") || of_azure == Some("block") => Kind::PutPart,
        Method::PUT if of_azure == Some("blocklist") => Kind::CompleteUpload,
        Method::PUT if key.is_empty() => Kind::Other,
        Method::PUT if absent => Kind::Create,
        Method::PUT if known => Kind::Update,
        Method::PUT => Kind::Put,
        _ => Kind::Other,
    }
}

/// Undoes the escapes of a path: `%2F` is a slash.
fn decode(path: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = path.as_bytes();
    while let [first, tail @ ..] = rest {
        rest = tail;
        let escaped = match (first, tail) {
            (b'%', [high, low, ..]) => std::str::from_utf8(&[*high, *low])
                .ok()
                .and_then(|digits| u8::from_str_radix(digits, 16).ok()),
            _ => None,
        };
        bytes.push(escaped.unwrap_or(*first));
        if escaped.is_some() {
            rest = &tail[2..];
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}
