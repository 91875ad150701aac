//! File systems of their own: small, full, read-only, and without power.
//!
//! They need root, and the right to mount. `ATIO_ROOT=0` leaves them out.

#![cfg(test)]

mod copies;
pub(crate) mod mount;
mod power;
pub(crate) mod small;
