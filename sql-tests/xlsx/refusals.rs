//! What a sheet cannot hold, and options that are none.

use crate::objects::objects;
use crate::session::{Place, run};

use super::{copy, only, statement};

const KNOWN: &str = "the options are 'autofilter', 'freeze_header', 'header', 'header_style', \
                     'long_numbers', 'non_finite', 'sheet_name', 'split_sheets'";

/// The error of copying a query over an old workbook, which it left as it was.
async fn refusal(place: &Place, query: &str, options: &str) -> String {
    if objects(place).await.is_empty() {
        copy(&place.session(), place, "SELECT 'old' AS a", "").await;
    }
    let before = objects(place).await;
    assert!(!before.is_empty());
    let sql = statement(place, query, options);
    let error = run(&place.session(), &sql).await.unwrap_err();
    assert_eq!(objects(place).await, before, "{sql}");
    error.strip_backtrace()
}

/// The error of explaining the copy of a query.
async fn refusal_of_the_plan(place: &Place, query: &str, options: &str) -> String {
    let sql = format!("EXPLAIN {}", statement(place, query, options));
    let batches = run(&place.session(), &sql).await;
    // The engine shows an error of planning as a row.
    match batches {
        Ok(batches) => crate::query::texts(&batches).concat(),
        Err(error) => error.strip_backtrace(),
    }
}

#[tokio::test]
async fn values_that_no_cell_holds_are_refused_by_row_and_column() {
    let place = Place::memory();
    let no_moment =
        "a time before 1900 or after 9999, which Excel does not have: cast the column to text";
    let no_length = "a duration that is negative or longer than 8099 years, which Excel cannot show: cast the column to text";
    let long = "has more digits than a number of Excel's: cast the column to text, or write such values as text with OPTIONS (long_numbers 'text')";
    let none =
        "which Excel does not have: leave such cells empty with OPTIONS (non_finite 'empty')";
    for (value, why) in [
        ("9007199254740993", format!("9007199254740993 {long}")),
        ("-9007199254740993", format!("-9007199254740993 {long}")),
        (
            "18446744073709551615",
            format!("18446744073709551615 {long}"),
        ),
        (
            "arrow_cast('1234567890.123456', 'Decimal128(20, 6)')",
            format!("1234567890.123456 {long}"),
        ),
        (
            "arrow_cast('1234567890.123456', 'Decimal256(50, 6)')",
            format!("1234567890.123456 {long}"),
        ),
        ("CAST('NaN' AS DOUBLE)", format!("NaN, {none}")),
        ("CAST('inf' AS DOUBLE)", format!("inf, {none}")),
        ("CAST('-inf' AS REAL)", format!("-inf, {none}")),
        ("DATE '1899-12-31'", no_moment.to_owned()),
        ("arrow_cast(2932897, 'Date32')", no_moment.to_owned()),
        (
            "arrow_cast('1899-12-31T23:59:59', 'Timestamp(Second, None)')",
            no_moment.to_owned(),
        ),
        (
            "arrow_cast(9223372036854775807, 'Timestamp(Second, None)')",
            no_moment.to_owned(),
        ),
        // It is another year there.
        (
            "arrow_cast('9999-12-31T23:00:00Z', 'Timestamp(Second, Some(\"+01:00\"))')",
            no_moment.to_owned(),
        ),
        ("arrow_cast(-1, 'Duration(Second)')", no_length.to_owned()),
        (
            "arrow_cast(9223372036854775807, 'Duration(Second)')",
            no_length.to_owned(),
        ),
        (
            "repeat('x', 32768)",
            "a text of 32768 characters, and Excel holds 32767 in a cell: shorten it".to_owned(),
        ),
        // Each counts twice in Excel.
        (
            "repeat('\u{1f600}', 16384)",
            "a text of 32768 characters, and Excel holds 32767 in a cell: shorten it".to_owned(),
        ),
    ] {
        let query = format!("SELECT 1 AS a, NULL AS b UNION ALL SELECT 2, {value}");
        // One row after the other, and none of the optimizer's constants.
        let query = format!("SELECT a, b AS \"the column\" FROM ({query}) ORDER BY a");
        assert_eq!(
            refusal(&place, &query, "").await,
            format!("External error: row 2, column 'the column': {why}"),
            "{value}"
        );
    }
    let longest = "SELECT repeat('x', 32767) AS a, repeat('\u{1f600}', 16383) AS b";
    copy(&place.session(), &place, longest, "").await;
}

