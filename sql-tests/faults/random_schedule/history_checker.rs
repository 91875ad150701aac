//! The history checker: what the clients heard, against what every version held.

#![cfg(test)]

use std::collections::{BTreeMap, BTreeSet};

use atio::ErrorKind;
use datafusion::arrow::array::{Array, Int64Array};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use roaring::RoaringTreemap;
use serde_json::Value;

use super::session_program::{CHUNK, Effect, Row, Rows};
use super::simulation::{Event, Outcome, ROOT, World, record};
use crate::faults::invariants::{Verdict, query, session};
use crate::faults::raw_log::Log;

/// A version as it was when it was committed.
struct Version {
    operation: String,
    /// The version whose state it continues.
    parent: Option<u64>,
    key: Option<String>,
    rows: Rows,
}

/// Checks the whole run.
pub(super) async fn check(world: &World) -> Verdict<()> {
    let log = Log::read(world.objects.as_ref(), ROOT).await?;
    log.check()?;
    let newest = log.newest().ok_or("there is no version")?;
    let versions = (0..=newest).map(|number| version(world, number));
    let versions: Vec<Version> = versions.collect::<Verdict<_>>()?;
    let events = world.events.lock().unwrap().clone();
    check_writes(&events, &versions)?;
    check_rollbacks(&events, &versions)?;
    check_tags(&events, &log.tags()?)?;
    let readable: BTreeSet<_> = log.readable().into_iter().collect();
    let mut seen = [0; super::session_program::ACTORS];
    for event in &events {
        check_end(event, &readable, &versions).map_err(|wrong| format!("{event:?}: {wrong}"))?;
        let last = &mut seen[event.actor];
        check_read(event, &versions, last).map_err(|wrong| format!("{event:?}: {wrong}"))?;
    }
    let ctx = session(std::sync::Arc::clone(&world.objects));
    query(&ctx, &crate::faults::invariants::open(ROOT)).await?;
    for version in readable {
        let sql = format!("SELECT a FROM atio_table('t', version => {version})");
        let found = rows_of(&query(&ctx, &sql).await?)?;
        let wanted = &versions[version as usize].rows;
        if found != *wanted {
            return Err(format!(
                "version {version} is read as {found:?}, not {wanted:?}"
            ));
        }
    }
    Ok(())
}

/// Reads a version from everything that was ever put, whatever was deleted since.
fn version(world: &World, number: u64) -> Verdict<Version> {
    let archive = world.archive.lock().unwrap();
    let get = |name: &str| archive.get(name).ok_or(format!("{name} was never put"));
    let json = |name: &str| -> Verdict<Value> {
        serde_json::from_slice(get(name)?).map_err(|error| format!("{name}: {error}"))
    };
    let below = |named: &Value| format!("{ROOT}/{}", named.as_str().unwrap_or_default());
    let record = json(&record(number))?;
    let snapshot = json(&below(&record["snapshot"]["path"]))?;
    let mut rows = Rows::new();
    for manifest in snapshot["manifests"].as_array().unwrap() {
        for file in json(&below(manifest))?["files"].as_array().unwrap() {
            let marked = match file["dv"].is_object() {
                true => marked(get(&below(&file["dv"]["path"]))?, &file["dv"])?,
                false => RoaringTreemap::new(),
            };
            let stored = (0..).zip(rows_in(get(&below(&file["path"]))?));
            let live = stored.filter(|(at, _)| !marked.contains(*at));
            for (_, row) in live {
                if !rows.insert(row) {
                    return Err(format!("version {number} has the row {row} twice"));
                }
            }
        }
    }
    let recorded = snapshot["totals"]["rows"].as_u64();
    if recorded != Some(rows.len() as u64) {
        return Err(format!(
            "version {number} counts {recorded:?} and has {rows:?}"
        ));
    }
    let operation = record["operation"].as_str().unwrap_or_default().to_owned();
    Ok(Version {
        operation,
        parent: record["parent"].as_u64(),
        key: record["key"].as_str().map(str::to_owned),
        rows,
    })
}

/// The rows that a deletion vector marks, whose place in `object` is `dv`.
fn marked(object: &bytes::Bytes, dv: &Value) -> Verdict<RoaringTreemap> {
    let number = |name: &str| dv[name].as_u64().unwrap_or_default() as usize;
    let (first, size) = (number("offset"), number("size"));
    let bytes = object.get(first..first + size);
    let bytes = bytes.ok_or(format!("{dv} is beyond the end"))?;
    let marked = RoaringTreemap::deserialize_from(bytes);
    marked.map_err(|error| format!("{dv}: {error}"))
}

