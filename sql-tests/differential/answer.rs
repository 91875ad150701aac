//! What a query gave, and whether two answers are the same.
//!
//! Cells are compared as exactly as they can be told apart, but for these:
//!
//! 1. Every NaN is the same. atio writes each as the positive one, so the rows in memory have
//!    the positive one too (`memory.rs`); what arithmetic makes of it has either sign.
//! 2. Where rows are grouped, `-0.0` and `0.0` are one group and either may stand for it.
//! 3. Rows that a LIMIT may choose among can be any of them: as many, from those without the
//!    LIMIT, with the same sort keys.
//! 4. ORDER BY with a LIMIT takes `-0.0` and `0.0` for the same or not, as the engine meets them:
//!    from the first key that holds both on, either order is right.
//! 5. A query that fails in memory may give rows from atio: rows that are pruned are not
//!    computed.
//! 6. What rows in memory give with the same settings is not atio's, but the engine's: it is
//!    counted, and the search goes on.

#![cfg(test)]

use std::collections::HashMap;

use datafusion::arrow::array::{Array, AsArray};
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::DataType;
use datafusion::arrow::downcast_primitive_array;
use datafusion::arrow::record_batch::RecordBatch;

pub(super) type Row = Vec<String>;

/// The rows of a query in their order, or its error.
pub(super) type Answer = Result<Vec<Row>, String>;

/// The rows of batches, each cell as text that no other value has.
pub(super) fn rows(batches: &[RecordBatch]) -> Vec<Row> {
    let mut rows = Vec::new();
    for batch in batches {
        let columns: Vec<_> = batch.columns().iter().map(|column| cells(column)).collect();
        rows.extend((0..batch.num_rows()).map(|at| {
            columns
                .iter()
                .map(|cells| cells[at].clone())
                .collect::<Row>()
        }));
    }
    rows
}

fn cells(column: &dyn Array) -> Vec<String> {
    if let DataType::Dictionary(_, values) = column.data_type() {
        return cells(&cast(column, values).unwrap());
    }
    (0..column.len()).map(|at| cell(column, at)).collect()
}

fn cell(column: &dyn Array, at: usize) -> String {
    if column.is_null(at) {
        return "NULL".to_owned();
    }
    downcast_primitive_array!(
        column => format!("{:?}", column.value(at)),
        DataType::Null => "NULL".to_owned(),
        DataType::Boolean => column.as_boolean().value(at).to_string(),
        DataType::Utf8 => format!("{:?}", column.as_string::<i32>().value(at)),
        DataType::LargeUtf8 => format!("{:?}", column.as_string::<i64>().value(at)),
        DataType::Utf8View => format!("{:?}", column.as_string_view().value(at)),
        DataType::Binary => format!("{:02x?}", column.as_binary::<i32>().value(at)),
        DataType::LargeBinary => format!("{:02x?}", column.as_binary::<i64>().value(at)),
        DataType::BinaryView => format!("{:02x?}", column.as_binary_view().value(at)),
        DataType::FixedSizeBinary(_) => {
            format!("{:02x?}", column.as_fixed_size_binary().value(at))
        },
        DataType::List(_) => format!("[{}]", cells(&column.as_list::<i32>().value(at)).join(", ")),
        DataType::Struct(_) => {
            let inner = column.as_struct().columns().iter();
            let inner: Vec<_> = inner.map(|inner| cell(inner, at)).collect();
            format!("{{{}}}", inner.join(", "))
        },
        other => panic!("cells of {other} are not compared")
    )
}

/// How strictly an answer is fixed by its query.
pub(super) struct Rule<'a> {
    /// Positions of the sort keys.
    pub(super) keys: &'a [usize],
    pub(super) grouped: bool,
    /// All rows that a LIMIT may choose from.
    pub(super) among: Option<&'a [Row]>,
}

/// What is wrong with `found` where `expected` is right; None if nothing is.
pub(super) fn difference(expected: &Answer, found: &Answer, rule: &Rule<'_>) -> Option<String> {
    let (expected, found) = match (expected, found) {
        (Ok(expected), Ok(found)) => (expected, found),
        (Err(_), _) => return None,
        (Ok(expected), Err(error)) => {
            return Some(format!(
                "{} rows were expected, not: {error}",
                expected.len()
            ));
        }
    };
    if let Some(among) = rule.among {
        if expected.len() != found.len() {
            return Some(format!("{} rows, not {}", found.len(), expected.len()));
        }
        let (_, foreign) = unmatched(among, found, rule.grouped);
        if let Some(row) = foreign.first() {
            return Some(format!("a row that is not there: {}", row.join("|")));
        }
    } else {
        let (lost, foreign) = unmatched(expected, found, rule.grouped);
        if !lost.is_empty() || !foreign.is_empty() {
            return Some(format!(
                "{} of {} rows are missing: {}\n{} rows are too many: {}",
                lost.len(),
                expected.len(),
                shown(&lost),
                foreign.len(),
                shown(&foreign)
            ));
        }
    }
    let both = |at: &usize| {
        let among = rule.among.unwrap_or_default();
        among.iter().any(|row| row[*at] == "-0.0")
    };
    let (certain, zeros) = match rule.keys.iter().position(both) {
        Some(first) => (&rule.keys[..=first], true),
        None => (rule.keys, rule.grouped),
    };
    let keys = |row: &Row| -> Row {
        let keys = certain.iter();
        keys.map(|at| normal(&row[*at], zeros)).collect()
    };
    let mut pairs = expected
        .iter()
        .map(keys)
        .zip(found.iter().map(keys))
        .enumerate();
    pairs
        .find(|(_, (expected, found))| expected != found)
        .map(|(at, (expected, found))| {
            format!(
                "row {at} is sorted as {} and not {}",
                found.join("|"),
                expected.join("|")
            )
        })
}

fn normal(cell: &str, grouped: bool) -> String {
    match cell {
        "-0.0" if grouped => "0.0".to_owned(),
        cell => cell.to_owned(),
    }
}

/// The rows of `expected` that are not in `found`, and the other way round, counting each.
fn unmatched(expected: &[Row], found: &[Row], grouped: bool) -> (Vec<Row>, Vec<Row>) {
    let normal = |row: &Row| -> Row { row.iter().map(|cell| normal(cell, grouped)).collect() };
    let mut counts: HashMap<Row, i64> = HashMap::new();
    for row in expected {
        *counts.entry(normal(row)).or_default() += 1;
    }
    for row in found {
        *counts.entry(normal(row)).or_default() -= 1;
    }
    let (mut lost, mut foreign) = (Vec::new(), Vec::new());
    for (row, count) in counts {
        let into = if count > 0 { &mut lost } else { &mut foreign };
        into.extend(std::iter::repeat_n(row, count.unsigned_abs() as usize));
    }
    lost.sort_unstable();
    foreign.sort_unstable();
    (lost, foreign)
}

fn shown(rows: &[Row]) -> String {
    let mut shown: Vec<_> = rows.iter().take(10).map(|row| row.join("|")).collect();
    if rows.len() > shown.len() {
        shown.push("..".to_owned());
    }
    shown.join("; ")
}
