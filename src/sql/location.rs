//! Locations: a path or a URL, as a person writes it.

use std::path::{Component, Path as LocalPath, PathBuf};

use datafusion::execution::object_store::ObjectStoreUrl;
use object_store::path::Path;
use url::Url;

use crate::error::{Error, Result};

/// Where accounts of Azure are.
const AZURE_HOSTS: [&str; 4] = [
    ".dfs.core.windows.net",
    ".blob.core.windows.net",
    ".dfs.fabric.microsoft.com",
    ".blob.fabric.microsoft.com",
];
/// No file system takes a longer name, in bytes.
const NAME_LIMIT: usize = 255;
/// Stores take keys of 1024 bytes; the names of a table's own objects need some of them.
const KEY_LIMIT: usize = 900;

/// A place on a store.
#[derive(Debug, Clone)]
pub(super) struct Location {
    /// What the store is registered under.
    pub(super) store: ObjectStoreUrl,
    /// What the store itself is connected to by: of an Azure account, also the container.
    pub(super) service: String,
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
        let location = Self::parse_store(text)?;
        if location.path.as_ref().is_empty() && location.local.is_none() {
            return Err(Error::invalid(format!(
                "'{text}' is a whole store: add a path, as in {}/table",
                text.trim_end_matches('/')
            )));
        }
        Ok(location)
    }

    /// Like [`parse`](Self::parse), but also takes a whole store.
    pub(super) fn parse_store(text: &str) -> Result<Self> {
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
        let container = azure_container(&url);
        if container.is_none() && (!url.username().is_empty() || url.password().is_some()) {
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
        let service = format!("{}/", &url[..url::Position::BeforePath]);
        // The registry does not look at what is before an '@'.
        let store = match container {
            Some(container) => &format!("{}://{container}.{}", url.scheme(), host(&url)),
            None => &service,
        };
        let store = ObjectStoreUrl::parse(store).map_err(|error| {
            Error::invalid(format!("'{text}' names no store")).with_source(error)
        })?;
        let path = Path::from_url_path(url.path()).map_err(|error| {
            Error::invalid(format!("'{text}' is not a usable location")).with_source(error)
        })?;
        if path.as_ref().len() > KEY_LIMIT {
            return Err(Error::invalid(format!(
                "the location is too long ({} bytes, limit {KEY_LIMIT}): a store takes no longer keys",
                path.as_ref().len()
            )));
        }
        let shown = format!("{service}{path}");
        Ok(Self {
            store,
            service,
            path,
            local: None,
            shown,
        })
    }

    fn local(path: &LocalPath) -> Result<Self> {
        check_names(path)?;
        let unusable = |error: std::io::Error| {
            Error::invalid(format!("'{}' is not a usable path", path.display())).with_source(error)
        };
        let path = canonical(&std::path::absolute(path).map_err(unusable)?);
        // Nobody can tell where that leads; and one place would have two spellings.
        if path.components().any(|part| part == Component::ParentDir) {
            return Err(Error::invalid(format!(
                "'{}' leads up from a directory that does not exist",
                path.display()
            )));
        }
        let shown = path
            .to_str()
            .ok_or_else(|| Error::invalid(format!("path '{}' is not UTF-8", path.display())))?
            .to_owned();
        let key = Path::from_absolute_path(&path).map_err(|error| {
            Error::invalid(format!("'{shown}' is not a usable path")).with_source(error)
        })?;
        let store = ObjectStoreUrl::local_filesystem();
        Ok(Self {
            service: store.as_str().to_owned(),
            store,
            path: key,
            local: Some(path),
            shown,
        })
    }

    /// Fails if the place is a file. Not asked when a location is parsed: whoever may not
    /// look there must not learn it.
    pub(super) fn check_no_file(&self) -> Result<()> {
        match self.local.as_ref().is_some_and(|path| path.is_file()) {
            true => Err(Error::invalid(format!(
                "{} is a file; a table needs a directory",
                self.shown
            ))),
            false => Ok(()),
        }
    }

    /// The place called `name` inside this one; `name` holds no separator.
    pub(super) fn child(&self, name: &str) -> Self {
        Self {
            store: self.store.clone(),
            service: self.service.clone(),
            // Not joined: that would escape letters beyond ASCII, which the disk has as they are.
            path: Path::parse(format!("{}/{name}", self.path))
                .unwrap_or_else(|_| self.path.clone().join(name)),
            local: self.local.as_ref().map(|path| path.join(name)),
            shown: format!("{}/{name}", self.shown.trim_end_matches('/')),
        }
    }

    /// The directory of a catalog that this is a table of, the table's schema and its name. None
    /// where that is no place of its own: elsewhere than on the local disk, and right below its root.
    pub(super) fn in_catalog(&self) -> Result<Option<(Self, &str, &str)>> {
        fn name(path: &LocalPath) -> Option<&str> {
            path.file_name().and_then(|name| name.to_str())
        }
        let path = self.local.as_deref();
        let Some((path, above)) = path.and_then(|path| Some((path, path.parent()?))) else {
            return Ok(None);
        };
        let (Some(schema), Some(table), Some(root)) = (name(above), name(path), above.parent())
        else {
            return Ok(None);
        };
        Ok(Some((Self::local(root)?, schema, table)))
    }

    pub(super) fn shown(&self) -> &str {
        &self.shown
    }
}

