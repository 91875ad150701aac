//! A snapshot that Python wrote.

use serde::Deserialize;
use serde::de::IgnoredAny;

use super::limits::{self, MANIFESTS};
use super::{layout, parse_json};
use crate::error::{Error, Result};

/// A snapshot that Python wrote: manifest paths and a time, nothing to verify them by.
#[derive(Debug, Clone)]
pub struct PythonSnapshot {
    pub manifests: Vec<String>,
    pub at_us: i64,
}

impl PythonSnapshot {
    /// Reads the object called `path`; fails with [`ErrorKind::Damaged`](crate::ErrorKind::Damaged).
    pub fn parse(path: &str, bytes: &[u8]) -> Result<Self> {
        #[derive(Deserialize)]
        struct Keys {
            timestamp: f64,
            manifests: Vec<String>,
            columns: Option<IgnoredAny>,
        }
        let keys: Keys = parse_json(path, bytes)?;
        if keys.columns.is_some() {
            return Err(Error::unsupported(format!(
                "{path} was written by Python atio 3, which uses another format; only tables of Python atio 2.0 can be opened"
            )));
        }
        MANIFESTS
            .check(keys.manifests.len())
            .map_err(|error| error.context(path))?;
        let at_us = (keys.timestamp * 1e6) as i64;
        limits::check_time(at_us).map_err(|error| error.context(path))?;
        let manifests: Vec<_> = keys
            .manifests
            .iter()
            .map(|path| layout::from_python(path))
            .collect();
        for manifest in &manifests {
            if layout::parse(manifest).is_none_or(|object| object.kind != layout::Kind::Manifest) {
                return Err(Error::damaged(format!(
                    "{path} names '{}', which is not a manifest of this table",
                    manifest.escape_debug()
                )));
            }
        }
        Ok(Self { manifests, at_us })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_snapshot_of_python_beyond_the_limits_is_damaged() {
        let message = |json: serde_json::Value| {
            let error = PythonSnapshot::parse("s", json.to_string().as_bytes()).unwrap_err();
            error.to_string()
        };
        for timestamp in [-1.0, 253_402_300_800.0, 1e300] {
            let text = message(serde_json::json!({"timestamp": timestamp, "manifests": []}));
            assert!(text.ends_with("is not in the years 1970 to 9999"), "{text}");
        }
        let many = vec!["x"; 100_001];
        assert_eq!(
            message(serde_json::json!({"timestamp": 1, "manifests": many})),
            "s: 100001 manifests are more than the limit of 100000"
        );
    }
}
