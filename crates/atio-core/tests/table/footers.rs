//! Footers of files that somebody else prepared, which may hold anything.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use arrow::array::{ArrayRef, BinaryArray, Float64Array, Int64Array, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Schema};
use atio_core::ErrorKind;
use atio_core::format::ticket::Ticket;
use atio_core::format::{Checksum, FileEntry};
use atio_core::log::{CommitOptions, NewTable, Table};
use futures::FutureExt;
use object_store::ObjectStoreExt;
use object_store::memory::InMemory;
use parquet::arrow::ArrowWriter;
use parquet::file::properties::WriterProperties;

use super::on_store;
use crate::shared::long_form::long;

const ROWS: i64 = 5;
/// The length of a footer, and the letters behind it.
const TAIL: usize = 8;

/// A Parquet file with the columns of `table`, in several row groups.
async fn parquet(table: &Table) -> Vec<u8> {
    let base = table.newest().await.unwrap();
    let schema = base.schema.to_arrow_with_ids().unwrap();
    let columns: Vec<ArrayRef> = vec![
        Arc::new(Int64Array::from_iter_values(0..ROWS)),
        Arc::new(StringArray::from_iter(
            (0..ROWS).map(|n| Some(n.to_string())),
        )),
        Arc::new(Float64Array::from_iter_values((0..ROWS).map(|n| n as f64))),
        Arc::new(BinaryArray::from_iter((0..ROWS).map(|_| None::<&[u8]>))),
    ];
    let batch = RecordBatch::try_new(Arc::clone(&schema), columns).unwrap();
    let small = WriterProperties::builder().set_max_row_group_row_count(Some(2));
    let mut writer = ArrowWriter::try_new(Vec::new(), schema, Some(small.build())).unwrap();
    writer.write(&batch).unwrap();
    writer.into_inner().unwrap()
}

/// A new table, and a part that was prepared for it: one file.
struct Prepared {
    store: Arc<InMemory>,
    table: Arc<Table>,
    ticket: Ticket,
    part: Vec<u8>,
    path: String,
    file: Vec<u8>,
}

async fn prepared() -> Prepared {
    let store = Arc::new(InMemory::new());
    let table = on_store(&store);
    let columns = [
        ("a", DataType::Int64),
        ("b", DataType::Utf8),
        ("c", DataType::Float64),
        ("d", DataType::Binary),
    ];
    let columns = columns.map(|(name, data_type)| Field::new(name, data_type, true));
    let new = NewTable {
        schema: Arc::new(Schema::new(columns.to_vec())),
        options: Default::default(),
        commit: CommitOptions::default(),
    };
    table.create(&new).await.unwrap();
    let file = parquet(&table).await;
    let ticket = table.begin_ticket(false).await.unwrap();
    let (base, txn) = table.resume_ticket(&ticket).await.unwrap();
    let path = txn.data_file().await.unwrap();
    let entry = FileEntry {
        path: path.clone(),
        format: "parquet".to_owned(),
        size: Some(file.len() as u64),
        rows: Some(ROWS as u64),
        checksum: Some(Checksum::of(&file)),
        stats: Vec::new(),
        dv: None,
        column_bytes: Vec::new(),
    };
    let part = table.hand_over(&ticket, &base, &txn, vec![entry]).await;
    Prepared {
        part: part.unwrap(),
        store,
        table,
        ticket,
        path,
        file,
    }
}

/// The file with a footer that is cut to so many bytes, and of the same size.
fn cut(file: &[u8], footer: usize, left: usize) -> Vec<u8> {
    let start = file.len() - TAIL - footer;
    let mut bytes = vec![0; footer - left];
    bytes.extend(&file[..start + left]);
    bytes.extend(u32::try_from(left).unwrap().to_le_bytes());
    bytes.extend(b"PAR1");
    bytes
}

/// Damaged copies of the file: footers that are cut, that have one bit changed, and that have
/// several bytes changed.
fn damaged(file: &[u8]) -> Vec<(String, Vec<u8>)> {
    let length = file[file.len() - TAIL..][..4].try_into().unwrap();
    let footer = u32::from_le_bytes(length) as usize;
    let start = file.len() - TAIL - footer;
    let step = if long() { 1 } else { 5 };
    let mut all = Vec::new();
    for left in (0..footer).step_by(step) {
        all.push((format!("cut to {left} bytes"), cut(file, footer, left)));
    }
    for bit in (0..(footer + TAIL) * 8).step_by(step) {
        let mut bytes = file.to_vec();
        bytes[start + bit / 8] ^= 1 << (bit % 8);
        all.push((format!("bit {bit} changed"), bytes));
    }
    for seed in 0..20_000 / step as u64 {
        let mut bytes = file.to_vec();
        let mut state = seed;
        let mut next = |below: usize| {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) as usize % below
        };
        for _ in 0..=next(4) {
            let at = start + next(footer);
            bytes[at] = [0, 1, 0x7f, 0x80, 0xff, next(256) as u8][next(6)];
        }
        all.push((format!("seed {seed}"), bytes));
    }
    all
}

#[tokio::test]
async fn damaged_footer_of_a_part_is_an_error_and_no_panic() {
    let mut part = prepared().await;
    let whole = part.file.clone();
    let (mut refused, mut panics) = (0, Vec::new());
    for (what, bytes) in damaged(&whole) {
        assert_eq!(bytes.len(), whole.len());
        let at = format!("t/{}", part.path);
        part.store.put(&at.into(), bytes.into()).await.unwrap();
        let parts = std::slice::from_ref(&part.part);
        let options = CommitOptions::default();
        let commit =
            part.table
                .commit_ticket(&part.ticket, parts, options, std::future::ready(Ok(None)));
        match AssertUnwindSafe(commit).catch_unwind().await {
            // What was changed says nothing that can be compared.
            Ok(Ok(_)) => part = prepared().await,
            Ok(Err(error)) => {
                assert_eq!(error.kind(), ErrorKind::InvalidInput, "{what}: {error}");
                assert!(error.message().contains(&part.path), "{what}: {error}");
                refused += 1;
            }
            Err(_) => panics.push(what),
        }
    }
    assert!(panics.is_empty(), "{} panics: {panics:?}", panics.len());
    assert!(refused > 1000, "only {refused} were refused");
}
