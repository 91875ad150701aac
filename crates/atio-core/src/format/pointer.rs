//! The pointer `_current_version.json` and the marker `_SUCCESS`: hints for others.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::checksum::seal;
use super::{Txn, Version, layout, parse_json, to_json};
use crate::error::Result;

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
}
