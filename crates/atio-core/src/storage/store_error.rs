//! What went wrong on a store elsewhere, in words that have an end and hold no secret.
//!
//! A store's own text holds URLs, and whatever a server answered: of any length, and with
//! key ids and signatures in it. Only what tells people what to do is kept.

use std::fmt;

use object_store::Error as StoreError;

use crate::error::{Error, ErrorKind};
use crate::redact::redact;

/// A message repeats no more of a store's own text than so many bytes.
const LIMIT: usize = 512;
/// What servers call a bucket or container that is not there.
const NO_STORE: [&str; 4] = [
    "NoSuchBucket",
    "ContainerNotFound",
    "ContainerBeingDeleted",
    "FilesystemNotFound",
];
/// Whom a client asks for credentials where it was given none.
const ROLES: [&str; 3] = [
    "169.254.169.254",
    "169.254.170.2",
    "metadata.google.internal",
];

/// What messages call a store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct StoreName {
    service: String,
    noun: &'static str,
    name: String,
}

/// The source of every error of a store elsewhere.
#[derive(Debug)]
enum Trouble {
    /// The bucket, container or account is not there, or not to be seen.
    NoStore(String),
    /// The store knows who asks, or does not, and refuses.
    Denied(String),
    Other(String),
}

impl StoreName {
    /// The store of `location`, which is a URL without credentials.
    pub(crate) fn of(location: &str) -> Self {
        let (scheme, rest) = location.split_once("://").unwrap_or(("", location));
        let host = rest.split('/').next().unwrap_or_default();
        let (service, noun) = match scheme {
            "s3" | "s3a" => ("s3", "bucket"),
            "gs" | "gcs" => ("gs", "bucket"),
            "oss" | "cos" => (scheme, "bucket"),
            "az" | "azure" | "adl" | "abfs" | "abfss" => ("azure", "container"),
            scheme => (scheme, "store"),
        };
        Self {
            service: service.to_owned(),
            noun,
            // Of container@account the part that is most often wrong.
            name: host.split('@').next().unwrap_or_default().to_owned(),
        }
    }

    /// The same error with a text that can be shown. `listing` tells that nothing in the
    /// store was named, so that "not found" can only be about the store.
    pub(crate) fn plain(&self, error: StoreError, listing: bool) -> StoreError {
        if trouble(&error).is_some() {
            return error;
        }
        let text = error.to_string();
        let (status, code) = (status(&text), element(&text, "Code"));
        let no_store =
            code.is_some_and(|code| NO_STORE.contains(&code)) || (listing && status == Some("404"));
        let denied = matches!(
            error,
            StoreError::PermissionDenied { .. } | StoreError::Unauthenticated { .. }
        ) || matches!(status, Some("401" | "403"));
        let source: Box<dyn std::error::Error + Send + Sync> = Box::new(if no_store {
            Trouble::NoStore(format!(
                "{} {} does not exist or is not visible to these credentials",
                self.noun, self.name
            ))
        } else if denied {
            let status = match (status, code) {
                (Some(status), Some(code)) => format!(" (HTTP {status} {})", shortened(code)),
                (Some(status), None) => format!(" (HTTP {status})"),
                _ => String::new(),
            };
            Trouble::Denied(format!(
                "permission denied by {} for {} {}{status}",
                self.service, self.noun, self.name
            ))
        } else {
            Trouble::Other(shortened(&redact(&cause(&error))))
        });
        match error {
            // Not one object is missing, all are.
            StoreError::NotFound { .. } if no_store => StoreError::Generic {
                store: "remote",
                source,
            },
            StoreError::NotFound { path, .. } => StoreError::NotFound { path, source },
            StoreError::AlreadyExists { path, .. } => StoreError::AlreadyExists { path, source },
            StoreError::Precondition { path, .. } => StoreError::Precondition { path, source },
            StoreError::NotModified { path, .. } => StoreError::NotModified { path, source },
            StoreError::PermissionDenied { path, .. } => {
                StoreError::PermissionDenied { path, source }
            }
            StoreError::Unauthenticated { path, .. } => {
                StoreError::Unauthenticated { path, source }
            }
            StoreError::NotSupported { .. } => StoreError::NotSupported { source },
            StoreError::Generic { store, .. } => StoreError::Generic { store, source },
            // Theirs say nothing of a server's.
            other => other,
        }
    }
}

/// Our error for a failure of a store while doing `what`: "cannot read x".
pub fn explain(what: impl fmt::Display, error: StoreError) -> Error {
    let failed = Error::new(ErrorKind::Storage, what.to_string());
    match trouble(&error) {
        Some(Trouble::NoStore(text)) => Error::new(ErrorKind::StoreNotFound, text.clone()),
        Some(Trouble::Denied(text)) => Error::new(ErrorKind::Storage, format!("{what}: {text}")),
        // Its own words are "Generic", and the name of a type.
        _ => match error {
            StoreError::Generic { source, .. } => failed.with_source(source),
            error => failed.with_source(error),
        },
    }
}

