//! What a check is asked to do.

/// What to check.
///
/// ```
/// let options = atio_core::log::CheckOptions { deep: true };
/// assert!(!atio_core::log::CheckOptions::default().deep && options.deep);
/// ```
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct CheckOptions {
    /// Reads every byte of every data file and every deletion vector: their checksums, and whether
    /// the statistics in the lists of files are true. By default only sizes and footers are looked at.
    pub deep: bool,
}
