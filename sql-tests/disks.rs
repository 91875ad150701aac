//! File systems of their own: small, full, read-only, and without power.
//!
//! They need root, and the right to mount. `ATIO_ROOT=0` leaves them out.

#![cfg(test)]

mod mount;
mod power;
mod small;