/// True if another object is there, and so nothing was written.
pub fn is_taken(error: &StoreError) -> bool {
    matches!(
        error,
        StoreError::AlreadyExists { .. } | StoreError::Precondition { .. }
    )
}

/// True if the store knew the request and would not have it: nothing was done, nor will be.
pub fn is_refused(error: &StoreError) -> bool {
    is_final(error) || is_not_implemented(error)
}

/// True if trying again cannot help: the store is not there, or refuses who asks.
pub(crate) fn is_final(error: &StoreError) -> bool {
    matches!(
        trouble(error),
        Some(Trouble::NoStore(_) | Trouble::Denied(_))
    )
}

/// True if the store said that it does not know the operation.
pub(crate) fn is_not_implemented(error: &StoreError) -> bool {
    matches!(
        error,
        StoreError::NotImplemented { .. } | StoreError::NotSupported { .. }
    ) || status(&error.to_string()) == Some("501")
}

fn trouble(error: &StoreError) -> Option<&Trouble> {
    std::error::Error::source(error)?.downcast_ref()
}

/// What caused the error, in one line: what its kind adds is not repeated, nor is the client's
/// configuration; what the operating system said, or that nobody is signed in, is added.
fn cause<'a>(error: &'a StoreError) -> String {
    let first = std::error::Error::source(error);
    let mut text = first.map_or_else(|| error.to_string(), ToString::to_string);
    if let Some(page) = find_ignoring_case(&text, &["<html", "<!doctype"]) {
        text.replace_range(page.., "(a web page)");
    }
    if let Some(start) = text.find(", max_retries: ")
        && let Some(length) = text[start..].find(" - ")
    {
        text.replace_range(start..start + length, "");
    }
    let mut text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let below = |error: &&'a (dyn std::error::Error + 'static)| error.source();
    let last = std::iter::successors(first.as_ref().and_then(below), below).last();
    if let Some(last) = last.map(ToString::to_string)
        && !text.contains(&last)
    {
        text = format!("{text}: {last}");
    }
    if ROLES.iter().any(|asked| text.contains(asked)) {
        text = format!(
            "no credentials are in the environment, and asking for those of this machine failed: {text}"
        );
    }
    text
}

fn find_ignoring_case(text: &str, words: &[&str]) -> Option<usize> {
    let text = text.to_ascii_lowercase();
    words.iter().filter_map(|word| text.find(word)).min()
}

/// The HTTP status that a text reports.
fn status(text: &str) -> Option<&str> {
    let (_, rest) = text.split_once("status code: ")?;
    rest.get(..3)
        .filter(|status| status.bytes().all(|b| b.is_ascii_digit()))
}

/// The content of the first XML element called `name`.
fn element<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    let (_, rest) = text.split_once(&format!("<{name}>"))?;
    Some(rest.split_once('<')?.0.trim())
}

fn shortened(text: &str) -> String {
    let text = text.trim();
    match text
        .char_indices()
        .find(|(at, c)| at + c.len_utf8() > LIMIT)
    {
        None => text.to_owned(),
        Some((end, _)) => format!("{}..", &text[..end]),
    }
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (Self::NoStore(text) | Self::Denied(text) | Self::Other(text)) = self;
        f.write_str(text)
    }
}

impl std::error::Error for Trouble {}

#[cfg(test)]
mod tests {
    use super::*;

    const GET: &str = "Error performing GET http://127.0.0.1:9000/b/t/x?sig=SECRET in 3ms, after 2 retries  - Server returned non-2xx status code: ";

    fn not_found(text: &str) -> StoreError {
        StoreError::NotFound {
            path: "t/x".to_owned(),
            source: text.to_owned().into(),
        }
    }

    fn generic(text: &str) -> StoreError {
        StoreError::Generic {
            store: "S3",
            source: text.to_owned().into(),
        }
    }

    #[test]
    fn a_missing_bucket_is_told_from_a_missing_object() {
        let store_name = StoreName::of("s3://b/t");
        let object = not_found(&format!(
            "{GET}404 Not Found: <Error><Code>NoSuchKey</Code>"
        ));
        assert!(matches!(
            store_name.plain(object, false),
            StoreError::NotFound { .. }
        ));
        for (error, listing) in [
            (
                not_found(&format!(
                    "{GET}404 Not Found: <Error><Code>NoSuchBucket</Code></Error>"
                )),
                false,
            ),
            (generic(&format!("{GET}404 Not Found: ")), true),
        ] {
            let error = explain("cannot read x", store_name.plain(error, listing));
            assert_eq!(error.kind(), ErrorKind::StoreNotFound);
            assert_eq!(
                error.to_string(),
                "bucket b does not exist or is not visible to these credentials"
            );
        }
        let container = not_found("status code: 404 : <Code>ContainerNotFound</Code>");
        let store_name = StoreName::of("abfss://c@account.dfs.core.windows.net/t");
        let text = explain("", store_name.plain(container, false)).to_string();
        assert!(text.starts_with("container c does not exist"), "{text}");
    }

