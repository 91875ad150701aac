//! What a host lets the SQL of a session reach.

use std::fmt;
use std::path::{Component, Path as LocalPath, PathBuf};
use std::sync::Arc;

use datafusion::catalog::Session;
use datafusion::datasource::listing::ListingTableUrl;
use object_store::path::Path;
use url::Url;

use super::location::{Location, canonical};
use crate::error::{Error, ErrorKind, Result};
use crate::settings::CommitSettings;

/// What the SQL of a session may reach on storage: by default everything, as in DataFusion.
///
/// A host that runs the SQL of others gives one to [`register_with`], or puts it into the
/// session's configuration as an extension before it calls [`register`]. No SQL changes it.
///
/// ```
/// use atio::AtioPolicy;
/// use datafusion::prelude::SessionContext;
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let directory = tempfile::tempdir()?;
/// # let data = directory.path().to_str().unwrap_or_default();
/// let policy = AtioPolicy::default()
///     .with_allowed_roots([data, "s3://reports/daily"])?
///     .with_create(false);
/// let ctx = SessionContext::new();
/// atio::register_with(&ctx, policy)?;
/// # Ok(())
/// # }
/// ```
///
/// # What it covers
///
/// Each of these is refused with [`NotAllowed`](ErrorKind::NotAllowed) before any object is
/// looked for, read or written:
///
/// * atio's tables by location: `CREATE EXTERNAL TABLE .. STORED AS ATIO`, the functions
///   `atio_table`, `atio_changes`, `atio_history`, `atio_files`, `atio_sources`, `atio_tags`, `atio_tag`,
///   `atio_untag`, `atio_rollback`, `atio_compact`, `atio_stats`, `atio_check`, `atio_repair` and
///   `expire_snapshots` with a path,
///   [`AtioTable::open`](crate::AtioTable::open) and [`AtioCatalog`](crate::AtioCatalog),
///   the last at every table, also where one is dropped or brought back: `atio_undrop` and
///   `atio_purge` need the right to create;
/// * `CREATE EXTERNAL TABLE` of every other format whose factory is in the session when atio
///   is registered: its locations must be inside the roots;
/// * `COPY TO`, and what the `write_*` methods of a `DataFrame` make of it: the target must
///   be inside the roots; the same for `atio_restore` and `atio_clean`;
/// * with [`with_write(false)`](Self::with_write), `INSERT` into anything but rows in memory.
///
/// # What the host must do
///
/// * Tables that the host registers itself, and what it opens by `read_csv` and the like, are
///   its own decision and are not checked.
/// * `SessionContext::enable_url_table` lets SQL read any file that it names: leave it off.
/// * `SET datafusion.runtime.temp_directory` moves the files that large queries spill: run
///   foreign SQL with `SessionContext::sql_with_options` and
///   `SQLOptions::new().with_allow_statements(false)`. The other two switches there forbid all
///   DDL, or all DML with `COPY` among it, wherever it leads.
/// * Table factories and functions that are added after atio was registered check for
///   themselves.
/// * A path is resolved when it is checked. Whoever can replace directories or links inside
///   a root while SQL runs can lead it elsewhere; DataFusion's own formats also follow links
///   that lie below an allowed location, atio's tables never do.
///
/// [`register`]: crate::register
/// [`register_with`]: crate::register_with
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AtioPolicy {
    /// None: everywhere.
    roots: Option<Vec<Place>>,
    create: bool,
    write: bool,
}

/// What is to be done at a place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Access {
    Read,
    /// Adding versions, files or objects, and removing old ones.
    Write,
    /// Making or removing a whole table or schema.
    Create,
}

impl Default for AtioPolicy {
    fn default() -> Self {
        Self {
            roots: None,
            create: true,
            write: true,
        }
    }
}

impl AtioPolicy {
    /// Allows what is inside these directories and URLs, and nothing else.
    ///
    /// A root is a local path, a `file://` URL, or a URL of a store with or without a path.
    /// Links and `..` are resolved, in roots as in the paths that are checked against them,
    /// and names are compared as wholes: `/data/a-evil` is not inside `/data/a`.
    ///
    /// ```
    /// let policy = atio::AtioPolicy::default().with_allowed_roots(["/data", "s3://reports/daily"])?;
    /// # assert_ne!(policy, atio::AtioPolicy::default());
    /// # Ok::<(), atio::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`InvalidInput`](ErrorKind::InvalidInput) if a root is not a usable location.
    pub fn with_allowed_roots<S: AsRef<str>>(
        mut self,
        roots: impl IntoIterator<Item = S>,
    ) -> Result<Self> {
        let roots = roots.into_iter().map(|root| {
            Place::of_root(root.as_ref()).map_err(|error| error.context("an allowed root"))
        });
        self.roots = Some(roots.collect::<Result<_>>()?);
        Ok(self)
    }

