//! Who may read and write what takes the place of something else.

use std::fs::{File, Metadata};
use std::io;

/// Gives the permission bits of the old target to the new one, and its owner and group where
/// that is allowed; true if that changed the bits.
#[cfg(unix)]
pub(super) fn keep_mode(file: &File, old: &Metadata) -> io::Result<bool> {
    use std::fs::Permissions;
    use std::os::unix::fs::{MetadataExt, PermissionsExt, fchown};

    let owner = |meta: &Metadata| Owner {
        user: meta.uid(),
        group: meta.gid(),
    };
    let mut new = file.metadata()?;
    if owner(&new) != owner(old) {
        // Only root gives files away, but who is in a group may give them to it.
        fchown(file, Some(old.uid()), Some(old.gid()))
            .or_else(|_| fchown(file, None, Some(old.gid())))
            .ok();
        new = file.metadata()?;
    }
    let mode = kept_mode(old.mode(), owner(old), owner(&new));
    let changed = new.mode() & BITS != mode;
    if changed {
        file.set_permissions(Permissions::from_mode(mode))?;
    }
    Ok(changed)
}

#[cfg(not(unix))]
pub(super) fn keep_mode(_: &File, _: &Metadata) -> io::Result<bool> {
    Ok(false)
}

#[cfg(unix)]
const BITS: u32 = 0o7777;
#[cfg(unix)]
const RUNS_AS_USER: u32 = 0o4000;
#[cfg(unix)]
const RUNS_AS_GROUP: u32 = 0o2000;

#[cfg(unix)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Owner {
    user: u32,
    group: u32,
}

/// The bits by which nobody may do more with the new file than with the old one, but for the
/// one who writes it.
#[cfg(unix)]
fn kept_mode(mode: u32, old: Owner, new: Owner) -> u32 {
    let mut mode = mode & BITS;
    if new.user != old.user {
        mode &= !RUNS_AS_USER;
    }
    if new.group != old.group {
        // Members of the new group were others before, and those of the old one are others now.
        let both = (mode >> 3) & mode & 0o7;
        mode = (mode & !(RUNS_AS_GROUP | 0o77)) | (both << 3) | both;
    }
    mode
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    #[test]
    fn a_new_group_may_do_no_more_than_others_could_and_others_no_more_than_the_old_group() {
        let old = Owner { user: 1, group: 1 };
        let user = Owner { user: 2, group: 1 };
        let both = Owner { user: 2, group: 2 };
        for (mode, new, expected) in [
            (0o100_640, old, 0o640),
            (0o6755, old, 0o6755),
            (0o6755, user, 0o2755),
            (0o640, user, 0o640),
            (0o6755, both, 0o755),
            (0o640, both, 0o600),
            (0o644, both, 0o644),
            (0o604, both, 0o600),
            (0o664, both, 0o644),
        ] {
            assert_eq!(kept_mode(mode, old, new), expected, "{mode:o} {new:?}");
        }
    }
}
