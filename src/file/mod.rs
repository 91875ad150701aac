//! A file or directory that is there completely or not at all.
//!
//! On a local disk, in this order; a crash after any step leaves the old target whole:
//!
//! 1. The directories above the target that are missing are made, durably. What dead writers of
//!    the target left is removed.
//! 2. A file is opened without a name, so that nobody finds it and nothing is left of it if its
//!    writer dies. A directory gets a hidden name beside the target, `.<name>.atio-<id>.tmp`,
//!    and is locked for as long as its writer lives; its files get their names when they are
//!    whole.
//! 3. The engine's own writer fills it. Each file is synced when it ends.
//! 4. The marker, if one is asked for, is written in the same way, so that a full disk is found
//!    out now.
//! 5. The parent directory is locked: publishing takes turns, so that the marker is always
//!    that of the file. `if_exists` is looked at once more. Where directories cannot be locked,
//!    as on NFS, nobody takes turns.
//! 6. A backup gets its name, if one is asked for.
//! 7. An old marker is put aside, durably. A crash leaves the old target without a marker; a
//!    failure puts it back.
//! 8. A new file is linked to its name. One that replaces another is linked in a hidden
//!    directory beside that of the target and renamed from there, in one step. **Readers see
//!    the new target.** A directory is exchanged with the old one.
//! 9. The parent directory is synced. **A power failure takes nothing of it any more.**
//! 10. The marker gets its name, and the parent is synced again.
//!
//! Files that are added to a directory go another way, from step 8 on: see
//! [`publish::append`].
//!
//! Where there are no unnamed files (NFS, other systems than Linux), a file lies in a hidden
//! directory beside that of the target. Where nothing can be made there (the root of a mounted
//! file system, a directory above that is not ours), that directory is in the one of the
//! target, and the log says so once.
//!
//! On an object store nothing is completed before the whole query has ended, and then the
//! old marker is deleted, the objects are completed, and the marker is put. One object is
//! replaced in one step; of several, readers see some before others, and the marker last.
//!
//! Only `xlsx`, which encodes sheets and publishes nothing, knows the query engine.

mod backup;
mod content;
mod displaced;
mod folders;
mod held;
mod leftovers;
mod marker;
mod mode;
mod names;
mod options;
mod publish;
mod remote;
mod shape;
mod staged;
mod staging_store;
mod store;
mod target;
mod unnamed;
mod upload;
mod write;
#[cfg(feature = "xlsx")]
mod xlsx;

pub(crate) use backup::restore;
pub use content::Hash;
pub(crate) use leftovers::{Leftover, clean};
pub use marker::{MarkedFile, Marker};
pub use options::Existing;
pub(crate) use options::{FileOptions, Marking};
pub(crate) use shape::Shape;
pub(crate) use staging_store::{OUT, Reserve};
pub(crate) use target::{FileTarget, LocalTarget, StoreTarget};
pub(crate) use write::{Begun, FileWrite, Written};
#[cfg(feature = "xlsx")]
pub(crate) use xlsx::{is_xlsx, register_xlsx};