    /// Whether tables and schemas of atio may be made and dropped; true by default.
    ///
    /// ```
    /// let policy = atio::AtioPolicy::default().with_create(false);
    /// # assert_ne!(policy, atio::AtioPolicy::default());
    /// ```
    #[must_use]
    pub fn with_create(mut self, allowed: bool) -> Self {
        self.create = allowed;
        self
    }

    /// Whether anything may be written: rows, tags, rollbacks, compactions, files by `COPY`, new tables,
    /// and expiry that deletes; true by default.
    ///
    /// ```
    /// let policy = atio::AtioPolicy::default().with_write(false);
    /// # assert_ne!(policy, atio::AtioPolicy::default());
    /// ```
    #[must_use]
    pub fn with_write(mut self, allowed: bool) -> Self {
        self.write = allowed;
        self
    }

    /// The one of a session. A check may only read, whatever its host allows.
    pub(super) fn of(state: &dyn Session) -> Arc<Self> {
        let policy: Arc<Self> = state.config().get_extension().unwrap_or_default();
        match CommitSettings::check_may_write(state.config()) {
            Ok(()) => policy,
            Err(_) => Arc::new(Self::clone(&policy).with_write(false)),
        }
    }

    pub(super) fn limits_places(&self) -> bool {
        self.roots.is_some()
    }

    /// Fails if this is not allowed at `location`.
    pub(super) fn check(&self, location: &Location, access: Access) -> Result<()> {
        self.check_place(|| Place::of_location(location))?;
        self.check_access(access)
    }

    /// The same for a location as DataFusion reads it.
    pub(super) fn check_url(&self, url: &str, access: Access) -> Result<()> {
        self.check_place(|| Place::of_url(url))?;
        self.check_access(access)
    }

    /// The same for text that is taken for a local path, whatever it looks like.
    pub(super) fn check_path(&self, path: impl AsRef<LocalPath>, access: Access) -> Result<()> {
        self.check_place(|| Place::of_path(path.as_ref()))?;
        self.check_access(access)
    }

    /// Fails if this is allowed nowhere.
    pub(super) fn check_access(&self, access: Access) -> Result<()> {
        let refused = match access {
            Access::Write | Access::Create if !self.write => {
                "this session may read and not write: its host does not allow it"
            }
            Access::Create if !self.create => {
                "this session may not create or drop tables: its host does not allow it"
            }
            _ => return Ok(()),
        };
        Err(not_allowed(refused))
    }

    fn check_place(&self, place: impl FnOnce() -> Result<Place>) -> Result<()> {
        let Some(roots) = &self.roots else {
            return Ok(());
        };
        let place = place()?;
        if roots.iter().any(|root| root.contains(&place)) {
            return Ok(());
        }
        let roots: Vec<_> = roots.iter().map(Place::to_string).collect();
        Err(not_allowed(format!(
            "{place} is outside the allowed roots [{}]",
            roots.join(", ")
        )))
    }
}

fn not_allowed(message: impl Into<String>) -> Error {
    Error::new(ErrorKind::NotAllowed, message)
}

/// A place on storage, resolved, so that two can be compared.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Place {
    Local(PathBuf),
    Store {
        /// Up to the path, without a slash at the end.
        url: String,
        path: Path,
    },
}

impl Place {
    fn of_root(text: &str) -> Result<Self> {
        // A whole store can be a root, but not a table.
        Self::of_location(&Location::parse_store(text)?)
    }

    fn of_location(location: &Location) -> Result<Self> {
        match &location.local {
            Some(path) => Self::of_path(path),
            None => Ok(Self::Store {
                url: without_slash(&location.service),
                path: location.path.clone(),
            }),
        }
    }

    /// The place that DataFusion would go to.
    fn of_url(text: &str) -> Result<Self> {
        let unclear = || not_allowed("a location that is no path and no URL is not allowed");
        let parsed = ListingTableUrl::parse(text).map_err(|_| unclear())?;
        let url: &Url = parsed.as_ref();
        if url.scheme() == "file" {
            return Self::of_path(&url.to_file_path().map_err(|()| unclear())?);
        }
        if !url.as_str().contains("://") {
            return Err(unclear());
        }
        // What is before an '@' is a secret, but where it is a container of Azure.
        let place = Location::parse_store(url.as_str())
            .map_err(|error| not_allowed(error.message().to_owned()))?;
        Self::of_location(&place)
    }

