//! Column statistics of data files, as manifests hold them (B8).
//!
//! A bound is written in the type and unit of the file. Readers take anything malformed
//! for unknown: statistics save work, they never decide what exists.

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Map, Value as Json, json};

/// The longest text or binary bound that is written, in bytes.
pub const BOUND_LIMIT: usize = 64;

/// What is known of one column of one file.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ColumnStats {
    pub nulls: Option<u64>,
    pub min: Option<Bound>,
    pub max: Option<Bound>,
    /// A NaN occurs, or nobody looked: then no bound holds above.
    pub nan: bool,
}

/// A smallest or largest value.
#[derive(Debug, Clone, PartialEq)]
pub struct Bound {
    pub value: Value,
    /// Cut to the limit: a bound, but not a value of the column.
    pub cut: bool,
}

/// A value as JSON holds it; the schema says of which type.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    Bool(bool),
    /// Integers, dates, times, timestamps, unscaled decimals.
    Int(i128),
    Float(f64),
    /// Text, or binary as hexadecimal digits.
    Text(String),
}

impl ColumnStats {
    /// True if nothing is known of the column.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

impl Bound {
    /// The smallest text of at most the limit that is not above `text`.
    pub fn text_min(text: &str, exact: bool) -> Self {
        let cut = floor(text);
        Self {
            value: Value::Text(cut.to_owned()),
            cut: !exact || cut.len() < text.len(),
        }
    }

    /// A text of about the limit that is not below `text`; None if there is none.
    pub fn text_max(text: &str, exact: bool) -> Option<Self> {
        let mut cut = floor(text);
        if cut.len() == text.len() {
            let value = Value::Text(text.to_owned());
            return Some(Self { value, cut: !exact });
        }
        // The last character that has a successor which fits is replaced by it.
        while let Some((at, last)) = cut.char_indices().next_back() {
            cut = &cut[..at];
            if let Some(next) = successor(last).filter(|next| at + next.len_utf8() <= BOUND_LIMIT) {
                let value = Value::Text(format!("{cut}{next}"));
                return Some(Self { value, cut: true });
            }
        }
        None
    }

    /// Like [`Bound::text_min`] for bytes, written in hexadecimal.
    pub fn binary_min(bytes: &[u8], exact: bool) -> Self {
        let cut = &bytes[..bytes.len().min(BOUND_LIMIT)];
        Self {
            value: Value::Text(hex(cut)),
            cut: !exact || cut.len() < bytes.len(),
        }
    }

    /// Like [`Bound::text_max`] for bytes, written in hexadecimal.
    pub fn binary_max(bytes: &[u8], exact: bool) -> Option<Self> {
        if bytes.len() <= BOUND_LIMIT {
            let value = Value::Text(hex(bytes));
            return Some(Self { value, cut: !exact });
        }
        let mut cut = bytes[..BOUND_LIMIT].to_vec();
        while cut.last() == Some(&0xff) {
            cut.pop();
        }
        *cut.last_mut()? += 1;
        Some(Self {
            value: Value::Text(hex(&cut)),
            cut: true,
        })
    }

    fn to_json(&self) -> Json {
        let value = match &self.value {
            Value::Bool(value) => json!(value),
            Value::Int(value) => i64::try_from(*value)
                .map(Json::from)
                .or_else(|_| u64::try_from(*value).map(Json::from))
                .unwrap_or_else(|_| json!(value.to_string())),
            Value::Float(value) if value.is_infinite() => {
                json!(if *value > 0.0 { "inf" } else { "-inf" })
            }
            Value::Float(value) => json!(value),
            Value::Text(value) => json!(value),
        };
        match self.cut {
            true => json!([value, {"cut": true}]),
            false => value,
        }
    }

