//! The pointer `_current_version.json` and the marker `_SUCCESS`: hints for others.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::checksum::{has_seal, seal, verify_seal};
use super::{Txn, Version, layout, parse_json, to_json};
use crate::error::{Error, Result};

#[derive(Serialize)]
struct PointerFile {
    /// A string, so that Python's writers stop before they write (A2).
    version_id: String,
    table: Uuid,
}

/// The bytes of a pointer to `version` of the table with this id.
pub fn pointer(version: Version, table: Uuid) -> Result<Vec<u8>> {
    let file = PointerFile {
        version_id: version.to_string(),
        table,
    };
    seal(to_json(&file)?)
}

/// The version that a pointer names, as number or as string; None if it is no use.
///
/// The checksum is not asked for: a hint is checked by looking where it points.
pub fn parse_pointer(bytes: &[u8]) -> Option<Version> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Number {
        Number(u64),
        Text(String),
    }
    #[derive(Deserialize)]
    struct Hint {
        version_id: Number,
    }
    let number = match parse_json::<Hint>(layout::POINTER, bytes).ok()?.version_id {
        Number::Number(number) => number,
        Number::Text(text) => text.parse().ok().filter(|n: &u64| n.to_string() == text)?,
    };
    Version::new(number)
}

/// A pointer that is what somebody wrote.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pointer {
    pub version: Version,
    /// None where Python wrote it.
    pub table: Option<Uuid>,
}

impl Pointer {
    /// Reads a pointer strictly, its checksum too; fails with
    /// [`ErrorKind::Damaged`](crate::ErrorKind::Damaged).
    pub fn parse(bytes: &[u8]) -> Result<Self> {
        #[derive(Deserialize)]
        struct Of {
            table: Option<Uuid>,
        }
        let version = parse_pointer(bytes);
        let version = version
            .ok_or_else(|| Error::damaged(format!("{} names no version", layout::POINTER)))?;
        let of: Of = parse_json(layout::POINTER, bytes)?;
        if of.table.is_some() || has_seal(bytes) {
            verify_seal(layout::POINTER, bytes)?;
        }
        Ok(Self {
            version,
            // Written while a table of Python's is taken over, which has none.
            table: of.table.filter(|table| !table.is_nil()),
        })
    }
}

/// The bytes of the marker: the newest version that its writer knew.
pub fn success(version: Version, txn: Txn, committed_at_us: i64) -> Result<Vec<u8>> {
    #[derive(Serialize)]
    struct SuccessFile {
        version: Version,
        txn: Txn,
        committed_at_us: i64,
    }
    to_json(&SuccessFile {
        version,
        txn,
        committed_at_us,
    })
}

/// The version that a marker names; fails with [`ErrorKind::Damaged`](crate::ErrorKind::Damaged).
pub fn parse_success(bytes: &[u8]) -> Result<Version> {
    #[derive(Deserialize)]
    struct SuccessFile {
        version: Version,
    }
    Ok(parse_json::<SuccessFile>(layout::SUCCESS, bytes)?.version)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pointer_holds_the_version_as_a_string() {
        let bytes = pointer(Version::new(7).unwrap(), Uuid::nil()).unwrap();
        let text = String::from_utf8(bytes.clone()).unwrap();
        assert!(text.starts_with(r#"{"version_id":"7","#), "{text}");
        assert_eq!(parse_pointer(&bytes), Version::new(7));
    }

    #[test]
    fn python_numbers_are_read_and_nonsense_is_no_hint() {
        assert_eq!(parse_pointer(br#"{"version_id": 3}"#), Version::new(3));
        for bad in [
            "",
            "[]",
            "{}",
            r#"{"version_id":-1}"#,
            r#"{"version_id":1e30}"#,
            r#"{"version_id":"x"}"#,
            r#"{"version_id":"+3"}"#,
            r#"{"version_id":"03"}"#,
            r#"{"version_id":3,"version_id":4}"#,
            r#"{"version_id":9007199254740992}"#,
            r#"{"version_id":"9007199254740992"}"#,
        ] {
            assert_eq!(parse_pointer(bad.as_bytes()), None, "{bad}");
        }
    }

    #[test]
    fn strict_reading_notices_what_a_hint_may_be() {
        let table = Uuid::from_u128(7);
        let bytes = pointer(Version::ZERO, table).unwrap();
        let read = Pointer::parse(&bytes).unwrap();
        assert_eq!((read.version, read.table), (Version::ZERO, Some(table)));
        for at in 0..bytes.len() {
            let mut flipped = bytes.clone();
            flipped[at] ^= 1;
            assert!(Pointer::parse(&flipped).is_err(), "byte {at}");
        }
        let python = Pointer::parse(br#"{"version_id": 3}"#).unwrap();
        assert_eq!(
            (Some(python.version), python.table),
            (Version::new(3), None)
        );
        let adopted = pointer(Version::ZERO, Uuid::nil()).unwrap();
        assert_eq!(Pointer::parse(&adopted).unwrap().table, None);
        assert!(Pointer::parse(b"").is_err());
    }

    #[test]
    fn marker_names_a_version() {
        let txn = Txn::new(Uuid::from_u128(1 << 100));
        let bytes = success(Version::ZERO, txn, 5).unwrap();
        assert_eq!(parse_success(&bytes).unwrap(), Version::ZERO);
        assert!(parse_success(b"").is_err());
        assert!(parse_success(b"{}").is_err());
    }
}
