//! Whether a store keeps two writers apart: tried out before the first write to it.
//!
//! A commit is a write that must fail if its key exists. Some servers that speak the
//! protocol of a store ignore that condition, or check it and then write, so that two
//! writers are both told that they were first. One test finds the former always and the
//! latter with a high probability.
//!
//! 1. A key is created, and there at once.
//! 2. Creating it again is refused, and its bytes are still the first.
//! 3. Of several writers that create a second key at once, one is told that it succeeded,
//!    and the bytes are those of that one.
//!
//! Both keys are names of the transaction that is about to write, in the staging area: what
//! a crash leaves of them is an orphan like others.
//!
//! Then the table gets a note, so that the next process need not try the store out again.

use std::sync::{Arc, Mutex, Weak};

use bytes::Bytes;
use object_store::{Error as StoreError, ObjectStore};
use tokio::sync::OnceCell;

use super::objects::{Created, Objects};
use super::output::Output;
use super::store_error::{explain, is_final, is_not_implemented};
use crate::error::{Error, ErrorKind, Result};
use crate::format::store_note::StoreNote;
use crate::format::{Txn, layout};
use crate::lock::lock;

/// How many writers create one key at once.
const WRITERS: usize = 8;
/// How often a step is tried whose reply was lost.
const ATTEMPTS: u32 = 3;

/// What is written when a store was found safe.
const TRIED: Bytes = Bytes::from_static(b"tried");

/// The stores of this process, and whether they were found safe.
static PROBED: Mutex<Vec<(Weak<dyn ObjectStore>, Safe)>> = Mutex::new(Vec::new());

/// Set once a store was found safe.
type Safe = Arc<OnceCell<()>>;

/// What is known of a store; every table on it shares this.
#[derive(Debug, Clone, Default)]
pub(crate) struct Probe {
    /// None where nothing needs to be known.
    safe: Option<Safe>,
    location: Arc<str>,
}

impl Probe {
    /// What is known of `store`, which messages call `location`.
    pub(crate) fn of(store: &Arc<dyn ObjectStore>, location: &str) -> Self {
        let mut probed = lock(&PROBED);
        // A store that is gone must not stand for one that was made at the same address.
        probed.retain(|(store, _)| store.strong_count() > 0);
        let known = probed
            .iter()
            .find(|(known, _)| std::ptr::addr_eq(known.as_ptr(), Arc::as_ptr(store)));
        let safe = match known {
            Some((_, safe)) => Arc::clone(safe),
            None => {
                let safe = Arc::default();
                probed.push((Arc::downgrade(store), Arc::clone(&safe)));
                safe
            }
        };
        Self {
            safe: Some(safe),
            location: location.into(),
        }
    }

    /// Fails with [`ErrorKind::UnsafeStore`] if writers could overwrite each other's commits.
    ///
    /// `try_out` does so, once in this process; a failure is not remembered.
    pub(crate) async fn check(&self, try_out: impl Future<Output = Result<()>>) -> Result<()> {
        match &self.safe {
            Some(safe) => safe.get_or_try_init(|| try_out).await.copied(),
            None => Ok(()),
        }
    }

    /// Names of the two objects that `txn` tries the store out with.
    pub(crate) fn names(txn: Txn) -> [String; 2] {
        let random = || uuid::Uuid::new_v4().as_u64_pair().1;
        [(); 2].map(|()| layout::probe(txn, random()))
    }

    /// Tries the store out, with objects of these [names](Self::names), which whoever calls
    /// removes, and notes it at the table if it is safe.
    pub(crate) async fn try_out(
        &self,
        output: &Output,
        objects: &Objects,
        names: &[String; 2],
    ) -> Result<()> {
        self.keeps_the_first(output, objects, &names[0]).await?;
        self.tells_one(output, objects, &names[1]).await?;
        if let Err(error) = self.note(output, objects).await {
            ::log::debug!("the next process will try out the store again: {error}");
        }
        Ok(())
    }

    /// True if another process tried out this very store and noted it at the table, and if the
    /// store still refuses to create what is there.
    pub(crate) async fn is_noted(&self, output: &Output, objects: &Objects) -> bool {
        let (note, tried) = futures::join!(
            objects.get(layout::STORE_NOTE),
            objects.stamp(layout::STORE_TRIED)
        );
        let (Ok(Some(note)), Ok(Some(tried))) = (note, tried) else {
            return false;
        };
        let tried_at = tried.modified().map(|at| at.timestamp_micros());
        let here = StoreNote::parse(&note).is_some_and(|note| {
            *note.location == *self.location && Some(note.tried_at_us) == tried_at
        });
        // A copy may have kept its time. One that takes this is as young as now, and its note void.
        here && refuses(&output.create(layout::STORE_TRIED, TRIED).await)
    }

    /// Notes at the table that its store was tried out and found safe.
    async fn note(&self, output: &Output, objects: &Objects) -> Result<()> {
        output.replace(layout::STORE_TRIED, TRIED, true).await?;
        let stamp = objects.stamp(layout::STORE_TRIED).await?;
        let Some(tried_at) = stamp.and_then(|stamp| stamp.modified()) else {
            return Ok(());
        };
        let note = StoreNote {
            location: self.location.to_string(),
            tried_at_us: tried_at.timestamp_micros(),
        };
        output
            .replace(layout::STORE_NOTE, note.to_bytes()?.into(), true)
            .await
    }

