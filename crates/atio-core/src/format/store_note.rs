//! The note `_atio_tmp/store/note.json`: this store was tried out, and keeps two writers apart.

use serde::{Deserialize, Serialize};

use super::{layout, parse_json, to_json};
use crate::error::Result;

/// What a table says of the store that it is on.
#[derive(Debug, Serialize, Deserialize)]
pub struct StoreNote {
    /// The URL of the table, without credentials.
    pub location: String,
    /// When the store says that `_atio_tmp/store/tried` was written, in microseconds since 1970. A
    /// copy of that object is younger, so the note says nothing of the store of a copied table.
    pub tried_at_us: i64,
}

impl StoreNote {
    /// The note in `bytes`; None if it is no use.
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        parse_json(layout::STORE_NOTE, bytes).ok()
    }

    /// Its bytes.
    pub fn to_bytes(&self) -> Result<Vec<u8>> {
        to_json(self)
    }
}