    #[test]
    fn a_refusal_names_the_store_and_not_the_key() {
        let body = "403 Forbidden: <Error><Code>InvalidAccessKeyId</Code><AWSAccessKeyId>AKIASECRET</AWSAccessKeyId></Error>";
        let denied = StoreError::PermissionDenied {
            path: "t/x".to_owned(),
            source: format!("{GET}{body}").into(),
        };
        let error = StoreName::of("s3a://b/t").plain(denied, false);
        let error = explain("cannot read x", error);
        assert_eq!(
            format!("{error}"),
            "cannot read x: permission denied by s3 for bucket b (HTTP 403 InvalidAccessKeyId)"
        );
        assert!(!format!("{error:?}").contains("SECRET"), "{error:?}");
        // A listing says so in another way.
        let listed = generic("Error performing list request: status code: 403 Forbidden: ");
        let error = explain(
            "cannot list x",
            StoreName::of("gs://b/t").plain(listed, true),
        );
        assert_eq!(
            error.to_string(),
            "cannot list x: permission denied by gs for bucket b (HTTP 403)"
        );
    }

    #[test]
    fn what_a_server_answers_is_cut_short_and_holds_no_query() {
        let store_name = StoreName::of("s3://b/t");
        let body = "x".repeat(10_000);
        let error = store_name.plain(generic(&format!("{GET}500 Internal: {body}")), false);
        let text = explain("cannot read x", error).to_string();
        assert!(text.len() < 600 && text.ends_with(".."), "{text}");
        assert!(
            text.contains("GET http://127.0.0.1:9000/b/t/x in 3ms"),
            "{text}"
        );
        let xml = "500 Internal: <?xml?><Error><Code>SlowDown</Code><Message>Later</Message><HostId>SECRET</HostId>";
        let error = store_name.plain(generic(&format!("{GET}{xml}")), false);
        let text = format!("{:?}", explain("cannot read x", error));
        assert!(text.contains("SlowDown: Later"), "{text}");
        assert!(!text.contains("SECRET"), "{text}");
        assert_eq!(shortened(&"ä".repeat(400)).chars().count(), 258);
    }

    /// What a client says, and what it was told by the operating system.
    #[derive(Debug)]
    struct Layer(&'static str, Option<Box<Layer>>);

    impl fmt::Display for Layer {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str(self.0)
        }
    }

    impl std::error::Error for Layer {
        fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
            Some(self.1.as_deref()?)
        }
    }

    fn shown(layer: Layer) -> String {
        let error = StoreError::Generic {
            store: "S3",
            source: Box::new(layer),
        };
        explain(
            "cannot read x",
            StoreName::of("s3://b/t").plain(error, false),
        )
        .to_string()
    }

    #[test]
    fn the_cause_of_a_request_that_came_nowhere_is_told_and_the_configuration_is_not() {
        let text = "Error performing GET http://127.0.0.1:9/b/t/x in 3s, after 10 retries, max_retries: 10, retry_timeout: 60s  - HTTP error: error sending request";
        let system = Layer("Connection refused (os error 111)", None);
        let http = Layer("tcp connect error", Some(Box::new(system)));
        assert_eq!(
            shown(Layer(text, Some(Box::new(http)))),
            "cannot read x: Error performing GET http://127.0.0.1:9/b/t/x in 3s, after 10 retries - HTTP error: error sending request: Connection refused (os error 111)"
        );
    }

    #[test]
    fn somebody_who_is_not_signed_in_is_told_so() {
        let text = "Error performing PUT http://169.254.169.254/latest/api/token in 5s - HTTP error: error sending request";
        let shown = shown(Layer(text, None));
        assert!(
            shown.starts_with("cannot read x: no credentials are in the environment, and"),
            "{shown}"
        );
    }

    #[test]
    fn web_pages_are_not_repeated() {
        let text = "Server returned non-2xx status code: 502 Bad Gateway:\n<!DOCTYPE html>\n<HTML><body>\nEvery line of it\n</body></HTML>";
        assert_eq!(
            shown(Layer(text, None)),
            "cannot read x: Server returned non-2xx status code: 502 Bad Gateway: (a web page)"
        );
    }
}