    async fn keeps_the_first(&self, output: &Output, objects: &Objects, name: &str) -> Result<()> {
        let first = body("first");
        self.create(output, objects, name, &first).await?;
        for _ in 0..ATTEMPTS {
            let again = output.create(name, body("second")).await;
            if let Created::Yes(_) = again {
                return Err(self.unsafe_store(
                    "accepts a conditional write of a key that exists (it answers 200)",
                ));
            }
            match objects.get(name).await? {
                Some(found) if found == first => {}
                Some(_) => {
                    return Err(self.unsafe_store(
                        "refuses a conditional write of a key that exists, but does it",
                    ));
                }
                None => {
                    return Err(self.unsafe_store("does not show an object that was just written"));
                }
            }
            if refuses(&again) {
                return Ok(());
            }
        }
        Err(self.undecided("it neither accepts nor refuses to create a key that exists"))
    }

    async fn tells_one(&self, output: &Output, objects: &Objects, name: &str) -> Result<()> {
        let bodies: Vec<_> = (0..WRITERS).map(|at| body(&at.to_string())).collect();
        for _ in 0..ATTEMPTS {
            let creates = bodies.iter().map(|body| output.create(name, body.clone()));
            let created = futures::future::join_all(creates).await;
            let told = created.iter().zip(&bodies);
            let told: Vec<_> = told
                .filter_map(|(created, body)| matches!(created, Created::Yes(_)).then_some(body))
                .collect();
            let found = objects.get(name).await?;
            match (told.as_slice(), &found) {
                ([winner], Some(found)) if *winner == found => return Ok(()),
                ([], Some(found)) if bodies.contains(found) => return Ok(()),
                // Every request or every reply was lost: nothing is known.
                ([], None) => {}
                ([_], None) => {
                    return Err(self.unsafe_store("does not show an object that was just written"));
                }
                ([], Some(_)) | ([_], Some(_)) => {
                    return Err(self.unsafe_store(
                        "keeps other bytes than those of the writer that it told of its success",
                    ));
                }
                (told, _) => {
                    return Err(self.unsafe_store(&format!(
                        "told {} of {WRITERS} writers that create one key at once that they did",
                        told.len()
                    )));
                }
            }
        }
        Err(self.undecided("no writer could create a key"))
    }

    /// Creates the object, and sees it there.
    async fn create(
        &self,
        output: &Output,
        objects: &Objects,
        name: &str,
        body: &Bytes,
    ) -> Result<()> {
        let mut failure = None;
        for _ in 0..ATTEMPTS {
            let created = output.create(name, body.clone()).await;
            match (created, objects.get(name).await?) {
                (_, Some(found)) if found == *body => return Ok(()),
                (Created::Yes(_), _) => {
                    return Err(self.unsafe_store("does not show an object that was just written"));
                }
                (Created::Refused(error), _) => return Err(error),
                (Created::Unclear(error), _) if is_not_implemented(&error) => {
                    return Err(self
                        .unsafe_store("does not know conditional writes")
                        .with_source(error));
                }
                (Created::Unclear(error), _) if is_final(&error) => {
                    return Err(explain(format!("cannot write {name}"), error));
                }
                (Created::Unclear(error), _) => failure = Some(error),
            }
        }
        Err(match failure {
            Some(error) => explain(format!("cannot write {name}"), error),
            None => self.undecided("it gave no answer"),
        })
    }

    fn unsafe_store(&self, what: &str) -> Error {
        Error::new(
            ErrorKind::UnsafeStore,
            format!(
                "the store of {} {what}: two writers would overwrite each other's commits. Use a store with conditional writes, or open the table with OPTIONS ('atio.single_writer' 'true') if there is never more than one writer",
                self.location
            ),
        )
    }

    fn undecided(&self, why: &str) -> Error {
        Error::new(
            ErrorKind::Storage,
            format!(
                "cannot find out whether the store of {} keeps two writers apart: {why}; nothing was written",
                self.location
            ),
        )
    }
}

/// True if the store says that the key exists.
fn refuses(created: &Created) -> bool {
    matches!(
        created,
        Created::Unclear(
            StoreError::AlreadyExists { .. }
                | StoreError::Precondition { .. }
                | StoreError::NotModified { .. },
        )
    )
}

