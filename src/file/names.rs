//! Names beside a target: hidden, and recognisable by themselves.

use uuid::Uuid;

use crate::error::{Error, Result};

const SIGN: &str = ".atio-";
const TEMPORARY: &str = ".tmp";
const SWAP: &str = ".swap";
const ADD: &str = ".add";
const ADD_WITHIN: &str = ".within";
const DONE: &str = ".done";
const BACKUP: &str = ".atio-backup";
const PENDING: &str = ".atio-pending";
const OLD: &str = ".atio-old";
const MARKER: &str = "._SUCCESS";
/// No file system takes a longer name, in bytes.
const NAME_LIMIT: usize = 255;
/// Of these a temporary name needs a point, the sign, an id, an inode and an ending.
const LIMIT: usize = NAME_LIMIT - 1 - SIGN.len() - 32 - 1 - 16 - SWAP.len();

/// Fails if `name` leaves no room for the names beside it, or is one of them.
pub(super) fn check(name: &str) -> Result<()> {
    if name.len() > LIMIT {
        return Err(Error::invalid(format!(
            "the name of the target is too long ({} bytes, limit {LIMIT}): a temporary file beside it needs the rest",
            name.len()
        )));
    }
    let endings = [BACKUP, PENDING, OLD, MARKER];
    let ours = parse(name).is_some() || endings.iter().any(|ending| name.ends_with(ending));
    if name.starts_with('.') && ours {
        return Err(Error::invalid(format!(
            "'{name}' is what atio calls a file of its own: give another name"
        )));
    }
    Ok(())
}

/// A name that nobody else uses, for what is to become `name`.
pub(super) fn temporary(name: &str) -> String {
    format!(".{name}{SIGN}{}{TEMPORARY}", Uuid::now_v7().simple())
}

/// A name under which a new directory waits to be exchanged with an old one that must be
/// kept: what has another inode is the old one.
pub(super) fn swap(name: &str, inode: u64) -> String {
    format!(".{name}{SIGN}{}-{inode:x}{SWAP}", Uuid::now_v7().simple())
}

/// A name under which new files lie whose other names are in a directory that is there.
pub(super) fn adding(name: &str) -> String {
    format!(".{name}{SIGN}{}{ADD}", Uuid::now_v7().simple())
}

/// The same in that directory itself.
pub(super) fn adding_within(name: &str) -> String {
    format!(".{name}{SIGN}{}{ADD_WITHIN}", Uuid::now_v7().simple())
}

/// Either of them, once the files are to stay there.
pub(super) fn added(name: &str) -> String {
    format!(".{name}{SIGN}{}{DONE}", Uuid::now_v7().simple())
}

pub(super) fn backup(name: &str) -> String {
    format!(".{name}{BACKUP}")
}

pub(super) fn marker(name: &str) -> String {
    format!(".{name}{MARKER}")
}

/// The marker of the backup.
pub(super) fn backup_marker(name: &str) -> String {
    format!(".{name}{BACKUP}{MARKER}")
}

/// The marker of a directory that is about to become visible.
pub(super) fn pending_marker(name: &str) -> String {
    format!(".{name}{PENDING}")
}

/// The marker of the directory that is being replaced.
pub(super) fn old_marker(name: &str) -> String {
    format!(".{name}{OLD}")
}

/// What a temporary name says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Temporary<'a> {
    /// What it was to become.
    pub(super) target: &'a str,
    pub(super) stage: Stage,
}

/// How far a writer has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
    /// Nothing is shown, or all of it.
    Begun,
    /// A new directory with this inode waits for an exchange.
    Swap(u64),
    /// Files in it may be in the target, too.
    Add,
    /// Files in it may be in the directory around it, too.
    AddWithin,
}

/// None if the name is not a temporary one.
pub(super) fn parse(name: &str) -> Option<Temporary<'_>> {
    let (target, rest) = name.strip_prefix('.')?.rsplit_once(SIGN)?;
    let (id, ending) = rest.split_once(['.', '-'])?;
    let stage = match &rest[id.len()..] {
        TEMPORARY | DONE => Stage::Begun,
        ADD => Stage::Add,
        ADD_WITHIN => Stage::AddWithin,
        _ => Stage::Swap(u64::from_str_radix(ending.strip_suffix(SWAP)?, 16).ok()?),
    };
    let hex = id.len() == 32 && id.bytes().all(|byte| byte.is_ascii_hexdigit());
    (hex && !target.is_empty()).then_some(Temporary { target, stage })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn temporary_names_are_recognised_and_no_others() {
        let plain = temporary("a.csv");
        let swapping = swap("a.csv", 255);
        let of = |name| parse(name).map(|found| (found.target, found.stage));
        assert_eq!(of(&plain), Some(("a.csv", Stage::Begun)));
        assert_eq!(of(&swapping), Some(("a.csv", Stage::Swap(255))));
        let (adding, added) = (adding("a"), added("a"));
        assert_eq!(of(&adding), Some(("a", Stage::Add)));
        assert_eq!(of(&added), Some(("a", Stage::Begun)));
        let within = adding_within("a");
        assert_eq!(of(&within), Some(("a", Stage::AddWithin)));
        for other in [
            "a.csv",
            ".a.csv",
            ".a.csv.atio-backup",
            ".a.csv.atio-1.tmp",
            &plain[1..],
            &format!("{plain}x"),
            &swapping.replace("-ff", "-fg"),
            &plain.replace("a.csv", ""),
        ] {
            assert_eq!(of(other), None, "{other}");
        }
    }

    #[test]
    fn long_names_and_names_of_ours_are_refused() {
        assert!(check(&"x".repeat(LIMIT)).is_ok());
        let long = check(&"x".repeat(LIMIT + 1)).unwrap_err().to_string();
        assert!(long.contains("195 bytes, limit 194"), "{long}");
        assert!(swap(&"x".repeat(LIMIT), u64::MAX).len() <= NAME_LIMIT);
        for ours in [temporary("a"), marker("a"), backup("a"), backup_marker("a")] {
            assert!(check(&ours).is_err(), "{ours}");
        }
        assert!(check(".hidden").is_ok() && check("a._SUCCESS").is_ok());
    }
}
