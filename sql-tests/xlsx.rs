//! `COPY .. STORED AS XLSX`, read back by another library.

#![cfg(test)]

mod atomicity;
#[cfg(target_os = "linux")]
mod memory_use;
mod refusals;
#[cfg(target_os = "linux")]
mod temporary_files;

use std::io::Cursor;

use calamine::{Data, Reader, Xlsx};
use datafusion::prelude::SessionContext;

use crate::objects::objects;
use crate::session::{Place, on_every_place, run};

on_every_place!(
    values_come_back_as_cells_of_their_kind,
    result_of_no_rows_is_a_sheet_with_its_header,
    rows_of_several_partitions_are_in_one_sheet,
    partition_columns_make_a_workbook_for_each_value,
);

/// Copies a query to `base/x.xlsx`.
async fn copy(ctx: &SessionContext, place: &Place, query: &str, options: &str) {
    let sql = statement(place, query, options);
    if let Err(error) = run(ctx, &sql).await {
        panic!("{sql}: {error}");
    }
}

fn statement(place: &Place, query: &str, options: &str) -> String {
    let root = place.root();
    let options = match options {
        "" => String::new(),
        options => format!(" OPTIONS ({options})"),
    };
    format!("COPY ({query}) TO '{root}/x.xlsx' STORED AS XLSX{options}")
}

/// The only object whose name ends so.
async fn only(place: &Place, end: &str) -> Option<Vec<u8>> {
    let found = objects(place).await;
    let mut found = found.into_iter().filter(|(name, _)| name.ends_with(end));
    let first = found.next().map(|(_, bytes)| bytes);
    assert!(found.next().is_none(), "more than one {end}");
    first
}

/// All sheets of a workbook: their names, and their rows as text.
fn sheets(bytes: Vec<u8>) -> Vec<(String, Vec<String>)> {
    let mut book: Xlsx<_> = Xlsx::new(Cursor::new(bytes)).unwrap();
    let sheets = book.worksheets().into_iter();
    sheets
        .map(|(name, range)| {
            let row = |cells: &[Data]| cells.iter().map(shown).collect::<Vec<_>>().join("|");
            (name, range.rows().map(row).collect())
        })
        .collect()
}

/// A cell by its kind: text in quotes, moments with all their digits.
fn shown(cell: &Data) -> String {
    match cell {
        Data::Empty => String::new(),
        Data::String(text) => format!("{text:?}"),
        Data::DateTime(moment) if moment.is_duration() => {
            format!("{} s", (moment.as_f64() * 86_400_000.0).round() / 1000.0)
        }
        Data::DateTime(moment) => {
            let (year, month, day, hour, minute, second, milli) = moment.to_ymd_hms_milli();
            format!("{year}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02}.{milli:03}")
        }
        other => format!("{other}"),
    }
}

/// The rows of the only sheet of `base/x.xlsx`.
async fn sheet(place: &Place) -> Vec<String> {
    let [(_, rows)] = sheets(only(place, "x.xlsx").await.unwrap())
        .try_into()
        .unwrap();
    rows
}

