//! Targets of COPY: a path or a URL, as a person writes it.

use std::path::PathBuf;
use std::sync::Arc;

use atio_core::storage::{Durability, Objects, RemoteStore};
use datafusion::execution::runtime_env::RuntimeEnv;
use object_store::path::Path;
use url::Url;

use super::location::Location;
use super::policy::{Access, AtioPolicy};
use super::stores;
use crate::error::{Error, Result};
use crate::file::{FileTarget, LocalTarget, Shape, StoreTarget};

/// Where COPY is to write. Nothing was looked for there yet.
#[derive(Debug, Clone)]
pub(super) enum CopyTarget {
    Local(PathBuf),
    Store(Box<Location>),
}

impl CopyTarget {
    /// Refuses what could carry a secret, and patterns, for which the engine would write
    /// into the directory above.
    pub(super) fn parse(text: &str) -> Result<Self> {
        if text.trim().is_empty() {
            return Err(Error::invalid("the target is empty"));
        }
        if let Some(control) = text.chars().find(|c| c.is_control()) {
            return Err(Error::invalid(format!(
                "the target holds the control character {}",
                control.escape_default()
            )));
        }
        let url =
            match is_url(text) {
                true => Some(Url::parse(text).map_err(|error| {
                    Error::invalid("the target is not a URL").with_source(error)
                })?),
                false => None,
            };
        let location = match &url {
            Some(url) if url.scheme() != "file" => {
                Some(Location::parse(text).map_err(|error| error.context("the target"))?)
            }
            Some(url) if !url.username().is_empty() || url.password().is_some() => {
                return Err(Error::invalid("a target must not hold credentials"));
            }
            // What comes after it would name nothing, and be passed over.
            Some(url) if url.query().is_some() || url.fragment().is_some() => {
                return Err(Error::invalid(
                    "the target file://.. must not have a query or a fragment: in a URL '#' is written %23, and '?' %3F",
                ));
            }
            _ => None,
        };
        if let Some(found) = text.chars().find(|c| "*?[".contains(*c)) {
            return Err(Error::invalid(format!(
                "the target '{}' holds '{found}', and a pattern names no file: leave out '*', '?' and '['",
                text.escape_debug()
            )));
        }
        match (location, url) {
            (Some(location), _) => Ok(Self::Store(Box::new(location))),
            (None, None) => Ok(Self::Local(PathBuf::from(text))),
            (None, Some(url)) => {
                let unusable = || Error::invalid(format!("'{text}' is not a local path"));
                let path = url.to_file_path().map_err(|()| unusable())?;
                // What was encoded could not be seen above.
                match path
                    .to_str()
                    .is_some_and(|path| !path.contains(char::is_control))
                {
                    true => Ok(Self::Local(path)),
                    false => Err(unusable()),
                }
            }
        }
    }

    /// Fails if `policy` does not allow this there, which is where [`open`](Self::open) goes.
    pub(super) fn check(&self, policy: &AtioPolicy, access: Access) -> Result<()> {
        match self {
            Self::Local(path) => policy.check_path(path, access),
            Self::Store(location) => policy.check(location, access),
        }
    }

    /// How messages and plans show it.
    pub(super) fn shown(&self) -> String {
        match self {
            Self::Local(path) => path.display().to_string(),
            Self::Store(location) => location.shown().to_owned(),
        }
    }

    /// The place itself. On a local disk files are not staged where `policy` does not allow it.
    pub(super) fn open(&self, runtime: &RuntimeEnv, policy: &AtioPolicy) -> Result<FileTarget> {
        let location = match self {
            Self::Local(path) => {
                let may_stage =
                    |folder: &std::path::Path| policy.check_path(folder, Access::Write).is_ok();
                return Ok(FileTarget::Disk(LocalTarget::new(path, may_stage)?));
            }
            Self::Store(location) => location,
        };
        let store = stores::store(runtime, location)?;
        let store = Arc::new(RemoteStore::new(store, location.shown(), false));
        let path = location.path.as_ref();
        let (above, name) = path.rsplit_once('/').unwrap_or(("", path));
        let above = Path::parse(above).map_err(|error| {
            Error::invalid(format!("'{above}' is not a usable path")).with_source(error)
        })?;
        let objects = Objects::new(store, above, None, Durability::default());
        let target = StoreTarget::new(objects, name, location.shown().to_owned())?;
        Ok(FileTarget::Store(target))
    }
}

