//! The JSON of metadata: bounded in depth, and with no key twice.
//!
//! The JSON library skips what it is not asked for at any depth and takes the last of two
//! equal keys where others take the first. So the bytes are looked over before it gets them.

use std::borrow::Cow;

use super::limits::{self, JSON_DEPTH, METADATA_BYTES};
use crate::error::{Error, Result};

/// Parses one JSON object of the table; the error names the object.
pub fn parse_json<'a, T: serde::Deserialize<'a>>(path: &str, bytes: &'a [u8]) -> Result<T> {
    if bytes.is_empty() {
        return Err(Error::damaged(format!(
            "{path} is empty (0 bytes): it was damaged after it was written, or by a crash"
        )));
    }
    check_shape(bytes).map_err(|error| error.context(path))?;
    serde_json::from_slice(bytes)
        .map_err(|error| Error::damaged(format!("{path} cannot be understood: {error}")))
}

/// Serializes one JSON object, compactly; fails if it would be larger than readers take.
pub fn to_json<T: serde::Serialize>(value: &T) -> Result<Vec<u8>> {
    let json = serde_json::to_vec(value)
        .map_err(|error| Error::invalid("metadata cannot be written as JSON").with_source(error))?;
    check_size(json.len())?;
    Ok(json)
}

fn check_size(bytes: usize) -> Result<()> {
    // What seals it comes on top.
    match bytes as u64 + 64 <= METADATA_BYTES {
        true => Ok(()),
        false => Err(Error::invalid(format!(
            "metadata of {bytes} bytes cannot be written: the limit is {METADATA_BYTES}"
        ))),
    }
}

/// Fails where JSON nests too deep or an object has a key twice; one pass, no recursion.
///
/// What is no JSON is left to the parser.
pub fn check_shape(bytes: &[u8]) -> Result<()> {
    // For each open object where its keys begin; None for an array.
    let mut open: Vec<Option<usize>> = Vec::new();
    let mut keys: Vec<Cow<'_, [u8]>> = Vec::new();
    let mut key_is_next = false;
    let mut at = 0;
    while let Some(byte) = bytes.get(at) {
        match byte {
            b'"' => {
                let Some(end) = end_of_string(bytes, at + 1) else {
                    return Ok(());
                };
                if std::mem::take(&mut key_is_next) {
                    keys.push(unescaped(&bytes[at..=end]));
                    limits::KEYS.check(keys.len())?;
                }
                at = end;
            }
            b'{' | b'[' => {
                if open.len() == JSON_DEPTH {
                    return Err(Error::damaged(format!(
                        "JSON nests deeper than {JSON_DEPTH}"
                    )));
                }
                key_is_next = *byte == b'{';
                open.push(key_is_next.then_some(keys.len()));
            }
            b'}' | b']' => {
                if let Some(Some(start)) = open.pop() {
                    check_unique(&mut keys[start..])?;
                    keys.truncate(start);
                }
            }
            b',' => key_is_next = matches!(open.last(), Some(Some(_))),
            _ => {}
        }
        at += 1;
    }
    Ok(())
}

/// Where the string that begins at `start`, after its quote, has its closing quote.
fn end_of_string(bytes: &[u8], start: usize) -> Option<usize> {
    let mut at = start;
    loop {
        match bytes.get(at)? {
            b'"' => return Some(at),
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
}

/// What a quoted key says; two spellings of one key are equal.
fn unescaped(quoted: &[u8]) -> Cow<'_, [u8]> {
    let raw = &quoted[1..quoted.len() - 1];
    if !raw.contains(&b'\\') {
        return Cow::Borrowed(raw);
    }
    match serde_json::from_slice::<String>(quoted) {
        Ok(key) => Cow::Owned(key.into_bytes()),
        Err(_) => Cow::Borrowed(raw),
    }
}

fn check_unique(keys: &mut [Cow<'_, [u8]>]) -> Result<()> {
    keys.sort_unstable();
    match keys.windows(2).find(|pair| pair[0] == pair[1]) {
        None => Ok(()),
        Some(pair) => Err(Error::damaged(format!(
            "the key '{}' is there twice",
            String::from_utf8_lossy(&pair[0][..pair[0].len().min(64)]).escape_debug()
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(json: &str) -> String {
        parse_json::<serde_json::Value>("m", json.as_bytes())
            .unwrap_err()
            .to_string()
    }

    #[test]
    fn json_nests_64_deep_and_no_deeper() {
        let nested = |depth| "[".repeat(depth) + &"]".repeat(depth);
        parse_json::<serde_json::Value>("m", nested(64).as_bytes()).unwrap();
        assert_eq!(message(&nested(65)), "m: JSON nests deeper than 64");
        // Deep inside what nobody asks for, too, and long before a stack ends.
        #[derive(Debug, serde::Deserialize)]
        struct Nothing {}
        let skipped = format!(r#"{{"x":{}}}"#, nested(1_000_000));
        let error = parse_json::<Nothing>("m", skipped.as_bytes()).unwrap_err();
        assert!(error.message().contains("nests deeper"), "{error}");
        assert!(message(&"[".repeat(1_000_000)).contains("nests deeper"));
        assert!(message(&"{\"a\":".repeat(1_000_000)).contains("nests deeper"));
    }

    #[test]
    fn a_key_that_is_there_twice_is_damage() {
        assert_eq!(
            message(r#"{"a":1,"b":{"c":1,"d":"c","c":2}}"#),
            "m: the key 'c' is there twice"
        );
        assert!(message(r#"{"a":[{"a":1},{"\u0061":1,"a":2}]}"#).contains("'a' is there twice"));
        assert!(message(r#"{"\"":1,"\u0022":1}"#).contains("is there twice"));
        let fine = r#"{"a":{"a":["a","a",{"a":"a"}]},"b":"{\"a\":1,\"a\":1}","":"\\","c":"a"}"#;
        parse_json::<serde_json::Value>("m", fine.as_bytes()).unwrap();
    }

    #[test]
    fn keys_in_open_objects_are_counted() {
        let keys: Vec<_> = (0..200_001).map(|i| format!("\"{i}\":0")).collect();
        let object = |count: usize| format!("{{{}}}", keys[..count].join(","));
        check_shape(object(200_000).as_bytes()).unwrap();
        assert!(message(&object(200_001)).contains("200001 keys in open objects are more"));
    }

    #[test]
    fn what_is_no_json_is_left_to_the_parser() {
        for bad in [
            "{", "}", "]]]", "\"", "\"\\", "{\"a", "{\"a\\", "[}", "{,\"a\"", "nul",
        ] {
            assert!(message(bad).contains("cannot be understood"), "{bad}");
        }
    }

    #[test]
    fn metadata_that_readers_would_refuse_for_its_size_is_not_written() {
        let most = METADATA_BYTES as usize - 64;
        check_size(most).unwrap();
        let error = check_size(most + 1).unwrap_err();
        assert!(
            error.message().ends_with("the limit is 268435456"),
            "{error}"
        );
    }
}