async fn values_come_back_as_cells_of_their_kind(place: Place) {
    let ctx = place.session();
    for (query, expected) in [
        ("NULL", ""),
        ("true", "true"),
        ("false", "false"),
        ("CAST(-128 AS TINYINT)", "-128"),
        ("CAST(65535 AS SMALLINT UNSIGNED)", "65535"),
        ("CAST(4294967295 AS INT UNSIGNED)", "4294967295"),
        ("9007199254740992", "9007199254740992"),
        ("-9007199254740992", "-9007199254740992"),
        (
            "CAST(9007199254740992 AS BIGINT UNSIGNED)",
            "9007199254740992",
        ),
        ("1.5", "1.5"),
        ("CAST(0.1 AS REAL)", "0.1"),
        ("CAST(16777216 AS REAL)", "16777216"),
        ("arrow_cast(0.5, 'Float16')", "0.5"),
        ("1e300", &format!("1{}", "0".repeat(300))),
        (
            "1.7976931348623157e308",
            &format!("17976931348623157{}", "0".repeat(292)),
        ),
        ("0.1 + 0.2", "0.30000000000000004"),
        (
            "CAST(12345678901.2345 AS DECIMAL(38, 4))",
            "12345678901.2345",
        ),
        ("CAST(-0.01 AS DECIMAL(9, 2))", "-0.01"),
        (
            "arrow_cast('999999999999999', 'Decimal256(60, 10)')",
            "999999999999999",
        ),
        (
            "arrow_cast('1000000000000000000000000', 'Decimal256(60, 10)')",
            "1000000000000000000000000",
        ),
        ("arrow_cast('1.25', 'Decimal32(9, 2)')", "1.25"),
        ("arrow_cast('1.25', 'Decimal64(18, 2)')", "1.25"),
        ("'text'", r#""text""#),
        ("''", ""),
        ("arrow_cast('large', 'LargeUtf8')", r#""large""#),
        ("arrow_cast('view', 'Utf8View')", r#""view""#),
        (
            "arrow_cast('one of a few', 'Dictionary(Int32, Utf8)')",
            r#""one of a few""#,
        ),
        (
            "arrow_cast(CAST(7 AS BIGINT), 'Dictionary(Int8, Int64)')",
            "7",
        ),
        ("arrow_cast(NULL, 'Dictionary(Int32, Utf8)')", ""),
        ("DATE '2024-02-29'", "2024-02-29 00:00:00.000"),
        ("DATE '1900-03-01'", "1900-03-01 00:00:00.000"),
        ("DATE '9999-12-31'", "9999-12-31 00:00:00.000"),
        (
            "arrow_cast('2024-02-29', 'Date64')",
            "2024-02-29 00:00:00.000",
        ),
        (
            "TIMESTAMP '1969-12-31 23:59:59.999999999'",
            "1969-12-31 23:59:59.999",
        ),
        (
            "arrow_cast('2024-02-29T12:34:56', 'Timestamp(Second, None)')",
            "2024-02-29 12:34:56.000",
        ),
        (
            "arrow_cast('2024-02-29T12:34:56.789', 'Timestamp(Millisecond, None)')",
            "2024-02-29 12:34:56.789",
        ),
        (
            "arrow_cast('9999-12-31T23:59:59.999999', 'Timestamp(Microsecond, None)')",
            "9999-12-31 23:59:59.999",
        ),
        (
            "arrow_cast('2024-07-01T00:00:00Z', 'Timestamp(Microsecond, Some(\"Europe/Berlin\"))')",
            "2024-07-01 02:00:00.000",
        ),
        (
            "arrow_cast('2024-07-01T00:00:00Z', 'Timestamp(Nanosecond, Some(\"-03:30\"))')",
            "2024-06-30 20:30:00.000",
        ),
        ("TIME '12:34:56.789'", "1899-12-31 12:34:56.789"),
        ("TIME '00:00:00'", "1899-12-31 00:00:00.000"),
        (
            "arrow_cast('23:59:59', 'Time32(Second)')",
            "1899-12-31 23:59:59.000",
        ),
        (
            "arrow_cast(90061001, 'Duration(Millisecond)')",
            "90061.001 s",
        ),
        ("arrow_cast(7, 'Duration(Second)')", "7 s"),
        ("INTERVAL '1 month 2 days'", r#""1 mons 2 days""#),
    ] {
        copy(
            &ctx,
            &place,
            &format!("SELECT 'a' AS a, {query} AS b"),
            "header false",
        )
        .await;
        let row = sheet(&place).await;
        let expected = match expected {
            "" => r#""a""#.to_owned(),
            expected => format!(r#""a"|{expected}"#),
        };
        assert_eq!(row, [expected], "{query}");
    }
}

async fn result_of_no_rows_is_a_sheet_with_its_header(place: Place) {
    let ctx = place.session();
    let query = r#"SELECT 1 AS a, 'x' AS "B c", now() AS d WHERE false"#;
    copy(&ctx, &place, query, "").await;
    assert_eq!(sheet(&place).await, [r#""a"|"B c"|"d""#]);

    copy(&ctx, &place, query, "header false").await;
    assert!(sheet(&place).await.is_empty());
}

async fn rows_of_several_partitions_are_in_one_sheet(place: Place) {
    let ctx = place.session();
    let query = "SELECT value AS n FROM range(100000) WHERE value % 2 = 0 UNION ALL SELECT -1";
    let sql = statement(&place, query, "sheet_name 'Even numbers'");
    let counted = run(&ctx, &sql).await.unwrap();
    assert_eq!(crate::query::texts(&counted), ["50001"]);

    let all = sheets(only(&place, "x.xlsx").await.unwrap());
    assert_eq!(all.len(), 1);
    let (name, mut rows) = all.into_iter().next().unwrap();
    assert_eq!(name, "Even numbers");
    assert_eq!(rows.remove(0), r#""n""#);
    let mut numbers: Vec<i64> = rows.iter().map(|row| row.parse().unwrap()).collect();
    numbers.sort_unstable();
    let expected: Vec<i64> = std::iter::once(-1).chain((0..100_000).step_by(2)).collect();
    assert_eq!(numbers, expected);
}

async fn partition_columns_make_a_workbook_for_each_value(place: Place) {
    let ctx = place.session();
    let root = place.root();
    let sql = format!(
        "COPY (SELECT value AS n, CASE WHEN value < 3 THEN 'few' ELSE 'many' END AS kind \
         FROM range(5)) TO '{root}/by/' STORED AS XLSX PARTITIONED BY (kind)"
    );
    run(&ctx, &sql).await.unwrap();
    let found = objects(&place).await;
    for (kind, expected) in [
        ("few", &["\"n\"", "0", "1", "2"][..]),
        ("many", &["\"n\"", "3", "4"]),
    ] {
        let part = format!("by/kind={kind}/");
        let mut files = found
            .iter()
            .filter(|(name, _)| name.contains(&part) && name.ends_with(".xlsx"));
        let (_, bytes) = files.next().unwrap();
        assert!(files.next().is_none());
        let [(_, rows)] = sheets(bytes.clone()).try_into().unwrap();
        assert_eq!(rows, expected);
    }
}

#[tokio::test]
async fn text_is_never_a_formula_and_comes_back_as_it_was() {
    let place = Place::memory();
    let ctx = place.session();
    let texts = [
        "=1+1",
        "=HYPERLINK(\"http://x\", \"y\")",
        "+1",
        "-1",
        "@SUM(A1)",
        "12",
        "TRUE",
        "#N/A",
        " spaces  ",
        "two\nlines",
        "<a b=\"c\">&amp;</a>]]>",
        "\u{e4}\u{1f600}",
        "'quoted",
        "https://example.com/",
        "carriage\r\nreturn\u{1}",
        "_x0041_",
    ];
    for text in texts {
        let literal = text.replace('\'', "''");
        // As the name of a column too.
        let name = text.replace('"', "\"\"");
        copy(
            &ctx,
            &place,
            &format!("SELECT '{literal}' AS \"{name}\""),
            "",
        )
        .await;
        let bytes = only(&place, "x.xlsx").await.unwrap();
        let mut book: Xlsx<_> = Xlsx::new(Cursor::new(bytes)).unwrap();
        let formulas = book.worksheet_formula("Sheet1").unwrap();
        assert!(formulas.is_empty(), "{text}");
        let range = book.worksheet_range("Sheet1").unwrap();
        let cells: Vec<_> = range.rows().flatten().cloned().collect();
        assert_eq!(
            cells,
            [Data::String(text.into()), Data::String(text.into())]
        );
    }
}

#[tokio::test]
async fn columns_of_one_name_are_refused() {
    let place = Place::memory();
    let ctx = place.session();
    let query = "SELECT * FROM (SELECT 1 AS a) t, (SELECT 2 AS a) u";
    let sql = format!("COPY ({query}) TO '{}/x.xlsx' STORED AS XLSX", place.root());
    let error = run(&ctx, &sql).await.unwrap_err().to_string();
    assert!(error.contains("two columns are called 'a'"), "{error}");
}

#[tokio::test]
async fn format_is_taken_from_the_name_of_the_file_too() {
    let place = Place::disk();
    let ctx = place.session();
    let root = place.root();
    run(&ctx, &format!("COPY (SELECT 1 AS a) TO '{root}/x.xlsx'"))
        .await
        .unwrap();
    assert_eq!(sheet(&place).await, [r#""a""#, "1"]);
}

#[tokio::test]
async fn values_that_no_cell_holds_are_text_or_empty_if_that_is_asked_for() {
    let place = Place::memory();
    let ctx = place.session();
    let numbers = "SELECT 9007199254740993 AS i, CAST(9007199254740993 AS BIGINT UNSIGNED) AS u, \
                   CAST('1234567890.123456' AS DECIMAL(20, 6)) AS d, 12 AS s";
    copy(&ctx, &place, numbers, "header false, long_numbers 'text'").await;
    assert_eq!(
        sheet(&place).await,
        [r#""9007199254740993"|"9007199254740993"|"1234567890.123456"|12"#]
    );
    let floats = "SELECT 1 AS a, CAST('NaN' AS DOUBLE) AS b, CAST('-inf' AS REAL) AS c, 2 AS d";
    copy(&ctx, &place, floats, "header false, non_finite 'empty'").await;
    assert_eq!(sheet(&place).await, ["1|||2"]);
}
