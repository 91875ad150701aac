//! Locations: a path or a URL, as a person writes it.

use std::path::{Path as LocalPath, PathBuf};

use datafusion::execution::object_store::ObjectStoreUrl;
use object_store::path::Path;
use url::Url;

use crate::error::{Error, Result};

/// A place on a store.
#[derive(Debug, Clone)]
pub(super) struct Location {
    pub(super) store: ObjectStoreUrl,
    pub(super) path: Path,
    /// On the local disk.
    pub(super) local: Option<PathBuf>,
    /// How messages show it, and what tells places apart.
    shown: String,
}

impl Location {
    /// Parses a local path, a `file://` URL or the URL of a registered store.
    ///
    /// Refuses what could carry a secret or mean two things: user information, queries,
    /// fragments, control characters.
    pub(super) fn parse(text: &str) -> Result<Self> {
        if text.trim().is_empty() {
            return Err(Error::invalid("the location is empty"));
        }
        if let Some(control) = text.chars().find(|c| c.is_control()) {
            return Err(Error::invalid(format!(
                "the location holds the control character {}",
                control.escape_default()
            )));
        }
        if !text.contains("://") {
            return Self::local(LocalPath::new(text));
        }
        let url = Url::parse(text)
            .map_err(|error| Error::invalid("the location is not a URL").with_source(error))?;
        if !url.username().is_empty() || url.password().is_some() {
            return Err(Error::invalid(
                "a location must not hold credentials; register the store with them instead (they were left out of this message)",
            ));
        }
        if url.query().is_some() || url.fragment().is_some() {
            return Err(Error::invalid(format!(
                "the location {}://.. must not have a query or a fragment",
                url.scheme()
            )));
        }
        if url.scheme() == "file" {
            let path = url.to_file_path();
            return Self::local(
                &path.map_err(|()| Error::invalid(format!("'{text}' is not a local path")))?,
            );
        }
        let store = &url[..url::Position::BeforePath];
        let store = ObjectStoreUrl::parse(store).map_err(|error| {
            Error::invalid(format!("'{text}' names no store")).with_source(error)
        })?;
        let path = Path::from_url_path(url.path()).map_err(|error| {
            Error::invalid(format!("'{text}' is not a usable location")).with_source(error)
        })?;
        if path.as_ref().is_empty() {
            return Err(Error::invalid(format!(
                "'{text}' is a whole store: add a path, as in {}/table",
                text.trim_end_matches('/')
            )));
        }
        let shown = format!("{}{path}", store.as_str());
        Ok(Self {
            store,
            path,
            local: None,
            shown,
        })
    }

    fn local(path: &LocalPath) -> Result<Self> {
        let unusable = |error: std::io::Error| {
            Error::invalid(format!("'{}' is not a usable path", path.display())).with_source(error)
        };
        let path = canonical(&std::path::absolute(path).map_err(unusable)?);
        let shown = path
            .to_str()
            .ok_or_else(|| Error::invalid(format!("path '{}' is not UTF-8", path.display())))?
            .to_owned();
        if path.is_file() {
            return Err(Error::invalid(format!(
                "{shown} is a file; a table needs a directory"
            )));
        }
        let key = Path::from_absolute_path(&path).map_err(|error| {
            Error::invalid(format!("'{shown}' is not a usable path")).with_source(error)
        })?;
        let store = ObjectStoreUrl::local_filesystem();
        Ok(Self {
            store,
            path: key,
            local: Some(path),
            shown,
        })
    }

    /// The place called `name` inside this one; `name` holds no separator.
    pub(super) fn child(&self, name: &str) -> Self {
        Self {
            store: self.store.clone(),
            // Not joined: that would escape letters beyond ASCII, which the disk has as they are.
            path: Path::parse(format!("{}/{name}", self.path))
                .unwrap_or_else(|_| self.path.clone().join(name)),
            local: self.local.as_ref().map(|path| path.join(name)),
            shown: format!("{}/{name}", self.shown.trim_end_matches('/')),
        }
    }

    pub(super) fn shown(&self) -> &str {
        &self.shown
    }
}

/// The path with links resolved as far as it exists, so that one place has one spelling.
fn canonical(path: &LocalPath) -> PathBuf {
    let mut rest = Vec::new();
    let mut existing = path;
    loop {
        if let Ok(found) = existing.canonicalize() {
            return rest
                .into_iter()
                .rev()
                .fold(found, |path: PathBuf, name| path.join(name));
        }
        match (existing.parent(), existing.file_name()) {
            (Some(parent), Some(name)) => {
                rest.push(name);
                existing = parent;
            }
            _ => return path.to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(text: &str) -> String {
        Location::parse(text).unwrap_err().to_string()
    }

    #[test]
    fn spellings_of_one_place_are_one() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().canonicalize().unwrap();
        let path = path.to_str().unwrap();
        let same = [
            format!("{path}/t"),
            format!("file://{path}/t"),
            format!("{path}/./t/"),
            format!("{path}//t"),
        ];
        for text in same {
            assert_eq!(
                Location::parse(&text).unwrap().shown(),
                format!("{path}/t"),
                "{text}"
            );
        }
        let memory = Location::parse("memory://b/x/t/").unwrap();
        assert_eq!(
            (memory.shown(), memory.path.as_ref()),
            ("memory://b/x/t", "x/t")
        );
    }

    #[test]
    fn a_secret_is_refused_and_not_repeated() {
        let text = message("s3://key:SECRET@bucket/t");
        assert!(
            text.contains("credentials") && !text.contains("SECRET"),
            "{text}"
        );
        let text = message("s3://bucket/t?token=SECRET");
        assert!(text.contains("query") && !text.contains("SECRET"), "{text}");
    }

    #[test]
    fn what_is_no_place_for_a_table_is_refused() {
        assert!(message(" ").contains("empty"));
        assert!(message("/tmp/a\nb").contains("control character"));
        assert!(message("memory://b").contains("whole store"));
        let file = tempfile::NamedTempFile::new().unwrap();
        assert!(message(file.path().to_str().unwrap()).contains("is a file"));
    }
}
