//! Manifests and what they list: data files and deletion vectors, each once.

use std::collections::{BTreeSet, HashMap};
use std::error::Error as _;
use std::sync::Arc;

use futures::StreamExt;
use object_store::Error as StoreError;

use super::finding::{Advice, Finding};
use super::needed::{Need, Needed};
use super::register::{Job, LookedAt, Register, What, differ};
use super::{rows, vectors};
use crate::error::{Error, ErrorKind, Result};
use crate::format::{FileEntry, Manifest, ManifestRef, TableSchema};
use crate::log::read::footer::Footer;
use crate::storage::Objects;

/// How many manifests are in memory at once, which may be large, beside those of the files below.
const MANIFESTS: usize = 8;
/// How many objects are looked at at once, and how many are read.
const LOOKED_AT: usize = 32;
const READ: usize = 4;

/// Which manifests are to be checked, and by what.
pub(super) struct Listed<'a> {
    pub(super) manifests: &'a Needed,
    /// What a snapshot says of the content of each; None where Python wrote it.
    pub(super) said: &'a [Option<ManifestRef>],
    /// Which snapshots list each.
    pub(super) listed_by: &'a [Vec<usize>],
    pub(super) schemas: &'a HashMap<u32, Arc<TableSchema>>,
    /// Data files and deletion vectors are read.
    pub(super) deep: bool,
}

/// Reads every manifest, and looks at everything that they list.
pub(super) async fn check(
    objects: &Objects,
    listed: &Listed<'_>,
    findings: &mut Vec<Finding>,
) -> LookedAt {
    let mut register = Register::default();
    let manifests = listed.manifests.list().enumerate();
    let jobs = futures::stream::iter(manifests)
        .map(|(at, need)| async move {
            let said = listed.said.get(at).and_then(Option::as_ref);
            let loaded = load(objects, &need, said).await;
            (at, need, loaded)
        })
        .buffered(MANIFESTS)
        .flat_map(|(at, need, loaded)| futures::stream::iter(register.note(at, &need, loaded)));
    let parallel = match listed.deep {
        true => READ,
        false => LOOKED_AT,
    };
    let mut looked = Box::pin(
        jobs.map(|job| async move { (job.object, look(objects, listed, &job).await) })
            .buffered(parallel),
    );
    let mut broken = BTreeSet::new();
    while let Some((object, finding)) = looked.next().await {
        // Of an object with many deletion vectors one finding is enough.
        if let Some(finding) = finding
            && broken.insert(object)
        {
            findings.push(finding);
        }
    }
    drop(looked);
    register.end(&broken, listed.listed_by, findings)
}

async fn load(objects: &Objects, need: &Need, said: Option<&ManifestRef>) -> Result<Manifest> {
    let bytes = need.read(objects).await?;
    let manifest = Manifest::parse(&need.path, &bytes, said.is_none())?;
    let Some(said) = said else {
        return Ok(manifest);
    };
    let totals = manifest
        .totals()
        .map_err(|error| error.context(&need.path))?;
    let (marked, schema) = (manifest.marked_rows(), manifest.schema);
    let holds = (totals.files, totals.rows, marked, schema);
    if holds != (said.files, said.rows, said.marked, said.schema) {
        return Err(Error::damaged(format!(
            "{} has {} files, {} rows, {marked} marked rows and schema {schema}, and {}, {}, {} and {} by its snapshot",
            need.path, totals.files, totals.rows, said.files, said.rows, said.marked, said.schema
        )));
    }
    Ok(manifest)
}

/// What is wrong with an object.
async fn look(objects: &Objects, listed: &Listed<'_>, job: &Job) -> Option<Finding> {
    let files = &job.manifest.files;
    let places = match &job.what {
        What::DataFile(place) => {
            return look_at_file(objects, listed, job, files.get(*place)?).await;
        }
        What::Vectors(places) => places,
    };
    let marked: Vec<_> = places
        .iter()
        .filter_map(|place| files.get(*place))
        .collect();
    let path = &marked.first()?.dv.as_ref()?.path;
    let checked = vectors::check(objects, &marked, listed.deep).await;
    let wrong = checked.err()?;
    Some(Finding::unreadable(path, job.version, &wrong))
}

async fn look_at_file(
    objects: &Objects,
    listed: &Listed<'_>,
    job: &Job,
    entry: &FileEntry,
) -> Option<Finding> {
    let footer = match read(objects, entry, listed.deep).await {
        Ok(footer) => footer,
        Err(error) => {
            let finding = Finding::unreadable(&entry.path, job.version, &error);
            let rows = entry.rows.filter(|_| entry.dv.is_none());
            return Some(finding.advised(Advice::Rows(rows)));
        }
    };
    if !listed.deep {
        return None;
    }
    let schema = listed.schemas.get(&job.manifest.schema).map(Arc::as_ref);
    match rows::check(objects, &job.manifest, entry, &footer, schema).await {
        Ok(None) => None,
        Ok(Some(wrong)) => Some(Finding::error(
            &entry.path,
            job.version,
            format!("{}: {wrong}", entry.path),
            "All rows are there, and queries with a WHERE may not find them. Write the table anew: INSERT \
             OVERWRITE t SELECT * FROM t.",
        )),
        Err(error) => Some(Finding::unreadable(&entry.path, job.version, &error)),
    }
}

/// Its footer, if the file is what its manifest says. Rows that are marked as deleted are in the file.
async fn read(objects: &Objects, entry: &FileEntry, deep: bool) -> Result<Footer> {
    let path = &entry.path;
    objects.check_no_link(path)?;
    let size = objects.size(path).await?;
    let size = size.ok_or_else(|| Error::damaged(format!("{path} is missing")))?;
    if differ(Some(size), entry.size) {
        return Err(Error::damaged(format!(
            "{path} has {size} bytes, and {} by its manifest",
            entry.size.unwrap_or_default()
        )));
    }
    if let Some(written) = entry.checksum.filter(|_| deep) {
        let found = objects.checksum(path, size).await?;
        if found != written {
            return Err(Error::damaged(format!(
                "{path} has checksum {found}, {written} was written"
            )));
        }
    }
    let footer = Footer::read(objects, path, size).await;
    let footer = footer.map_err(|error| not_damage(path, error))?;
    let rows = footer.rows().map_err(|error| error.context(path))?;
    if differ(Some(rows), entry.rows) {
        return Err(Error::damaged(format!(
            "{path} has {rows} rows, and {} by its manifest",
            entry.rows.unwrap_or_default()
        )));
    }
    Ok(footer)
}

/// The same error, unless a request failed below: that says nothing of the bytes.
fn not_damage(path: &str, error: Error) -> Error {
    let mut cause = error.source();
    while let Some(below) = cause {
        match below.downcast_ref::<StoreError>() {
            Some(StoreError::NotFound { .. }) => break,
            Some(failed) => {
                let what = format!("cannot read the footer of {path}: {failed}");
                return Error::new(ErrorKind::Storage, what);
            }
            None => cause = below.source(),
        }
    }
    error
}
