//! What all objects together say of each version.

use super::finding::{Finding, RESTORE, Severity};
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

/// Adds to what is to be done which version is whole.
pub(super) fn advise(chain: &Chain, whole: Option<Version>, findings: &mut [Finding]) {
    let Some(whole) = whole else {
        return;
    };
    for finding in findings {
        let Some(version) = finding.version.filter(|_| finding.action == RESTORE) else {
            continue;
        };
        let object = layout::parse(&finding.object);
        let is_data = object.is_some_and(|object| matches!(object.kind, Kind::Data | Kind::Vector));
        let restore = RESTORE.trim_end_matches('.');
        finding.action = match version == chain.top {
            // Only what the rows of the newest version are read from does not keep it from being opened.
            true if is_data => {
                format!("{restore}, or roll back to version {whole}, the newest that is whole.")
            }
            _ if whole < version => {
                format!(
                    "{restore}. Version {whole} is the newest that is whole, and can be read by number."
                )
            }
            _ => format!("{restore}. Version {whole}, which is newer, is whole."),
        };
    }
}

/// Errors first; otherwise as they were found.
pub(super) fn sort(findings: &mut [Finding]) {
    findings.sort_by_key(|finding| finding.severity == Severity::Warning);
}