#[tokio::test]
async fn types_that_no_cell_holds_are_refused_before_anything_runs() {
    let place = Place::memory();
    for (value, named) in [
        ("X'00ff'", "Binary"),
        ("arrow_cast('x', 'BinaryView')", "BinaryView"),
        (
            "arrow_cast(X'00', 'FixedSizeBinary(1)')",
            "FixedSizeBinary(1)",
        ),
        ("[1, 2]", "List(Int64)"),
        ("struct(1, 2)", "Struct"),
        ("MAP {'a': 1}", "Map"),
    ] {
        let query = format!("SELECT 1 AS a, {value} AS \"b b\"");
        let error = refusal(&place, &query, "").await;
        let (before, after) = error.split_once(named).unwrap_or_else(|| panic!("{error}"));
        assert!(before.ends_with("column 'b b' is of type "), "{error}");
        assert!(
            after.ends_with(", which a sheet cannot hold: leave it out or make it text"),
            "{error}"
        );
        let planned = refusal_of_the_plan(&place, &query, "").await;
        assert!(planned.contains("column 'b b' is of type"), "{planned}");
    }
    let name = "x".repeat(32_768);
    assert_eq!(
        refusal(&place, &format!("SELECT 1 AS {name}"), "").await,
        "External error: the name of a column is a text of 32768 characters, and Excel holds 32767 in a cell: shorten it"
    );
}

#[tokio::test]
async fn options_that_are_none_are_refused_before_anything_runs() {
    let place = Place::memory();
    for (options, why) in [
        (
            "colour 'red'",
            format!("unknown option 'colour' of XLSX; {KNOWN}"),
        ),
        (
            "delimiter ';'",
            format!("unknown option 'delimiter' of XLSX; {KNOWN}"),
        ),
        (
            "header 'maybe'",
            "option 'header' of XLSX is 'true' or 'false', not 'maybe'".to_owned(),
        ),
        (
            "header_style 'red'",
            "option 'header_style' of XLSX is 'bold' or 'plain', not 'red'".to_owned(),
        ),
        (
            "long_numbers 'round'",
            "option 'long_numbers' of XLSX is 'text' or 'error', not 'round'".to_owned(),
        ),
        (
            "non_finite 'zero'",
            "option 'non_finite' of XLSX is 'empty' or 'error', not 'zero'".to_owned(),
        ),
        (
            "split_sheets 2",
            "option 'split_sheets' of XLSX is 'true' or 'false', not '2'".to_owned(),
        ),
        (
            "header false, freeze_header true",
            "options 'freeze_header' and 'autofilter' need a header: leave out 'header' 'false'"
                .to_owned(),
        ),
        (
            "header false, autofilter true",
            "options 'freeze_header' and 'autofilter' need a header: leave out 'header' 'false'"
                .to_owned(),
        ),
    ] {
        let error = refusal(&place, "SELECT 1 AS a", options).await;
        assert_eq!(error, format!("External error: {why}"));
        let planned = refusal_of_the_plan(&place, "SELECT 1 AS a", options).await;
        assert!(planned.contains(&why), "{planned}");
    }
}

#[tokio::test]
async fn names_that_excel_does_not_take_are_refused() {
    let place = Place::memory();
    let characters = "it has one of the characters [ ] : * ? / \\";
    for (name, why) in [
        ("", "it is empty"),
        ("  ", "it is empty"),
        (
            "12345678901234567890123456789012",
            "it has more than 31 characters",
        ),
        (
            "\u{1f600}\u{1f600}\u{1f600}\u{1f600}\u{1f600}\u{1f600}\u{1f600}\u{1f600}\u{1f600}\u{1f600}\u{1f600}\u{1f600}\u{1f600}\u{1f600}\u{1f600}\u{1f600}",
            "it has more than 31 characters",
        ),
        ("a[b", characters),
        ("a]b", characters),
        ("a:b", characters),
        ("a*b", characters),
        ("a?b", characters),
        ("a/b", characters),
        ("a\\b", characters),
        ("a\nb", "it has a control character"),
        ("'a", "it begins or ends with an apostrophe"),
        ("a'", "it begins or ends with an apostrophe"),
        ("HISTORY", "Excel keeps it for itself"),
    ] {
        let literal = name.replace('\'', "''");
        let error = refusal(&place, "SELECT 1 AS a", &format!("sheet_name '{literal}'")).await;
        assert_eq!(
            error,
            format!(
                "External error: '{}' cannot be the name of a sheet: {why}",
                name.escape_debug()
            )
        );
    }
    for name in [
        "1234567890123456789012345678901",
        "a'b",
        "\u{e4} (2)",
        "=1+1",
    ] {
        let option = format!("sheet_name '{}'", name.replace('\'', "''"));
        copy(&place.session(), &place, "SELECT 1 AS a", &option).await;
        let (found, _) = super::sheets(only(&place, "x.xlsx").await.unwrap()).remove(0);
        assert_eq!(found, name);
    }
}

#[tokio::test]
async fn workbooks_are_not_read() {
    let place = Place::disk();
    copy(&place.session(), &place, "SELECT 1 AS a", "").await;
    let ctx = place.session().enable_url_table();
    let sql = format!("SELECT * FROM '{}/x.xlsx'", place.root());
    let error = run(&ctx, &sql).await.unwrap_err().strip_backtrace();
    assert!(
        error.contains("XLSX files can be written, not read"),
        "{error}"
    );
}
