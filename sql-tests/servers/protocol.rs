//! S3 and GCS as far as their clients need them: one protocol in two dialects.

use bytes::Bytes;
use hyper::header::{CONTENT_LENGTH, CONTENT_RANGE, ETAG, LAST_MODIFIED};
use hyper::{Response, StatusCode};

use super::bucket::{Bucket, Condition, Object, Page, Refused};
use super::request::{Kind, Request};

/// How many names a page of a listing holds: few, so that listings have several pages.
const PAGE: usize = 20;

/// Which of the two the server speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Dialect {
    S3,
    Gcs,
}

impl Dialect {
    /// Does what `request` asks for; `name` is what the bucket is called.
    pub(super) async fn answer(
        self,
        name: &str,
        bucket: &Bucket,
        request: &Request,
    ) -> Response<Bytes> {
        if request.bucket != name {
            return error(StatusCode::NOT_FOUND, "NoSuchBucket");
        }
        let key = request.key.as_str();
        let body = request.body.clone();
        match request.kind {
            Kind::Get | Kind::Head => match bucket.get(key) {
                Some(object) => read(&object, request),
                None => error(StatusCode::NOT_FOUND, "NoSuchKey"),
            },
            Kind::List => list(bucket, request),
            Kind::Put | Kind::Create | Kind::Update => {
                let condition = self.condition(request);
                written(bucket.put(key, body, condition).await)
            }
            Kind::Delete => match (bucket.delete(key), self) {
                (false, Self::Gcs) => error(StatusCode::NOT_FOUND, "NoSuchKey"),
                _ => status(StatusCode::NO_CONTENT),
            },
            Kind::DeleteMany if self == Self::S3 => delete_many(bucket, &body),
            Kind::BeginUpload => {
                let id = bucket.begin(key);
                xml(format!(
                    "<InitiateMultipartUploadResult><Bucket>{name}</Bucket><Key>{}</Key><UploadId>{id}</UploadId></InitiateMultipartUploadResult>",
                    escape(key)
                ))
            }
            Kind::PutPart => {
                let number = request.query.get("partNumber").and_then(|n| n.parse().ok());
                written(bucket.part(upload(request), number.unwrap_or(0), body))
            }
            Kind::CompleteUpload => match bucket.complete(upload(request), &parts(&body)) {
                Ok(generation) => xml(format!(
                    "<CompleteMultipartUploadResult><Key>{}</Key><ETag>{}</ETag></CompleteMultipartUploadResult>",
                    escape(key),
                    escape(&tag(generation))
                )),
                refused => written(refused),
            },
            Kind::AbortUpload => match bucket.abort(upload(request)) {
                true => status(StatusCode::NO_CONTENT),
                false => error(StatusCode::NOT_FOUND, "NoSuchUpload"),
            },
            Kind::ListUploads => {
                let uploads = bucket.uploads().into_iter().map(|(id, key)| {
                    let key = escape(&key);
                    format!("<Upload><Key>{key}</Key><UploadId>{id}</UploadId></Upload>")
                });
                let uploads: String = uploads.collect();
                xml(format!(
                    "<ListMultipartUploadsResult>{uploads}</ListMultipartUploadsResult>"
                ))
            }
            Kind::DeleteMany | Kind::Other => error(StatusCode::NOT_IMPLEMENTED, "NotImplemented"),
        }
    }

    fn condition(self, request: &Request) -> Condition {
        let found = match (self, request.kind) {
            (_, Kind::Create) => return Condition::Absent,
            (Self::S3, Kind::Update) => request.header("if-match"),
            (Self::Gcs, Kind::Update) => request.header("x-goog-if-generation-match"),
            _ => return Condition::Nothing,
        };
        // A tag that is none of ours matches nothing.
        let generation = found.and_then(|tag| tag.trim_matches('"').parse().ok());
        Condition::Is(generation.unwrap_or(u64::MAX))
    }
}

/// An answer that says `code`, as both dialects word errors.
pub(super) fn error(code: StatusCode, name: &str) -> Response<Bytes> {
    let body = format!("<Error><Code>{name}</Code><Message>said by the test</Message></Error>");
    let mut answer = xml(body);
    *answer.status_mut() = code;
    answer
}

fn upload(request: &Request) -> &str {
    request.query.get("uploadId").map_or("", String::as_str)
}

fn tag(generation: u64) -> String {
    format!("\"{generation}\"")
}

fn status(code: StatusCode) -> Response<Bytes> {
    let mut answer = Response::new(Bytes::new());
    *answer.status_mut() = code;
    answer
}

fn xml(body: String) -> Response<Bytes> {
    let body = format!("<?xml version=\"1.0\" encoding=\"UTF-8\"?>{body}");
    let answer = Response::builder().header("content-type", "application/xml");
    answer.body(body.into()).unwrap()
}

