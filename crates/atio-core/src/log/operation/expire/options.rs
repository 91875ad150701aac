//! What an expiry is asked to do.

/// What to expire. Times are microseconds.
#[derive(Debug, Clone, Copy)]
pub struct Expiry {
    /// Versions stay readable for this long after they stopped being the newest (C1).
    pub keep_for_us: i64,
    /// The newest so many versions with changes stay, whatever their age; at least 1.
    pub retain_last: u64,
    /// Files that no version ever named go once their transaction was idle this long (C4).
    pub orphan_age_us: i64,
    /// Changes nothing.
    pub dry_run: bool,
    /// The present time since 1970.
    pub now_us: i64,
}
