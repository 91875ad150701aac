//! A file or directory that is there completely or not at all.
//!
//! On a local disk, in this order; a crash after any step leaves the old target whole:
//!
//! 1. A hidden file or directory is made beside the target, `.<name>.atio-<id>.tmp`, and
//!    locked for as long as its writer lives. What dead writers of the target left is removed.
//! 2. The engine's own writer fills it. Each file is synced when it ends.
//! 3. The marker is written beside it in the same way, so that a full disk is found out now.
//! 4. The parent directory is locked: publishing takes turns, so that the marker is always
//!    that of the file. `if_exists` is looked at once more. Where directories cannot be locked,
//!    as on NFS, nobody takes turns.
//! 5. A backup gets its name, if one is asked for.
//! 6. The old marker is put aside, durably. A crash leaves the old target without a marker; a
//!    failure puts it back.
//! 7. One rename. **Readers see the new target.** A directory is exchanged with the old one.
//! 8. The parent directory is synced. **A power failure takes nothing of it any more.**
//! 9. The marker is renamed to its name, and the parent is synced again.
//!
//! On an object store nothing is completed before the whole query has ended, and then the
//! old marker is deleted, the objects are completed, and the marker is put. One object is
//! replaced in one step; of several, readers see some before others, and the marker last.
//!
//! Only `xlsx`, which encodes sheets and publishes nothing, knows the query engine.

mod aside;
mod backup;
mod content;
mod intake;
mod leftovers;
mod marker;
mod mode;
mod names;
mod options;
mod publish;
mod remote;
mod staged;
mod target;
mod upload;
mod write;
#[cfg(feature = "xlsx")]
mod xlsx;

pub(crate) use backup::restore;
pub use content::Hash;
pub(crate) use intake::Reserve;
pub(crate) use leftovers::{Leftover, clean};
pub use marker::{MarkedFile, Marker};
pub use options::Existing;
pub(crate) use options::FileOptions;
pub(crate) use target::{LocalTarget, Shape, StoreTarget, Target};
pub(crate) use write::{Begun, FileWrite, OUT, Written};
#[cfg(feature = "xlsx")]
pub(crate) use xlsx::register_xlsx;
