//! Checksums: of an object that another names, and of one that nothing names (B3).

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::error::{Error, Result};

/// A CRC-32C, written `crc32c:xxxxxxxx`.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Checksum(u32);

impl Checksum {
    /// The checksum of `bytes`.
    pub fn of(bytes: &[u8]) -> Self {
        Self(crc32c::crc32c(bytes))
    }

    /// The checksum of the bytes seen so far followed by `bytes`.
    pub fn append(self, bytes: &[u8]) -> Self {
        Self(crc32c::crc32c_append(self.0, bytes))
    }

    fn parse(text: &str) -> Option<Self> {
        let digits = text.strip_prefix("crc32c:")?;
        let strict = digits.len() == 8 && digits.bytes().all(super::version::is_lower_hex);
        u32::from_str_radix(digits, 16)
            .ok()
            .filter(|_| strict)
            .map(Self)
    }
}

impl std::str::FromStr for Checksum {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let unknown = || {
            format!(
                "'{}' is no checksum that this release knows",
                text.escape_debug()
            )
        };
        Self::parse(text).ok_or_else(|| Error::damaged(unknown()))
    }
}

impl fmt::Display for Checksum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "crc32c:{:08x}", self.0)
    }
}

impl fmt::Debug for Checksum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for Checksum {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Checksum {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        Self::parse(&text)
            .ok_or_else(|| serde::de::Error::custom("a checksum is written crc32c:xxxxxxxx"))
    }
}

/// Names an immutable object and says what its bytes must be.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct ObjectRef {
    pub path: String,
    pub size: u64,
    pub checksum: Checksum,
}

impl ObjectRef {
    /// Names an object that holds `bytes`.
    pub fn of(path: impl Into<String>, bytes: &[u8]) -> Self {
        Self {
            path: path.into(),
            size: bytes.len() as u64,
            checksum: Checksum::of(bytes),
        }
    }

    /// Checks that `bytes` are the ones that were written.
    pub fn verify(&self, bytes: &[u8]) -> Result<()> {
        let Self {
            path,
            size,
            checksum,
        } = self;
        if bytes.len() as u64 != *size {
            return Err(Error::damaged(format!(
                "{path} has {} bytes, {size} were written",
                bytes.len()
            )));
        }
        let found = Checksum::of(bytes);
        if found != *checksum {
            return Err(Error::damaged(format!(
                "{path} has checksum {found}, {checksum} was written"
            )));
        }
        Ok(())
    }
}

const KEY: &[u8] = b",\"checksum\":\"";
const END: &[u8] = b"\"}\n";
/// `,"checksum":"crc32c:xxxxxxxx"}` and the newline.
const SUFFIX: usize = KEY.len() + 15 + END.len();

/// Closes a JSON object with the checksum of everything before it.
///
/// `json` is a non-empty object without a `checksum` member.
pub fn seal(mut json: Vec<u8>) -> Result<Vec<u8>> {
    if json.pop() != Some(b'}') || json.last() == Some(&b'{') {
        return Err(Error::invalid(
            "only a JSON object with members can be sealed",
        ));
    }
    let checksum = Checksum::of(&json).to_string();
    json.extend_from_slice(KEY);
    json.extend_from_slice(checksum.as_bytes());
    json.extend_from_slice(END);
    Ok(json)
}

/// True if the bytes end as a sealed object does, whether or not the checksum is right.
pub fn has_seal(bytes: &[u8]) -> bool {
    let start = bytes.len().checked_sub(SUFFIX);
    start.is_some_and(|start| bytes[start..].starts_with(KEY) && bytes.ends_with(END))
}

/// Verifies a sealed object on its raw bytes and returns the checksum that it carries.
pub fn verify_seal(path: &str, bytes: &[u8]) -> Result<Checksum> {
    let broken = || {
        Error::damaged(format!(
            "{path} does not end with its checksum: it is truncated or was changed"
        ))
    };
    let start = bytes.len().checked_sub(SUFFIX).ok_or_else(broken)?;
    let (body, suffix) = bytes.split_at(start);
    let stored = suffix
        .strip_prefix(KEY)
        .and_then(|rest| rest.strip_suffix(END))
        .and_then(|digits| std::str::from_utf8(digits).ok())
        .and_then(Checksum::parse)
        .ok_or_else(broken)?;
    let found = Checksum::of(body);
    if found != stored {
        return Err(Error::damaged(format!(
            "{path} has checksum {found} but says {stored}: it was changed after it was written"
        )));
    }
    Ok(stored)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sealed_object_is_json_and_every_flipped_byte_is_noticed() {
        let sealed = seal(br#"{"a":1,"b":"x"}"#.to_vec()).unwrap();
        let value: serde_json::Value = serde_json::from_slice(&sealed).unwrap();
        assert_eq!(value["a"], 1);
        let stored = verify_seal("r", &sealed).unwrap();
        assert_eq!(value["checksum"], stored.to_string());
        for i in 0..sealed.len() {
            let mut bad = sealed.clone();
            bad[i] ^= 1;
            assert!(verify_seal("r", &bad).is_err(), "byte {i}");
            assert!(verify_seal("r", &sealed[..i]).is_err(), "cut at {i}");
        }
    }

    #[test]
    fn a_reference_notices_size_and_content() {
        let named = ObjectRef::of("metadata/x", b"abc");
        named.verify(b"abc").unwrap();
        assert!(
            named
                .verify(b"ab")
                .unwrap_err()
                .to_string()
                .contains("2 bytes, 3 were")
        );
        assert!(named.verify(b"abd").is_err());
    }

    #[test]
    fn checksum_is_the_castagnoli_one() {
        assert_eq!(Checksum::of(b"123456789").to_string(), "crc32c:e3069283");
    }
}