/// The container of an URL like `abfss://container@account.dfs.core.windows.net/path`: there
/// what is before the '@' is no user.
fn azure_container(url: &Url) -> Option<&str> {
    let azure = matches!(url.scheme(), "az" | "abfs" | "abfss")
        && AZURE_HOSTS.iter().any(|azure| host(url).ends_with(azure));
    (azure && url.password().is_none() && !url.username().is_empty()).then(|| url.username())
}

fn host(url: &Url) -> &str {
    url.host_str().unwrap_or_default()
}

fn check_names(path: &LocalPath) -> Result<()> {
    let long = path.iter().find(|name| name.len() > NAME_LIMIT);
    long.map_or(Ok(()), |name| {
        Err(Error::invalid(format!(
            "the location holds a name that is too long ({} bytes, limit {NAME_LIMIT})",
            name.len()
        )))
    })
}

/// The path with links resolved as far as it exists, so that one place has one spelling.
pub(super) fn canonical(path: &LocalPath) -> PathBuf {
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
    fn containers_of_an_azure_account_are_told_apart() {
        let one = Location::parse("abfss://one@acc.dfs.core.windows.net/t").unwrap();
        assert_eq!(one.shown(), "abfss://one@acc.dfs.core.windows.net/t");
        assert_eq!(one.store.as_str(), "abfss://one.acc.dfs.core.windows.net/");
        assert_eq!(one.service, "abfss://one@acc.dfs.core.windows.net/");
        let s3 = Location::parse("s3://b/x/t").unwrap();
        assert_eq!((s3.service.as_str(), s3.shown()), ("s3://b/", "s3://b/x/t"));
        for text in [
            "abfss://one:SECRET@acc.dfs.core.windows.net/t",
            "abfss://SECRET@elsewhere.example/t",
            "az://SECRET@acc/t",
        ] {
            let text = message(text);
            assert!(
                text.contains("credentials") && !text.contains("SECRET"),
                "{text}"
            );
        }
    }

    #[test]
    fn what_is_no_place_for_a_table_is_refused() {
        assert!(message(" ").contains("empty"));
        assert!(message("/tmp/a\nb").contains("control character"));
        assert!(message("memory://b").contains("whole store"));
        assert!(message(&format!("/tmp/{}", "x".repeat(256))).contains("256 bytes, limit 255"));
        assert!(message(&format!("memory://b/{}", "x/".repeat(500))).contains("too long"));
        let file = tempfile::NamedTempFile::new().unwrap();
        let location = Location::parse(file.path().to_str().unwrap()).unwrap();
        let error = location.check_no_file().unwrap_err().to_string();
        assert!(error.contains("is a file"), "{error}");
    }
}
