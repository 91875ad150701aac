//! What all objects together say of each version.

use super::finding::{Advice, Finding, RESTORE, Severity};
use super::records::Chain;
use super::register::LookedAt;
use super::states::{State, States};
use crate::format::layout::{self, Kind};
use crate::format::{Totals, Version};

/// Says where sums, lists or features are wrong, and notes which states need a manifest that is broken.
pub(super) fn judge(
    chain: &Chain,
    states: &mut States,
    looked_at: &LookedAt,
    findings: &mut Vec<Finding>,
) {
    for (number, need) in chain.snapshots.list().enumerate() {
        let Some(state) = states.states.get_mut(number) else {
            continue;
        };
        let listed = state.manifests.iter();
        let listed: Vec<_> = listed
            .filter_map(|at| looked_at.manifests.get(*at))
            .collect();
        state.whole &= !listed.iter().any(|manifest| manifest.broken);
        let sums: Option<Vec<_>> = listed.iter().map(|manifest| manifest.totals).collect();
        let wrong = sums.and_then(|sums| wrong_sum(state.totals, sums));
        let twice = looked_at.twice.get(&number);
        let twice = twice.map(|path| format!("two of its manifests list {path}"));
        for wrong in wrong.into_iter().chain(twice) {
            state.whole = false;
            let finding = format!("{}: {wrong}", need.path);
            findings.push(Finding::error(&need.path, need.version, finding, RESTORE));
        }
    }
    for (version, at) in &chain.without_vectors {
        let Some(state) = states.states.get_mut(*at).filter(|state| state.marks) else {
            continue;
        };
        state.whole = false;
        let object = layout::record(*version);
        let finding = format!(
            "version {version} has deletion vectors, and {object} does not name that feature"
        );
        findings.push(Finding::error(object, *version, finding, RESTORE));
    }
}

fn wrong_sum(said: Option<Totals>, sums: Vec<Totals>) -> Option<String> {
    let said = said?;
    match sums.into_iter().try_fold(Totals::default(), Totals::plus) {
        Ok(sum) if sum == said => None,
        Ok(sum) => Some(format!(
            "it counts {} files, {} rows and {} bytes, but its manifests have {}, {} and {}",
            said.files, said.rows, said.bytes, sum.files, sum.rows, sum.bytes
        )),
        Err(error) => Some(error.to_string()),
    }
}

/// The newest version of which nothing is damaged.
pub(super) fn newest_whole(chain: &Chain, states: &[State]) -> Option<Version> {
    let whole = |at: usize| states.get(at).is_some_and(|state| state.whole);
    let mut versions = chain.states.iter().filter(|(_, at)| whole(*at));
    versions.next().map(|(version, _)| *version)
}

/// Adds to what is to be done which version is whole, and what helps without a copy.
pub(super) fn advise(chain: &Chain, whole: Option<Version>, findings: &mut [Finding]) {
    for finding in findings {
        if let (Advice::NewTable, Some(whole)) = (finding.advice, whole) {
            finding.action.push_str(&format!(
                " Without a copy, load the rows of version {whole}, which can be read by number, into a new \
                 table: CREATE TABLE .. AS SELECT * FROM atio_table('path', version => {whole})."
            ));
        }
        let Some(version) = finding.version.filter(|_| finding.action == RESTORE) else {
            continue;
        };
        let kind = layout::parse(&finding.object).map(|object| object.kind);
        if let Some(more) = what_else(chain, kind, version, whole) {
            finding.action = format!("{}{more}", RESTORE.trim_end_matches('.'));
        }
        if let Advice::Rows(Some(rows)) = finding.advice {
            let (noun, them) = match rows {
                1 => ("row", "it"),
                _ => ("rows", "all of them"),
            };
            finding.action.push_str(&match version == chain.top {
                true => format!(
                    " The file has {rows} {noun}: a DELETE whose condition is true of {them} by the statistics \
                     of the file removes it without reading it."
                ),
                false => format!(" The file has {rows} {noun}."),
            });
        }
    }
}

/// What follows "Restore it from a copy of the table" where `version` is the newest that needs the object.
fn what_else(
    chain: &Chain,
    kind: Option<Kind>,
    version: Version,
    whole: Option<Version>,
) -> Option<String> {
    let is_newest = version == chain.top;
    if is_newest && kind == Some(Kind::Refs) {
        return Some(
            ". All rows can be read; until then no tag can be read, set or removed, nothing expires, and there \
             is no rollback to a tag."
                .to_owned(),
        );
    }
    let whole = whole.filter(|whole| *whole != version)?;
    if whole > version {
        return Some(format!(". Version {whole}, which is newer, is whole."));
    }
    // Only what the rows of the newest version are read from does not keep it from being opened.
    let below = matches!(kind, Some(Kind::Data | Kind::Vector | Kind::Manifest));
    if is_newest && below {
        return Some(format!(
            ", or roll back to version {whole}, the newest that is whole."
        ));
    }
    let mut more =
        format!(". Version {whole} is the newest that is whole, and can be read by number.");
    if is_newest && can_go_on(chain, whole) {
        let first = whole.next().ok()?;
        let (records, are) = match first == version {
            true => (layout::record(version), format!("version {version} is")),
            false => (
                format!("the records of versions {first} to {version} in metadata/"),
                format!("versions {first} to {version} are"),
            ),
        };
        more.push_str(&format!(
            " Without a copy, move {records} away, and run a repair: it goes on from version {whole}, and {are} \
             lost."
        ));
    }
    Some(more)
}

/// True if a repair goes on from `whole` once the records above are moved away, and those are all
/// unreadable: they are one, or have one snapshot.
fn can_go_on(chain: &Chain, whole: Version) -> bool {
    // No repair fills numbers above what Python wrote.
    let of_atio = matches!(chain.readable.get(&whole), Some(Some(_)));
    let above = chain.top.get() - whole.get();
    let mut states = chain.states.iter();
    let newest = states.find(|(version, _)| *version == chain.top);
    let same = newest.map_or(0, |(_, newest)| {
        let states = chain.states.iter();
        let states = states.filter(|(version, at)| *version > whole && at == newest);
        states.count() as u64
    });
    of_atio && (above == 1 || same == above)
}

/// Errors first; otherwise as they were found.
pub(super) fn sort(findings: &mut [Finding]) {
    findings.sort_by_key(|finding| finding.severity == Severity::Warning);
}