fn written(outcome: Result<u64, Refused>) -> Response<Bytes> {
    match outcome {
        Ok(generation) => Response::builder()
            .header(ETAG, tag(generation))
            .header("x-goog-generation", generation)
            .body(Bytes::new())
            .unwrap(),
        Err(Refused::Condition) => error(StatusCode::PRECONDITION_FAILED, "PreconditionFailed"),
        Err(Refused::NoSuchUpload) => error(StatusCode::NOT_FOUND, "NoSuchUpload"),
        Err(Refused::InvalidPart) => error(StatusCode::BAD_REQUEST, "InvalidPart"),
        Err(Refused::PartTooSmall) => error(StatusCode::BAD_REQUEST, "EntityTooSmall"),
    }
}

fn read(object: &Object, request: &Request) -> Response<Bytes> {
    let size = object.bytes.len();
    let modified = object.modified.format("%a, %d %b %Y %H:%M:%S GMT");
    let answer = Response::builder()
        .header(ETAG, tag(object.generation))
        .header(LAST_MODIFIED, modified.to_string())
        .header("x-goog-generation", object.generation)
        .header("accept-ranges", "bytes");
    let Some(wanted) = request.header("range") else {
        let answer = answer.header(CONTENT_LENGTH, size);
        return answer.body(object.bytes.clone()).unwrap();
    };
    let range = wanted
        .strip_prefix("bytes=")
        .and_then(|wanted| wanted.split_once('-'))
        .and_then(|(from, to)| {
            Some(match (from, to) {
                ("", last) => size.saturating_sub(last.parse().ok()?)..size,
                (from, "") => from.parse().ok()?..size,
                (from, to) => from.parse().ok()?..size.min(to.parse::<usize>().ok()? + 1),
            })
        });
    match range {
        Some(range) if range.start < range.end => answer
            .status(StatusCode::PARTIAL_CONTENT)
            .header(
                CONTENT_RANGE,
                format!("bytes {}-{}/{size}", range.start, range.end - 1),
            )
            .header(CONTENT_LENGTH, range.len())
            .body(object.bytes.slice(range))
            .unwrap(),
        _ => error(StatusCode::RANGE_NOT_SATISFIABLE, "InvalidRange"),
    }
}

fn list(bucket: &Bucket, request: &Request) -> Response<Bytes> {
    let query = |name: &str| request.query.get(name).map_or("", String::as_str);
    let most = query("max-keys").parse().unwrap_or(PAGE).min(PAGE);
    let after = query("start-after").max(query("continuation-token"));
    let page = bucket.list(query("prefix"), query("delimiter") == "/", after, most);
    let Page {
        objects,
        folders,
        next,
    } = page;
    let mut body = format!(
        "<ListBucketResult><IsTruncated>{}</IsTruncated>",
        next.is_some()
    );
    for (key, object) in objects {
        body += &format!(
            "<Contents><Key>{}</Key><LastModified>{}</LastModified><ETag>{}</ETag><Size>{}</Size></Contents>",
            escape(&key),
            object.modified.format("%Y-%m-%dT%H:%M:%S%.3fZ"),
            escape(&tag(object.generation)),
            object.bytes.len()
        );
    }
    for folder in folders {
        let folder = escape(&folder);
        body += &format!("<CommonPrefixes><Prefix>{folder}</Prefix></CommonPrefixes>");
    }
    if let Some(next) = next {
        let next = escape(&next);
        body += &format!("<NextContinuationToken>{next}</NextContinuationToken>");
    }
    xml(body + "</ListBucketResult>")
}

fn delete_many(bucket: &Bucket, body: &[u8]) -> Response<Bytes> {
    let deleted = texts(body, "Key").into_iter().map(|key| {
        bucket.delete(&key);
        format!("<Deleted><Key>{}</Key></Deleted>", escape(&key))
    });
    let deleted: String = deleted.collect();
    xml(format!("<DeleteResult>{deleted}</DeleteResult>"))
}

/// The parts that the end of an upload names, by number and generation.
fn parts(body: &[u8]) -> Vec<(usize, u64)> {
    let numbers = texts(body, "PartNumber");
    let tags = texts(body, "ETag");
    let parts = numbers.iter().zip(tags);
    let parts = parts.map(|(number, tag)| {
        (
            number.parse().unwrap_or(0),
            tag.trim_matches('"').parse().unwrap_or(0),
        )
    });
    parts.collect()
}

/// The texts of all elements called `name`.
pub(super) fn texts(body: &[u8], name: &str) -> Vec<String> {
    let body = String::from_utf8_lossy(body);
    let (open, close) = (format!("<{name}>"), format!("</{name}>"));
    let elements = body.split(&open).skip(1);
    let texts = elements.filter_map(|rest| rest.split_once(&close));
    texts.map(|(text, _)| unescape(text)).collect()
}

const ESCAPES: [(&str, &str); 5] = [
    // First here and last on the way back, for the others hold one.
    ("&", "&amp;"),
    ("<", "&lt;"),
    (">", "&gt;"),
    ("\"", "&quot;"),
    ("'", "&apos;"),
];

fn escape(text: &str) -> String {
    let text = text.to_owned();
    ESCAPES
        .iter()
        .fold(text, |text, (plain, escaped)| text.replace(plain, escaped))
}

fn unescape(text: &str) -> String {
    let text = text.to_owned();
    let mut escapes = ESCAPES.iter().rev();
    escapes
        .by_ref()
        .fold(text, |text, (plain, escaped)| text.replace(escaped, plain))
}
