//! A process that writes a file is killed in the middle.

use atio::Marker;

use super::*;
use crate::files::{FORMATS, marked, names, numbers, read, said, session};
use crate::query::rows;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn file_whose_new_writer_is_killed_in_the_middle_is_intact() {
    for format in FORMATS {
        // From the first byte on, and with a lot on the disk.
        for bytes in [0, 3_000_000] {
            let directory = tempfile::tempdir().unwrap();
            let (at, name) = (directory.path(), format!("a.{format}"));
            let to = text(at, &name);
            let old = marked(&numbers(3000), &to, format, "");
            succeed(at, std::slice::from_ref(&old)).await;
            let before = (std::fs::read(&to).unwrap(), Marker::read(&to).unwrap());
            assert!(before.1.is_some());

            let endless = marked(&numbers(2_000_000_000), &to, format, "");
            let writer = Job::new(at, vec![endless]).start();
            let what = format!("{format}: {bytes} bytes");
            until(&what, || {
                writer.unnamed(at).is_some_and(|found| found >= bytes)
            })
            .await;
            writer.kill();
            let ended = end(writer).await;
            assert!(ended.killed && !ended.done(0), "{what}");

            let after = (std::fs::read(&to).unwrap(), Marker::read(&to).unwrap());
            assert!(before == after, "{what}");
            assert_eq!(read(&to, format).await, said(3000), "{what}");
            // Nothing is left of it, and whoever comes next leaves nothing.
            let left = [format!(".{name}._SUCCESS"), name, "warehouse".to_owned()];
            assert_eq!(names(at), left, "{what}");
            rows(&session(2), &old).await;
            assert_eq!(names(at), left, "{what}");
        }
    }
}
