//! What waits for its last step on an object store.

use std::sync::Arc;

use object_store::{MultipartUpload, PutOptions, PutPayload};

/// None once it is completed or aborted.
pub(super) type Upload = Arc<tokio::sync::Mutex<Option<Box<dyn MultipartUpload>>>>;

/// An object whose last step is to be taken.
pub(super) enum Held {
    Upload(Box<dyn MultipartUpload>),
    Put(PutPayload, PutOptions),
}

/// Aborts an upload whose outcome nobody waits for any more.
pub(super) async fn give_up(held: Held) {
    if let Held::Upload(mut upload) = held
        && let Err(error) = upload.abort().await
    {
        ::log::warn!("parts of an upload may stay on the store, unseen: {error}");
    }
}