fn rows_in(file: &bytes::Bytes) -> Vec<Row> {
    let reader = ParquetRecordBatchReaderBuilder::try_new(file.clone()).unwrap();
    let mut rows = Vec::new();
    for batch in reader.build().unwrap() {
        let batch = batch.unwrap();
        let column = batch.column(0).as_any().downcast_ref::<Int64Array>();
        rows.extend(column.unwrap().values());
    }
    rows
}

/// Every version is the work of one statement on the version below; every statement that
/// was said to be done made one, one that failed made none, any other at most one.
fn check_writes(events: &[Event], versions: &[Version]) -> Verdict<()> {
    let mut made: Vec<Option<usize>> = vec![None; events.len()];
    for (number, pair) in (1..).zip(versions.windows(2)) {
        let (below, version) = (&pair[0], &pair[1]);
        if version.operation == "rollback" {
            continue;
        }
        if version.operation == "delete" {
            let author = check_delete(events, versions, number)?;
            if let Some(before) = made[author].replace(number) {
                let event = &events[author];
                return Err(format!("{event:?} made versions {before} and {number}"));
            }
            continue;
        }
        let added: Rows = version.rows.difference(&below.rows).copied().collect();
        let author = events.iter().position(|event| {
            let own = event.effect.own();
            own.is_some_and(|own| !own.is_disjoint(&added))
        });
        let Some(author) = author else {
            // Version 1 is there from the beginning.
            let same = version.rows == below.rows
                && ["expire", "tag"].contains(&version.operation.as_str());
            if same || number == 1 {
                continue;
            }
            return Err(format!("nobody made version {number}: {:?}", version.rows));
        };
        let event = &events[author];
        if let Effect::Load { rows, .. } = &event.effect {
            check_chunk(rows, below, version)
                .map_err(|wrong| format!("version {number}: {wrong}"))?;
            continue;
        }
        let wanted = match &event.effect {
            Effect::Append(own) | Effect::Rewrite(own) => below.rows.union(own).copied().collect(),
            Effect::Replace(own) => own.clone(),
            _ => Rows::new(),
        };
        if version.rows != wanted {
            return Err(format!(
                "version {number} of {event:?} is {:?}, not {wanted:?}",
                version.rows
            ));
        }
        if let Some(before) = made[author].replace(number) {
            return Err(format!("{event:?} made versions {before} and {number}"));
        }
        // What nobody knows the outcome of may still land.
        let done = matches!(event.outcome, Outcome::Done(_));
        if done && event.until < Some(number as u64) {
            return Err(format!("{event:?} ended before it made version {number}"));
        }
    }
    for (event, made) in events.iter().zip(made) {
        let is_delete = matches!(event.effect, Effect::Delete(_));
        let fine = match &event.outcome {
            Outcome::Done(count) if is_delete => match made {
                Some(number) => {
                    let gone = versions[number - 1].rows.len() - versions[number].rows.len();
                    count.concat() == gone.to_string() && event.until >= Some(number as u64)
                }
                None => count.concat() == "0",
            },
            _ if event.effect.own().is_none() && !is_delete => true,
            Outcome::Done(_) if event.effect.key().is_some() => has_ended(event, versions),
            _ if event.effect.key().is_some() => true,
            Outcome::Done(_) => made.is_some(),
            Outcome::Unheard | Outcome::Failed(Some(ErrorKind::CommitUnknown), _) => true,
            Outcome::Failed(..) => made.is_none(),
        };
        if !fine {
            return Err(format!("{event:?} made {made:?}"));
        }
    }
    Ok(())
}

