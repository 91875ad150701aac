//! A model of the commit and of the expiry, and a search of every order in which things can
//! happen.
//!
//! Tests of the code see the orders that they provoke. Here the protocol itself is tried: each
//! actor (a writer `W0`, an expirer `E0`, ...) is a small machine that does one operation on
//! the store at a time, and a breadth-first search visits every state that any interleaving
//! of them can reach, with replies lost, requests carried out late, crashes, and the power
//! failing. In every state these must hold:
//!
//! - the newest version is readable, and names no file that was deleted;
//! - every acknowledged row is in it, once; no row of a writer that was told "failed" is;
//! - what was deleted stays deleted; a tag that was acknowledged is on a readable version.
//!
//! Each rule of the protocol is searched as it is, which must end with no state wrong and with
//! the very number of states that is written beside it, so that a mistake here cannot shrink
//! the search unnoticed. And it is searched with the rule broken, in the way that looks
//! harmless: then the search must find the harm, else it would prove nothing.
//! `RULES` names the functions of the code that follow each rule.
//!
//! `cargo test -p atio-core --test core-tests -- model:: --nocapture` prints what each search came
//! to. A trace is the shortest way to the harm, one operation a line:
//!
//! ```text
//! no fence: Dangling after 6 steps
//!    1. W0 reads base v1
//!    2. W0 stages its file
//!    3. E0 reads v1
//!    4. W0 creates v2
//!    5. E0 lists the files
//!    6. E0 deletes file 1
//! ```
//!
//! Read: the expiry took the list of what to keep from version 1; the file that it then found
//! and deleted had become a part of version 2 in between.
//!
//! The models:
//!
//! - `appends`: writers and expiries, each operation on its own;
//! - `history`: what builds on older versions, and several expiries; merged manifests; keys;
//! - `row_changes`: deletes, updates and merges, and what each counts on;
//! - `marks`: rows of one file that statements mark as deleted, and the vectors that say so;
//! - `tickets`: parts that processes prepare, and that others commit, perhaps twice;
//! - `drops`: DROP and CREATE in the same place, on an object store;
//! - `undrops`: the same on a local disk, where dropped tables come back;
//! - `disk`: what is visible but not durable, on a local disk.
//!
//! What is not modelled: more actors and rounds than the cases name, more than three tries,
//! retention of more than the newest version and the tagged ones, clocks (no rule depends on
//! one), a manifest apart from its files, damage, schemas, tables that Python made, and a
//! store that breaks its own promises. That the code follows the model is for the tests of the
//! code. It is evidence, not a proof.

#![cfg(test)]

mod appends;
mod cases;
mod disk;
mod drops;
mod history;
mod marks;
mod row_changes;
mod rules;
mod search;
mod tickets;
mod undrops;

use search::{Ending, Model, Violation, explore};

/// Searches `model`, which must be right in every one of its `states` states.
#[track_caller]
fn holds<M: Model>(name: &str, model: &M, states: usize) {
    match explore(model) {
        Ending::Holds(found) => {
            println!("{name}: nothing wrong in {found} states");
            assert_eq!(found, states, "{name}: the number of states has changed");
        }
        Ending::Broken(violation, trace) => {
            panic!("{}", words(name, violation, &trace));
        }
    }
}

/// Searches each of `models`, which must be right in all of their `states` states together.
#[track_caller]
fn all_hold<M: Model>(name: &str, models: impl IntoIterator<Item = M>, states: usize) {
    let mut found = 0;
    for model in models {
        match explore(&model) {
            Ending::Holds(more) => found += more,
            Ending::Broken(violation, trace) => panic!("{}", words(name, violation, &trace)),
        }
    }
    println!("{name}: nothing wrong in {found} states");
    assert_eq!(found, states, "{name}: the number of states has changed");
}

/// Searches `model`, which must be found to break its promise in so many steps, and no fewer.
#[track_caller]
fn breaks<M: Model>(name: &str, model: &M, violation: Violation, steps: usize) {
    match explore(model) {
        Ending::Holds(states) => panic!("{name}: nothing wrong in {states} states"),
        Ending::Broken(found, trace) => {
            let words = words(name, found, &trace);
            println!("{words}");
            assert_eq!((found, trace.len()), (violation, steps), "{words}");
        }
    }
}

fn words(name: &str, violation: Violation, trace: &[String]) -> String {
    let mut words = format!("{name}: {violation:?} after {} steps", trace.len());
    for (number, step) in trace.iter().enumerate() {
        words.push_str(&format!("\n{:4}. {step}", number + 1));
    }
    words
}

/// True if there is time for the searches that take many seconds.
fn long(name: &str) -> bool {
    let long = std::env::var_os("ATIO_LONG").is_some_and(|value| value == "1");
    if !long {
        println!("{name}: not searched; set ATIO_LONG=1");
    }
    long
}