    fn from_json(json: &Json) -> Option<Self> {
        let (json, cut) = match json {
            Json::Array(pair) => match pair.as_slice() {
                [value, Json::Object(marks)] => (
                    value,
                    marks.get("cut").and_then(Json::as_bool).unwrap_or(true),
                ),
                _ => return None,
            },
            json => (json, false),
        };
        let value = match json {
            Json::Bool(value) => Value::Bool(*value),
            Json::Number(number) => {
                let int = number
                    .as_i64()
                    .map(i128::from)
                    .or_else(|| number.as_u64().map(i128::from));
                match int {
                    Some(int) => Value::Int(int),
                    None => Value::Float(number.as_f64()?),
                }
            }
            Json::String(text) => Value::Text(text.clone()),
            _ => return None,
        };
        Some(Self { value, cut })
    }
}

impl Serialize for ColumnStats {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if self.is_empty() {
            return serializer.serialize_none();
        }
        let bound = |bound: &Option<Bound>| bound.as_ref().map_or(Json::Null, Bound::to_json);
        let mut entry = vec![json!(self.nulls), bound(&self.min), bound(&self.max)];
        if self.nan {
            entry.push(Json::Object(Map::from_iter([(
                "nan".to_owned(),
                json!(true),
            )])));
        }
        entry.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for ColumnStats {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let json = Json::deserialize(deserializer)?;
        let Some([nulls, min, max, rest @ ..]) = json.as_array().map(Vec::as_slice) else {
            return Ok(Self::default());
        };
        let marks = rest.first();
        Ok(Self {
            nulls: nulls.as_u64(),
            min: Bound::from_json(min),
            max: Bound::from_json(max),
            nan: marks
                .is_some_and(|marks| marks.get("nan").and_then(Json::as_bool).unwrap_or(true)),
        })
    }
}

/// The next character; surrogates are none.
fn successor(c: char) -> Option<char> {
    match c {
        '\u{d7ff}' => Some('\u{e000}'),
        c => char::from_u32(c as u32 + 1),
    }
}

/// The longest prefix of at most the limit that ends at a character.
fn floor(text: &str) -> &str {
    let mut end = text.len().min(BOUND_LIMIT);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The bytes that hexadecimal digits stand for; None if they are not such digits.
pub fn from_hex(text: &str) -> Option<Vec<u8>> {
    let digits = text.as_bytes();
    digits
        .chunks(2)
        .map(|pair| {
            let pair = std::str::from_utf8(pair)
                .ok()
                .filter(|p| p.len() == 2 && !p.starts_with('+'))?;
            u8::from_str_radix(pair, 16).ok()
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn round_trip(stats: ColumnStats) {
        let text = serde_json::to_string(&stats).unwrap();
        assert_eq!(
            serde_json::from_str::<ColumnStats>(&text).unwrap(),
            stats,
            "{text}"
        );
    }

    #[test]
    fn statistics_round_trip() {
        round_trip(ColumnStats::default());
        for value in [
            Value::Int(-5),
            Value::Int(u64::MAX.into()),
            Value::Bool(true),
            Value::Float(0.1),
            Value::Float(-0.0),
        ] {
            let bound = Some(Bound { value, cut: false });
            round_trip(ColumnStats {
                nulls: Some(1),
                min: bound.clone(),
                max: bound,
                nan: true,
            });
        }
        let text = serde_json::to_string(&ColumnStats {
            nulls: Some(0),
            min: Some(Bound {
                value: Value::Int(1),
                cut: false,
            }),
            max: Some(Bound {
                value: Value::Text("b".into()),
                cut: true,
            }),
            nan: false,
        });
        assert_eq!(text.unwrap(), r#"[0,1,["b",{"cut":true}]]"#);
    }

    #[test]
    fn malformed_statistics_are_unknown() {
        for bad in ["1", "[]", "[1]", "{}", r#""x""#, r#"[-1,{},[1,2,3]]"#] {
            let stats: ColumnStats = serde_json::from_str(bad).unwrap();
            assert!(stats.is_empty(), "{bad}");
        }
    }

    #[test]
    fn long_text_is_cut_to_bounds_that_hold() {
        let long = "é".repeat(40);
        let min = Bound::text_min(&long, true);
        let max = Bound::text_max(&long, true).unwrap();
        let (Value::Text(low), Value::Text(high)) = (&min.value, &max.value) else {
            panic!()
        };
        assert!(min.cut && max.cut && low.len() <= BOUND_LIMIT && high.len() <= BOUND_LIMIT);
        assert!(low.as_str() < long.as_str() && high.as_str() > long.as_str());
        assert_eq!(Bound::text_max(&"\u{10ffff}".repeat(20), true), None);
        let grows = format!("{}a{}", "x".repeat(62), "\u{7f}".repeat(9));
        let Value::Text(high) = Bound::text_max(&grows, true).unwrap().value else {
            panic!()
        };
        assert!(high.len() <= BOUND_LIMIT && high.as_str() > grows.as_str());
        assert_eq!(Bound::binary_max(&[0xff; 65], true), None);
        let Value::Text(high) = Bound::binary_max(&[[1; 63].as_slice(), &[0xff; 9]].concat(), true)
            .unwrap()
            .value
        else {
            panic!()
        };
        assert_eq!(
            from_hex(&high).unwrap(),
            [[1; 62].as_slice(), &[2]].concat()
        );
    }
}