/// A version that removes rows is of one statement, and has lost those of its rows that were there
/// in one version which that can have read, and no others. Gives the number of the statement.
fn check_delete(events: &[Event], versions: &[Version], number: usize) -> Verdict<usize> {
    let (below, version) = (&versions[number - 1].rows, &versions[number].rows);
    let gone: Rows = below.difference(version).copied().collect();
    let author = events.iter().position(
        |event| matches!(&event.effect, Effect::Delete(rows) if !rows.is_disjoint(&gone)),
    );
    let author = author.ok_or(format!(
        "nobody removed the rows {gone:?} of version {number}"
    ))?;
    let event = &events[author];
    let Effect::Delete(rows) = &event.effect else {
        return Err("it removes nothing".to_owned());
    };
    let read = event.since as usize..number;
    let mut read = read.map(|base| versions[base].rows.intersection(rows).copied());
    match version.is_subset(below) && read.any(|found| found.eq(gone.iter().copied())) {
        true => Ok(author),
        false => Err(format!(
            "version {number} of {event:?} removed {gone:?} and is {version:?}"
        )),
    }
}

/// A chunk goes on exactly where the rows of the load end, and has as many rows as it should.
fn check_chunk(load: &Rows, below: &Version, version: &Version) -> Verdict<()> {
    let there = below.rows.intersection(load).count();
    let upto = load.len().min(there + CHUNK);
    let chunk: Rows = load.iter().skip(there).take(CHUNK).copied().collect();
    let begun: Rows = load.iter().take(there).copied().collect();
    let wanted: Rows = below.rows.union(&chunk).copied().collect();
    if !begun.is_subset(&below.rows) || version.rows != wanted {
        return Err(format!(
            "a load of {load:?} made {:?} of {:?}",
            version.rows, below.rows
        ));
    }
    match version.key.is_some() == (upto == load.len()) {
        true => Ok(()),
        false => Err(format!("it has the key {:?} at row {upto}", version.key)),
    }
}

/// A load that is done has left its key, once.
fn has_ended(event: &Event, versions: &[Version]) -> bool {
    let key = event.effect.key();
    let until = event.until.unwrap_or(event.since) as usize;
    let mut ended = (0..)
        .zip(versions)
        .filter(|(_, version)| version.key == key);
    ended.next().is_some_and(|(number, _)| number <= until) && ended.next().is_none()
}

/// Every version that goes back has the rows of the one it names, and somebody who asked for
/// it; every rollback that was done made one, unless it had nothing to do.
fn check_rollbacks(events: &[Event], versions: &[Version]) -> Verdict<()> {
    let mut asked: Vec<&Event> = Vec::new();
    let mut made: Vec<(u64, u64)> = Vec::new();
    for (number, version) in (0..).zip(versions) {
        if version.operation == "rollback" {
            let parent = version.parent.ok_or("a rollback has no parent")?;
            let wanted = &versions[parent as usize].rows;
            if version.rows != *wanted {
                return Err(format!(
                    "version {number} goes back to version {parent}, {wanted:?}, and is {:?}",
                    version.rows
                ));
            }
            made.push((number, parent));
        }
    }
    for event in events {
        let Effect::Rollback(_) = event.effect else {
            continue;
        };
        match &event.outcome {
            Outcome::Done(rows) if rows.concat() == "NULL" => {}
            Outcome::Done(rows) => {
                let number: u64 = rows.concat().parse().map_err(|_| format!("{event:?}"))?;
                let before = made.len();
                made.retain(|found| *found != (number, event.version));
                if before != made.len() + 1 {
                    return Err(format!("{event:?} did not make version {number}"));
                }
            }
            Outcome::Unheard | Outcome::Failed(Some(ErrorKind::CommitUnknown), _) => {
                asked.push(event);
            }
            Outcome::Failed(..) => {}
        }
    }
    for (number, parent) in made {
        let author = asked.iter().position(|event| event.version == parent);
        match author {
            Some(author) => drop(asked.swap_remove(author)),
            None => return Err(format!("nobody made version {number}")),
        }
    }
    Ok(())
}

/// Every tag that was said to be there is, on its version; none is that failed.
fn check_tags(events: &[Event], tags: &BTreeMap<String, u64>) -> Verdict<()> {
    for event in events {
        let Effect::Tag(_, name) = event.effect else {
            continue;
        };
        let found = tags.get(&format!("n{name}"));
        let fine = match &event.outcome {
            Outcome::Done(_) => found == Some(&event.version),
            Outcome::Unheard | Outcome::Failed(Some(ErrorKind::CommitUnknown), _) => true,
            Outcome::Failed(..) => found.is_none(),
        };
        if !fine {
            return Err(format!("the tag of {event:?} is on {found:?}"));
        }
    }
    Ok(())
}

