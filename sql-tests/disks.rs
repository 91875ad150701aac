//! File systems of their own: small, full, read-only, and without power.
//!
//! They need root, and the right to mount. `ATIO_ROOT=0` leaves them out.

#![cfg(test)]

mod copy_power_loss;
pub(crate) mod full_or_read_only;
#[path = "../crates/atio-core/tests/shared/mount.rs"]
pub(crate) mod mount;
mod power_loss;
