//! A store on which somebody commits right after every look-up of the newest version.

#![cfg(test)]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use datafusion::object_store::path::Path;
use datafusion::object_store::{Error, ObjectStore};
use datafusion::prelude::SessionContext;

use super::hooked::{Hook, HookedStore, Operation};
use crate::query::rows;

/// While armed: the answer "there is no such commit record" is given, and is out of date
/// before it arrives, for the writer has inserted one row into its table `t`.
pub(crate) struct Racing {
    writer: SessionContext,
    armed: AtomicBool,
    commits: AtomicI64,
    /// How long each takes, in milliseconds.
    takes_ms: AtomicU64,
}

impl Racing {
    /// The store around `inner`; `writer` must not use it itself.
    pub(crate) fn store(
        inner: Arc<dyn ObjectStore>,
        writer: SessionContext,
    ) -> (Arc<Self>, Arc<HookedStore>) {
        let racing = Arc::new(Self {
            writer,
            armed: AtomicBool::new(false),
            commits: AtomicI64::new(0),
            takes_ms: AtomicU64::new(0),
        });
        let store = HookedStore::new("racing", inner, Arc::clone(&racing) as _);
        (racing, Arc::new(store))
    }

    pub(crate) fn arm(&self, armed: bool) {
        self.armed.store(armed, Ordering::SeqCst);
    }

    /// Each commit of the writer takes so long.
    pub(crate) fn takes(&self, time: Duration) {
        let time = u64::try_from(time.as_millis()).unwrap();
        self.takes_ms.store(time, Ordering::SeqCst);
    }

    /// How often the writer has committed.
    pub(crate) fn commits(&self) -> i64 {
        self.commits.load(Ordering::SeqCst)
    }
}

#[async_trait]
impl Hook for Racing {
    async fn after(&self, operation: Operation, key: &Path, error: Option<&Error>) {
        let looks = matches!(operation, Operation::Get | Operation::Head);
        let absent = matches!(error, Some(Error::NotFound { .. }));
        let record = key
            .filename()
            .is_some_and(|name| name.ends_with(".metadata.json"));
        if looks && absent && record && self.armed.load(Ordering::SeqCst) {
            let a = self.commits.fetch_add(1, Ordering::SeqCst) + 2;
            rows(&self.writer, &format!("INSERT INTO t VALUES ({a})")).await;
            let takes = self.takes_ms.load(Ordering::SeqCst);
            if takes > 0 {
                tokio::time::sleep(Duration::from_millis(takes)).await;
            }
        }
    }
}