/// Told apart from those of all others.
fn body(who: &str) -> Bytes {
    format!("{who} {}", uuid::Uuid::new_v4()).into()
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::Ordering;

    use object_store::ObjectStoreExt;
    use object_store::path::Path;

    use super::*;
    use crate::storage::careless::{Careless, Creates};
    use crate::storage::{Durability, RemoteStore};

    /// A transaction that stages one object, on a table with or without other writers.
    async fn stage(store: &Arc<Careless>, single_writer: bool) -> Result<()> {
        let store: Arc<dyn ObjectStore> = Arc::clone(store) as _;
        let location = "s3://b/p";
        let probe = match single_writer {
            true => Probe::default(),
            false => Probe::of(&store, location),
        };
        let store = Arc::new(RemoteStore::new(store, location, single_writer));
        let objects = Objects::new(store, Path::from("p"), None, Durability::Full);
        let txn = Txn::new(uuid::Uuid::now_v7());
        let output = Output::new(&objects, txn, None);
        let try_out = async {
            if probe.is_noted(&output, &objects).await {
                return Ok(());
            }
            let names = Probe::names(txn);
            let found = probe.try_out(&output, &objects, &names).await;
            objects.delete_all(&names).await;
            found
        };
        probe.check(try_out).await?;
        let name = layout::manifest(txn, 0);
        output.stage(&name, Bytes::from_static(b"{}")).await
    }

    fn careless(creates: Creates) -> Arc<Careless> {
        Arc::new(Careless {
            creates,
            ..Careless::default()
        })
    }

    async fn objects(store: &Careless) -> usize {
        use futures::StreamExt;
        store.inner.list(None).count().await
    }

    #[tokio::test]
    async fn a_safe_store_is_tried_once_and_left_clean() {
        let store = careless(Creates::Safe);
        stage(&store, false).await.unwrap();
        let writes = store.writes.load(Ordering::Relaxed);
        // What is staged, two keys, and two objects of the note.
        assert_eq!(writes, 1 + 2 + WRITERS + 2);
        assert_eq!(objects(&store).await, 3);
        // Neither by this table nor by another on the same store again.
        stage(&store, false).await.unwrap();
        assert_eq!(store.writes.load(Ordering::Relaxed), writes + 1);
        // Another store is another matter.
        stage(&careless(Creates::Unconditional), false)
            .await
            .unwrap_err();
    }

    #[tokio::test]
    async fn a_table_says_that_its_store_was_tried_unless_it_was_copied() {
        let store = careless(Creates::Safe);
        stage(&store, false).await.unwrap();
        let next_process = |creates| {
            Arc::new(Careless {
                inner: Arc::clone(&store.inner),
                creates,
                ..Careless::default()
            })
        };
        // One that races is not found out again: it keeps what is there.
        let noted = next_process(Creates::Racing);
        stage(&noted, false).await.unwrap();
        assert_eq!(noted.writes.load(Ordering::Relaxed), 2);
        let key = |name: &str| Path::from(format!("p/{name}"));
        let get = async |name| {
            let found = store.inner.get(&key(name)).await.unwrap();
            found.bytes().await.unwrap()
        };
        let put = async |name, bytes: Bytes| {
            store.inner.put(&key(name), bytes.into()).await.unwrap();
        };
        let refused = async || {
            let error = stage(&next_process(Creates::Racing), false).await;
            let error = error.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::UnsafeStore, "{error}");
        };
        let note = get(layout::STORE_NOTE).await;
        put(layout::STORE_NOTE, Bytes::from_static(b"{}")).await;
        refused().await;
        let elsewhere = StoreNote {
            location: "s3://other/p".to_owned(),
            ..StoreNote::parse(&note).unwrap()
        };
        put(layout::STORE_NOTE, elsewhere.to_bytes().unwrap().into()).await;
        refused().await;
        put(layout::STORE_NOTE, note).await;
        stage(&next_process(Creates::Racing), false).await.unwrap();
        // A copy at another place of the same name: to the byte, and younger.
        tokio::time::sleep(std::time::Duration::from_millis(2)).await;
        put(layout::STORE_TRIED, get(layout::STORE_TRIED).await).await;
        refused().await;

        // Noted by a safe one, and then behind a server that ignores conditions.
        let store = careless(Creates::Safe);
        stage(&store, false).await.unwrap();
        let next = Arc::new(Careless {
            inner: Arc::clone(&store.inner),
            ..Careless::default()
        });
        let error = stage(&next, false).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::UnsafeStore, "{error}");
    }

    #[tokio::test]
    async fn stores_that_let_writers_overwrite_each_other_are_refused() {
        for (creates, words) in [
            (Creates::Unconditional, "it answers 200"),
            (Creates::Racing, "told 8 of 8 writers"),
            (Creates::Unknown, "does not know conditional writes"),
        ] {
            let store = careless(creates);
            let error = stage(&store, false).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::UnsafeStore, "{error}");
            for words in [words, "s3://b/p", "'atio.single_writer' 'true'"] {
                assert!(error.message().contains(words), "{error}");
            }
            assert_eq!(objects(&store).await, 0);
        }
    }

    #[tokio::test]
    async fn a_lost_reply_is_no_verdict() {
        let store = careless(Creates::Deaf);
        // What is written is not replaced, and that is what counts.
        stage(&store, false).await.unwrap();
        assert_eq!(objects(&store).await, 3);
    }

    #[tokio::test]
    async fn a_single_writer_needs_no_probe() {
        let store = careless(Creates::Unknown);
        stage(&store, true).await.unwrap();
        assert_eq!(store.writes.load(Ordering::Relaxed), 1);
    }
}
