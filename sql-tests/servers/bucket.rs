//! What the server of the tests keeps: objects by key, and uploads that are not complete.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use bytes::Bytes;
use chrono::{DateTime, Utc};
use parking_lot::Mutex;

/// The smallest part of an upload but its last, as on S3.
const SMALLEST_PART: usize = 5 * 1024 * 1024;

/// How the server treats the condition of a write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Conditions {
    /// Checks and writes at once.
    Kept,
    /// Writes whatever the condition says.
    Ignored,
    /// Checks, lets others run for so long, and then writes.
    Raced(Duration),
}

/// What a write demands of what is under its key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Condition {
    Nothing,
    Absent,
    /// The object of this generation.
    Is(u64),
}

#[derive(Debug, Clone)]
pub(super) struct Object {
    pub(super) bytes: Bytes,
    /// Grows with every write to the bucket; the tag is made of it.
    pub(super) generation: u64,
    pub(super) modified: DateTime<Utc>,
}

/// Why a write is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refused {
    Condition,
    NoSuchUpload,
    InvalidPart,
    PartTooSmall,
}

/// One page of a listing.
#[derive(Debug, Default)]
pub(super) struct Page {
    pub(super) objects: Vec<(String, Object)>,
    pub(super) folders: BTreeSet<String>,
    /// Where the next page begins; None after the last.
    pub(super) next: Option<String>,
}

#[derive(Debug, Default)]
struct State {
    objects: BTreeMap<String, Object>,
    uploads: BTreeMap<String, Upload>,
    generation: u64,
}

#[derive(Debug)]
struct Upload {
    key: String,
    parts: BTreeMap<usize, Object>,
}

#[derive(Debug)]
pub(super) struct Bucket {
    state: Mutex<State>,
    conditions: Mutex<Conditions>,
    smallest_part: Mutex<usize>,
}

impl Bucket {
    pub(super) fn new() -> Self {
        Self {
            state: Mutex::default(),
            conditions: Mutex::new(Conditions::Kept),
            smallest_part: Mutex::new(SMALLEST_PART),
        }
    }

    pub(super) fn treat(&self, conditions: Conditions) {
        *self.conditions.lock() = conditions;
    }

    /// Takes parts of any size, so that an upload of many parts need not be large.
    pub(super) fn take_small_parts(&self) {
        *self.smallest_part.lock() = 0;
    }

    pub(super) fn get(&self, key: &str) -> Option<Object> {
        self.state.lock().objects.get(key).cloned()
    }

    /// Writes the object and gives its generation.
    pub(super) async fn put(
        &self,
        key: &str,
        bytes: Bytes,
        condition: Condition,
    ) -> Result<u64, Refused> {
        let conditions = *self.conditions.lock();
        if let Conditions::Raced(window) = conditions {
            if !self.state.lock().holds(key, condition) {
                return Err(Refused::Condition);
            }
            tokio::time::sleep(window).await;
            return Ok(self.state.lock().write(key, bytes));
        }
        let mut state = self.state.lock();
        if conditions == Conditions::Kept && !state.holds(key, condition) {
            return Err(Refused::Condition);
        }
        Ok(state.write(key, bytes))
    }

    /// Says whether there was such an object.
    pub(super) fn delete(&self, key: &str) -> bool {
        self.state.lock().objects.remove(key).is_some()
    }

    /// At most `most` objects and folders below `prefix` that come after `after`.
    pub(super) fn list(&self, prefix: &str, by_folder: bool, after: &str, most: usize) -> Page {
        let state = self.state.lock();
        let mut page = Page::default();
        let mut last = "";
        for (key, object) in &state.objects {
            let Some(rest) = key.strip_prefix(prefix) else {
                continue;
            };
            let folder = match rest.find('/') {
                Some(end) if by_folder => Some(&key[..prefix.len() + end + 1]),
                _ => None,
            };
            let name = folder.unwrap_or(key);
            if name <= after || page.folders.contains(name) {
                continue;
            }
            if page.objects.len() + page.folders.len() == most {
                page.next = Some(last.to_owned());
                break;
            }
            last = name;
            match folder {
                Some(folder) => drop(page.folders.insert(folder.to_owned())),
                None => page.objects.push((key.clone(), object.clone())),
            }
        }
        page
    }

    /// Begins an upload and gives its name.
    pub(super) fn begin(&self, key: &str) -> String {
        let mut state = self.state.lock();
        state.generation += 1;
        let id = format!("upload-{}", state.generation);
        let upload = Upload {
            key: key.to_owned(),
            parts: BTreeMap::new(),
        };
        state.uploads.insert(id.clone(), upload);
        id
    }

    pub(super) fn part(&self, id: &str, number: usize, bytes: Bytes) -> Result<u64, Refused> {
        let mut state = self.state.lock();
        state.generation += 1;
        let part = Object {
            bytes,
            generation: state.generation,
            modified: Utc::now(),
        };
        let generation = part.generation;
        let upload = state.uploads.get_mut(id).ok_or(Refused::NoSuchUpload)?;
        upload.parts.insert(number, part);
        Ok(generation)
    }

    /// Makes the object of the parts named, by number and generation.
    pub(super) fn complete(&self, id: &str, named: &[(usize, u64)]) -> Result<u64, Refused> {
        let smallest = *self.smallest_part.lock();
        let mut state = self.state.lock();
        let upload = state.uploads.get(id).ok_or(Refused::NoSuchUpload)?;
        let mut whole = Vec::new();
        for (index, (number, generation)) in named.iter().enumerate() {
            let part = upload.parts.get(number).ok_or(Refused::InvalidPart)?;
            if part.generation != *generation || named[..index].iter().any(|n| n.0 >= *number) {
                return Err(Refused::InvalidPart);
            }
            if part.bytes.len() < smallest && index + 1 < named.len() {
                return Err(Refused::PartTooSmall);
            }
            whole.extend_from_slice(&part.bytes);
        }
        let key = upload.key.clone();
        state.uploads.remove(id);
        Ok(state.write(&key, whole.into()))
    }

    /// Says whether there was such an upload.
    pub(super) fn abort(&self, id: &str) -> bool {
        self.state.lock().uploads.remove(id).is_some()
    }

    /// The uploads that were neither completed nor aborted: their names and keys.
    pub(super) fn uploads(&self) -> Vec<(String, String)> {
        let state = self.state.lock();
        let uploads = state.uploads.iter();
        uploads.map(|(id, u)| (id.clone(), u.key.clone())).collect()
    }
}

impl State {
    fn holds(&self, key: &str, condition: Condition) -> bool {
        let found = self.objects.get(key).map(|object| object.generation);
        match condition {
            Condition::Nothing => true,
            Condition::Absent => found.is_none(),
            Condition::Is(generation) => found == Some(generation),
        }
    }

    fn write(&mut self, key: &str, bytes: Bytes) -> u64 {
        self.generation += 1;
        let object = Object {
            bytes,
            generation: self.generation,
            modified: Utc::now(),
        };
        self.objects.insert(key.to_owned(), object);
        self.generation
    }
}