    fn of_path(path: &LocalPath) -> Result<Self> {
        let absolute = std::path::absolute(path).map_err(|error| {
            Error::invalid(format!("'{}' is not a usable path", path.display())).with_source(error)
        })?;
        let resolved = canonical(&absolute);
        // What does not exist can hide nothing but a link to nowhere, or a way back up.
        let up = resolved
            .components()
            .any(|part| part == Component::ParentDir);
        if up || resolved.ancestors().any(LocalPath::is_symlink) {
            return Err(not_allowed(format!(
                "{} cannot be resolved, so it is not allowed",
                resolved.display()
            )));
        }
        Ok(Self::Local(resolved))
    }

    /// True if `other` is this place or inside it, name by name.
    fn contains(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Local(root), Self::Local(path)) => path.starts_with(root),
            (Self::Store { url, path: root }, Self::Store { url: other, path }) => {
                url == other && path.prefix_matches(root)
            }
            _ => false,
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Local(path) => write!(f, "{}", path.display()),
            Self::Store { url, path } if path.as_ref().is_empty() => f.write_str(url),
            Self::Store { url, path } => write!(f, "{url}/{path}"),
        }
    }
}

fn without_slash(url: &str) -> String {
    url.trim_end_matches('/').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allowed(root: &str, place: &str) -> bool {
        let policy = AtioPolicy::default().with_allowed_roots([root]).unwrap();
        let by_location = policy.check(&Location::parse(place).unwrap(), Access::Read);
        let by_url = policy.check_url(place, Access::Read);
        assert_eq!(by_location.is_ok(), by_url.is_ok(), "{root} {place}");
        if let Err(error) = &by_location {
            assert_eq!(error.kind(), ErrorKind::NotAllowed, "{error}");
        }
        by_location.is_ok()
    }

    #[test]
    fn urls_are_compared_name_by_name() {
        for (root, place, expected) in [
            ("s3://b", "s3://b/t", true),
            ("s3://b/", "s3://b/x/t", true),
            ("s3://b/x", "s3://b/x", true),
            ("s3://b/x/", "s3://b/x/y/t", true),
            ("s3://b/x", "s3://b/x-evil", false),
            ("s3://b/x", "s3://b/x/../y", false),
            ("s3://b/x", "s3://b/x/%2e%2e/y", false),
            ("s3://b/x", "s3://b/X/t", false),
            ("s3://b", "s3://b2/t", false),
            ("s3://b", "gs://b/t", false),
            ("s3://b", "s3://b:9000/t", false),
            (
                "abfss://c@a.dfs.core.windows.net/x",
                "abfss://c@a.dfs.core.windows.net/x/t",
                true,
            ),
            (
                "abfss://c@a.dfs.core.windows.net",
                "abfss://d@a.dfs.core.windows.net/t",
                false,
            ),
            ("s3://b", "/b/t", false),
            ("/", "s3://b/t", false),
            ("/", "/etc", true),
        ] {
            assert_eq!(allowed(root, place), expected, "{root} {place}");
        }
    }

    #[test]
    fn a_root_with_a_secret_or_a_glob_is_no_way_around() {
        for root in ["s3://k:SECRET@b", "s3://b?t=SECRET", "", "s3://b#f"] {
            let error = AtioPolicy::default()
                .with_allowed_roots([root])
                .unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidInput, "{root}");
            assert!(!error.to_string().contains("SECRET"), "{error}");
        }
        let policy = AtioPolicy::default()
            .with_allowed_roots(["s3://b"])
            .unwrap();
        let error = policy
            .check_url("s3://k:SECRET@b/t", Access::Read)
            .unwrap_err();
        assert!(!error.to_string().contains("SECRET"), "{error}");
        let policy = AtioPolicy::default().with_allowed_roots(["/usr"]).unwrap();
        for place in ["/us*/x", "/usr/../etc/*", "/*"] {
            assert!(policy.check_url(place, Access::Read).is_err(), "{place}");
        }
        policy.check_url("/usr/*.csv", Access::Read).unwrap();
    }

    #[test]
    fn no_root_at_all_allows_nothing_and_no_policy_everything() {
        let none: [&str; 0] = [];
        let policy = AtioPolicy::default().with_allowed_roots(none).unwrap();
        assert!(policy.check_url("/tmp/t", Access::Read).is_err());
        let policy = AtioPolicy::default();
        for access in [Access::Read, Access::Write, Access::Create] {
            policy.check_url("/tmp/t", access).unwrap();
            policy.check_url("not : a :: url", access).unwrap();
        }
    }

    #[test]
    fn creating_needs_writing_and_writing_no_creating() {
        let no_create = AtioPolicy::default().with_create(false);
        no_create.check_access(Access::Write).unwrap();
        assert!(no_create.check_access(Access::Create).is_err());
        let no_write = AtioPolicy::default().with_write(false);
        no_write.check_access(Access::Read).unwrap();
        assert!(no_write.check_access(Access::Write).is_err());
        assert!(no_write.check_access(Access::Create).is_err());
    }
}