/// What a statement may end with.
fn check_end(event: &Event, readable: &BTreeSet<u64>, versions: &[Version]) -> Verdict<()> {
    let Outcome::Failed(kind, said) = &event.outcome else {
        return Ok(());
    };
    if let Effect::Load { fails_at, .. } = &event.effect {
        if fails_at.is_some() && said.contains("Divide by zero") {
            return Ok(());
        }
        if said.contains("so atio cannot know which of its rows are there") {
            let mut before = versions.iter().take(event.until.unwrap_or(0) as usize + 1);
            return match before.any(|version| version.operation == "overwrite") {
                true => Ok(()),
                false => Err("nobody overwrote the table".to_owned()),
            };
        }
    }
    let Some(kind) = kind else {
        return match event.faulty {
            true => Ok(()),
            false => Err(format!("an error of nobody's: {said}")),
        };
    };
    let expired = !readable.contains(&event.version) || event.until > Some(event.since);
    let fine = match (&event.effect, kind) {
        (_, ErrorKind::Storage | ErrorKind::CommitUnknown) => event.faulty,
        (Effect::Append(_), ErrorKind::Revoked | ErrorKind::Conflict) => true,
        (Effect::Replace(_), ErrorKind::Revoked | ErrorKind::Conflict) => true,
        (Effect::Load { .. }, ErrorKind::Revoked | ErrorKind::Conflict) => true,
        (Effect::Rewrite(_), ErrorKind::Revoked | ErrorKind::Conflict) => true,
        (Effect::Delete(_), ErrorKind::Revoked | ErrorKind::Conflict) => true,
        (Effect::Tag(..) | Effect::Rollback(_), ErrorKind::Revoked) => true,
        (Effect::Rollback(_), ErrorKind::Conflict) => true,
        // Whoever waits for answers that do not come gives up.
        (Effect::Tag(..), ErrorKind::Conflict) => event.faulty,
        (Effect::Expire | Effect::History, _) => false,
        (_, ErrorKind::VersionExpired) => expired,
        (_, ErrorKind::Damaged) => event.faulty,
        _ => false,
    };
    match fine {
        true => Ok(()),
        false => Err("it may not end like this".to_owned()),
    }
}

/// What was read is one version, not older than what the session, or anybody, had seen
/// committed before the statement began.
fn check_read(event: &Event, versions: &[Version], last: &mut u64) -> Verdict<()> {
    let Outcome::Done(found) = &event.outcome else {
        return Ok(());
    };
    let until = event.until.unwrap_or(event.since);
    let oldest = event.since.max(*last);
    let matching = |fits: &dyn Fn(&Version) -> bool| {
        let mut candidates = oldest..=until;
        candidates
            .find(|version| fits(&versions[*version as usize]))
            .ok_or(format!("no version from {oldest} to {until} is {found:?}"))
    };
    match &event.effect {
        Effect::Scan => {
            let rows = rows_of(found)?;
            *last = matching(&|version| version.rows == rows)?;
        }
        Effect::Join => {
            let count: usize = found.concat().parse().map_err(|_| "no count")?;
            *last = matching(&|version| version.rows.len() == count)?;
        }
        Effect::Version(_) | Effect::AsOf(_) => {
            let rows = rows_of(found)?;
            let wanted = &versions[event.version as usize].rows;
            if rows != *wanted {
                return Err(format!("version {} is {wanted:?}", event.version));
            }
        }
        Effect::History => {
            let newest = found.len() as u64 - 1;
            if !(oldest..=until).contains(&newest) {
                return Err(format!("the newest of {oldest} to {until} is {newest}"));
            }
            let wanted = versions.iter().zip(0..=newest);
            let wanted = wanted.map(|(version, number)| format!("{number}|{}", version.rows.len()));
            let wanted: BTreeSet<_> = wanted.collect();
            if wanted != found.iter().cloned().collect() {
                return Err(format!("the history is {wanted:?}"));
            }
            *last = newest;
        }
        _ => {}
    }
    Ok(())
}

fn rows_of(found: &[String]) -> Verdict<Rows> {
    let rows: Result<Vec<Row>, _> = found.iter().map(|row| row.parse()).collect();
    let rows = rows.map_err(|error| error.to_string())?;
    let set: Rows = rows.iter().copied().collect();
    match set.len() == rows.len() {
        true => Ok(set),
        false => Err(format!("a row is there twice: {found:?}")),
    }
}
