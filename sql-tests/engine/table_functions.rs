//! Calls of the table functions with any arguments: rows or a plain refusal, never a panic, and
//! no row of the newest version lost.

use std::cell::Cell;

use proptest::prelude::*;
use proptest::test_runner::TestRunner;

use crate::long_form::long;
use crate::query::rows;
use crate::session::{Place, run};

fn one_of(words: &'static [&'static str]) -> impl Strategy<Value = &'static str> {
    prop::sample::select(words)
}

fn value() -> impl Strategy<Value = String> {
    let word = one_of(&[
        "'t'",
        "'missing'",
        "'memory://test/t'",
        "'s3://b/t'",
        "''",
        "' '",
        "'..'",
        "'a''b'",
        "'é'",
        "t",
        "NULL",
        "*",
        "TRUE",
        "FALSE",
        "0",
        "1",
        "2",
        "-1",
        "1.5",
        "1e300",
        "-0.0",
        "9007199254740991",
        "9007199254740992",
        "18446744073709551615",
        "99999999999999999999999999",
        "DATE '2026-01-01'",
        "TIMESTAMP '2300-01-01 00:00:00'",
        "TIMESTAMP '0001-01-01 00:00:00'",
        "'2026-01-01'",
        "'not a time'",
        "INTERVAL '7 days'",
        "INTERVAL '-1 month'",
        "INTERVAL '178956970 years'",
        "INTERVAL '2147483647 days'",
        "INTERVAL '2147483647 months'",
        "INTERVAL '-2147483648 months'",
        "INTERVAL '1 nanosecond'",
        "X'ff'",
        "now()",
        "random()",
        "(SELECT 1)",
        "[1, 2]",
        "{'a': 1}",
        "$1",
        "?",
    ]);
    let inner = word.prop_map(str::to_owned);
    inner.prop_recursive(2, 4, 2, |inner| {
        prop_oneof![
            (
                inner.clone(),
                inner.clone(),
                one_of(&["+", "-", "*", "/", "||", "="])
            )
                .prop_map(|(a, b, operator)| format!("({a} {operator} {b})")),
            (
                inner.clone(),
                one_of(&["BIGINT", "TEXT", "TIMESTAMP", "INTERVAL", "BYTEA", "DATE"])
            )
                .prop_map(|(value, to)| format!("CAST({value} AS {to})")),
            (
                inner,
                one_of(&[
                    "UInt8",
                    "Duration(Second)",
                    "Dictionary(Int8, Utf8)",
                    "Utf8View"
                ])
            )
                .prop_map(|(value, to)| format!("arrow_cast({value}, '{to}')")),
        ]
    })
}

fn argument() -> impl Strategy<Value = String> {
    let name = one_of(&[
        "",
        "",
        "",
        "table => ",
        "version => ",
        "VERSION := ",
        "as_of => ",
        "keep_for => ",
        "retain_last => ",
        "dry_run => ",
        "deep => ",
        "orphan_age => ",
        "target_file_size => ",
        "where => ",
        "order_by => ",
        "id => ",
        "new_name => ",
        "\"Version\" => ",
        "nonsense => ",
    ]);
    (name, value()).prop_map(|(name, value)| format!("{name}{value}"))
}

fn call() -> impl Strategy<Value = String> {
    let function = one_of(&[
        "atio_table",
        "atio_history",
        "atio_files",
        "expire_snapshots",
        "atio_compact",
        "atio_dropped",
        "atio_undrop",
        "atio_purge",
        "atio_stats",
        "atio_check",
        "atio_repair",
    ]);
    let first = one_of(&["'t'", "'t'", "'t'", "table => 't'", "t", "'missing'"]);
    let rest = prop::collection::vec(argument(), 0..4);
    (function, first, rest).prop_map(|(function, first, rest)| {
        let arguments = std::iter::once(first.to_owned()).chain(rest);
        format!(
            "SELECT * FROM {function}({})",
            arguments.collect::<Vec<_>>().join(", ")
        )
    })
}

#[test]
fn any_arguments_give_rows_or_a_plain_refusal() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let place = Place::memory();
    let ctx = place.session();
    let newest = ["1", "2", "3"];
    runtime.block_on(async {
        let location = format!("{}/t", place.root());
        let create = "CREATE EXTERNAL TABLE t (a BIGINT) STORED AS ATIO LOCATION";
        rows(&ctx, &format!("{create} '{location}'")).await;
        rows(&ctx, "INSERT INTO t VALUES (1), (2)").await;
        rows(&ctx, "INSERT INTO t VALUES (3)").await;
    });
    let mut runner = TestRunner::new(ProptestConfig {
        cases: if long() { 5_000 } else { 300 },
        failure_persistence: None,
        ..ProptestConfig::default()
    });
    let (given, refused) = (Cell::new(0), Cell::new(0));
    let checked = runner.run(&call(), |sql| {
        match runtime.block_on(run(&ctx, &sql)) {
            Ok(_) => given.set(given.get() + 1),
            Err(error) => {
                refused.set(refused.get() + 1);
                let text = error.to_string();
                prop_assert!(!text.contains("panic"), "{sql}: {text}");
                prop_assert!(!text.contains("Internal error"), "{sql}: {text}");
            }
        }
        let left = runtime.block_on(rows(&ctx, "SELECT a FROM t ORDER BY a"));
        prop_assert_eq!(left, newest);
        Ok(())
    });
    checked.unwrap();
    assert!(given.get() > 0 && refused.get() > 0);
}
