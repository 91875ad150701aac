//! The servers of this folder answer clients as the others do.

use std::ops::Range;

use bytes::Bytes;
use datafusion::object_store::path::Path;
use datafusion::object_store::{
    Error, GetOptions, GetRange, ObjectStore, ObjectStoreExt, PutMode, UpdateVersion,
};
use futures::{StreamExt, TryStreamExt};

use super::on_every_server;
use super::place::{Server, Wire};

on_every_server!(
    objects_are_written_read_listed_and_deleted,
    conditions_are_kept,
    upload_is_one_object_when_it_is_complete_and_none_before,
);

/// More names than fit into two pages of a listing by the servers of this folder.
const NAMES: usize = 45;

async fn objects_are_written_read_listed_and_deleted(server: Server) {
    let client = server.client();
    let folder = Path::from(server.folder.as_str());
    let name = |n: usize| {
        folder
            .clone()
            .join(format!("f{}", n % 3))
            .join(format!("o {n:02}&"))
    };
    for n in 0..NAMES {
        let body = format!("body {n}");
        client.put(&name(n), body.into()).await.unwrap();
    }
    let meta = client.head(&name(7)).await.unwrap();
    assert_eq!((meta.size, &meta.location), (6, &name(7)));
    let whole = client.get(&name(7)).await.unwrap();
    assert_eq!(whole.meta.e_tag, meta.e_tag);
    assert_eq!(whole.bytes().await.unwrap(), "body 7");
    for (range, expected) in [
        (GetRange::Bounded(Range { start: 1, end: 4 }), "ody"),
        (GetRange::Bounded(Range { start: 2, end: 99 }), "dy 7"),
        (GetRange::Offset(5), "7"),
        (GetRange::Suffix(3), "y 7"),
    ] {
        if server.wire == Wire::Azure && matches!(range, GetRange::Suffix(_)) {
            // Azure has no such thing.
            continue;
        }
        let options = GetOptions::new().with_range(Some(range));
        let part = client.get_opts(&name(7), options).await.unwrap();
        assert_eq!(part.meta.size, 6);
        assert_eq!(part.bytes().await.unwrap(), expected);
    }
    let missing = folder.clone().join("missing");
    for found in [
        client.get(&missing).await.map(drop),
        client.head(&missing).await.map(drop),
    ] {
        assert!(matches!(found, Err(Error::NotFound { .. })), "{found:?}");
    }

    let list = async |folder: &Path| {
        let found: Vec<_> = client.list(Some(folder)).try_collect().await.unwrap();
        let mut found: Vec<_> = found.into_iter().map(|meta| meta.location).collect();
        found.sort_unstable();
        found
    };
    let mut all: Vec<_> = (0..NAMES).map(name).collect();
    all.sort_unstable();
    assert_eq!(list(&folder).await, all);
    assert_eq!(list(&folder.clone().join("f1")).await.len(), NAMES / 3);
    let top = client.list_with_delimiter(Some(&folder)).await.unwrap();
    let mut folders = top.common_prefixes;
    folders.sort_unstable();
    assert_eq!(folders, ["f0", "f1", "f2"].map(|f| folder.clone().join(f)));
    assert_eq!(top.objects, []);

    let gone = futures::stream::iter(all.clone().into_iter().map(Ok)).boxed();
    let gone: Vec<_> = client.delete_stream(gone).try_collect().await.unwrap();
    assert_eq!(gone.len(), NAMES);
    assert_eq!(list(&folder).await, []);
}

async fn conditions_are_kept(server: Server) {
    let client = server.client();
    let key = Path::from(format!("{}/conditional", server.folder));
    let create = || PutMode::Create.into();
    let first = client.put_opts(&key, "one".into(), create()).await.unwrap();
    let again = client.put_opts(&key, "two".into(), create()).await;
    assert!(
        matches!(again, Err(Error::AlreadyExists { .. })),
        "{again:?}"
    );
    let update = |put: &datafusion::object_store::PutResult| {
        PutMode::Update(UpdateVersion {
            e_tag: put.e_tag.clone(),
            version: put.version.clone(),
        })
        .into()
    };
    let second = client.put_opts(&key, "three".into(), update(&first)).await;
    let second = second.unwrap();
    let stale = client.put_opts(&key, "four".into(), update(&first)).await;
    assert!(
        matches!(stale, Err(Error::Precondition { .. })),
        "{stale:?}"
    );
    assert_eq!(client.head(&key).await.unwrap().e_tag, second.e_tag);
    let found = client.get(&key).await.unwrap().bytes().await.unwrap();
    assert_eq!(found, "three");
    client.delete(&key).await.unwrap();
    client
        .put_opts(&key, "five".into(), create())
        .await
        .unwrap();
}

async fn upload_is_one_object_when_it_is_complete_and_none_before(server: Server) {
    let client = server.client();
    let key = Path::from(format!("{}/upload", server.folder));
    let part = Bytes::from(vec![b'x'; 5 * 1024 * 1024]);
    let mut upload = client.put_multipart(&key).await.unwrap();
    upload.put_part(part.clone().into()).await.unwrap();
    upload.put_part("end".into()).await.unwrap();
    assert!(client.head(&key).await.is_err());
    if server.wire != Wire::Azure {
        assert_eq!(server.uploads().await, [key.to_string()]);
    }
    upload.complete().await.unwrap();
    assert_eq!(server.uploads().await, Vec::<String>::new());
    let found = client.get(&key).await.unwrap().bytes().await.unwrap();
    assert_eq!(found.len(), part.len() + 3);
    assert!(found.ends_with(b"xend"));

    let other = Path::from(format!("{}/aborted", server.folder));
    let mut upload = client.put_multipart(&other).await.unwrap();
    upload.put_part("never".into()).await.unwrap();
    upload.abort().await.unwrap();
    assert_eq!(server.uploads().await, Vec::<String>::new());
    assert!(client.head(&other).await.is_err());
}