/// A path may hold a colon, but what begins with `file:` is a URL to everybody else.
fn is_url(text: &str) -> bool {
    text.contains("://") || Url::parse(text).is_ok_and(|url| url.scheme() == "file")
}

/// What a target is to become: a file if its name has an ending, unless it is told.
pub(super) fn shape(text: &str, single_file: Option<bool>, partitioned: bool) -> Shape {
    let name = text.rsplit('/').next().unwrap_or_default();
    let ending = name.contains('.') && !name.ends_with('.');
    match !partitioned && single_file.unwrap_or(ending) {
        true => Shape::File,
        false => Shape::Folder,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(text: &str) -> String {
        CopyTarget::parse(text).unwrap_err().to_string()
    }

    #[test]
    fn secrets_are_refused_and_not_repeated() {
        for text in [
            "postgresql://me:SECRET@host/db",
            "s3://key:SECRET@bucket/a*.csv",
            "s3://bucket/a.csv?token=SECRET",
            "file://me:SECRET@localhost/tmp/a.csv",
            "s3://me:SEC RET@[host/a.csv",
        ] {
            let text = message(text);
            assert!(!text.contains("SEC"), "{text}");
        }
    }

    #[test]
    fn patterns_are_refused() {
        for text in [
            "/tmp/*.csv",
            "/tmp/a?.csv",
            "/tmp/[a].csv",
            "memory://b/a*.csv",
        ] {
            assert!(message(text).contains("a pattern names no file"), "{text}");
        }
        assert!(message("").contains("empty"));
        assert!(message("/tmp/a\n.csv").contains("control character"));
    }

    #[test]
    fn a_target_is_checked_where_it_is_written() {
        let local = |text: &str| match CopyTarget::parse(text).unwrap() {
            CopyTarget::Local(path) => path,
            CopyTarget::Store(location) => panic!("{location:?}"),
        };
        for text in [
            "/tmp/a.csv",
            "file:///tmp/a.csv",
            "file:/tmp/a.csv",
            "FILE:/tmp/a.csv",
            " file:/tmp/a.csv",
        ] {
            let (target, path) = (
                CopyTarget::parse(text).unwrap(),
                PathBuf::from("/tmp/a.csv"),
            );
            assert_eq!(local(text), path, "{text}");
            for (root, allowed) in [("/tmp", true), ("/usr", false)] {
                let policy = AtioPolicy::default().with_allowed_roots([root]).unwrap();
                let checked = target.check(&policy, Access::Write);
                assert_eq!(checked.is_ok(), allowed, "{text} in {root}");
            }
        }
        assert_eq!(local("a:b.csv"), PathBuf::from("a:b.csv"));
        assert_eq!(
            local("file:///tmp/a%23x.csv"),
            PathBuf::from("/tmp/a#x.csv")
        );
        assert_eq!(local("/tmp/a#x.csv"), PathBuf::from("/tmp/a#x.csv"));
        assert!(message("file:///tmp/a.csv#x").contains("'#' is written %23"));
        assert!(message("file:///tmp/a%0A.csv").contains("is not a local path"));
    }

    #[test]
    fn an_ending_makes_a_file() {
        for (text, single, partitioned, expected) in [
            ("/tmp/a.csv", None, false, Shape::File),
            ("/tmp/a.d/b", None, false, Shape::Folder),
            ("/tmp/a.csv/", None, false, Shape::Folder),
            ("a", None, false, Shape::Folder),
            ("a", Some(true), false, Shape::File),
            ("a.csv", Some(false), false, Shape::Folder),
            ("a.csv", Some(true), true, Shape::Folder),
        ] {
            assert_eq!(shape(text, single, partitioned), expected, "{text}");
        }
    }
}
