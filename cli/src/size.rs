//! Numbers of bytes on the command line.

use std::num::NonZeroU64;

/// Reads a number of bytes with an optional binary unit: `512`, `64k`, `10gb`.
pub(crate) fn parse_size(size: &str) -> Result<usize, String> {
    let size = size.to_ascii_lowercase();
    let digits = size.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let number: usize = digits
        .parse()
        .map_err(|_| "it is not a size such as '512m' or '10g'".to_owned())?;
    let shift = match &size[digits.len()..] {
        "" | "b" => 0,
        "k" | "kb" => 10,
        "m" | "mb" => 20,
        "g" | "gb" => 30,
        "t" | "tb" => 40,
        unit => return Err(format!("the unit '{unit}' is none of b, k, m, g, t")),
    };
    number
        .checked_mul(1 << shift)
        .ok_or_else(|| "it is too large".to_owned())
}

/// The same for the size of a file, which is not 0.
pub(crate) fn parse_file_size(size: &str) -> Result<NonZeroU64, String> {
    let bytes = u64::try_from(parse_size(size)?).unwrap_or(u64::MAX);
    NonZeroU64::new(bytes)
        .ok_or_else(|| "a file has one byte at least: give a size such as '256m'".to_owned())
}
