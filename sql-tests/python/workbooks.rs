//! Workbooks as another program of Python's users sees them.

use serde_json::{Value, json};

use super::interpreter::Python;
use crate::session::{Place, run};

/// Copies a query and reads the workbook's sheets, if there is a Python.
async fn read(query: &str, options: &str, sheets: usize) -> Option<Vec<Value>> {
    let python = Python::find()?;
    let place = Place::disk();
    let file = format!("{}/x.xlsx", place.root());
    let sql = format!("COPY ({query}) TO '{file}' STORED AS XLSX {options}");
    run(&place.session(), &sql).await.unwrap();
    Some(python.script("workbook.py", &[&file], "", sheets))
}

#[tokio::test]
async fn cells_have_their_kinds_and_formats_in_openpyxl() {
    let query = r#"SELECT 42 AS "big", CAST(7 AS INT) AS "int", 0.5 AS "float",
        CAST('1.50' AS DECIMAL(9, 2)) AS "money", true AS "bool", '=1+1' AS "text",
        DATE '2024-02-29' AS "date", DATE '1900-01-01' AS "first",
        TIMESTAMP '2024-02-29 12:34:56.789' AS "at",
        arrow_cast('2024-07-01T00:00:00Z', 'Timestamp(Second, Some("Europe/Berlin"))') AS "there",
        TIME '12:34:56' AS "time", arrow_cast(90061, 'Duration(Second)') AS "long",
        NULL AS "null", e'a\tb\r\nc\x01_x0041_' AS "odd""#;
    let Some(sheets) = read(query, "", 1).await else {
        return;
    };
    let sheet = &sheets[0];
    assert_eq!(sheet["name"], "Sheet1");
    assert_eq!(
        (&sheet["freeze"], &sheet["filter"]),
        (&Value::Null, &Value::Null)
    );
    let header = sheet["rows"][0].as_array().unwrap();
    let names: Vec<_> = header
        .iter()
        .map(|cell| cell[0].as_str().unwrap())
        .collect();
    assert_eq!(
        names.join(" "),
        "big int float money bool text date first at there time long null odd"
    );
    assert!(
        header.iter().all(|cell| cell[1] == "s" && cell[3] == true),
        "{header:?}"
    );
    let cells = sheet["rows"][1].as_array().unwrap();
    let expected = json!([
        [42, "n", "0", false],
        [7, "n", "General", false],
        [0.5, "n", "General", false],
        [1.5, "n", "0.00", false],
        [true, "b", "General", false],
        ["=1+1", "s", "General", false],
        ["2024-02-29T00:00:00", "d", "yyyy-mm-dd", false],
        ["1900-01-01T00:00:00", "d", "yyyy-mm-dd", false],
        [
            "2024-02-29T12:34:56.789000",
            "d",
            "yyyy-mm-dd hh:mm:ss.000",
            false
        ],
        ["2024-07-01T02:00:00", "d", "yyyy-mm-dd hh:mm:ss", false],
        ["12:34:56", "d", "hh:mm:ss.000", false],
        ["90061.0 s", "d", "[h]:mm:ss", false],
        [null, "n", "General", false],
        ["a\tb\r\nc\u{1}_x0041_", "s", "General", false],
    ]);
    for (cell, expected) in cells.iter().zip(expected.as_array().unwrap()) {
        assert_eq!(cell, expected);
    }
}

#[tokio::test]
async fn header_is_styled_frozen_and_filtered_as_asked() {
    let query = "SELECT value AS a, 'x' AS b FROM range(3)";
    for (options, freeze, filter, bold) in [
        (
            "OPTIONS (freeze_header true, autofilter true)",
            json!("A2"),
            json!("A1:B4"),
            true,
        ),
        (
            "OPTIONS (header_style 'plain')",
            Value::Null,
            Value::Null,
            false,
        ),
    ] {
        let Some(sheets) = read(query, options, 1).await else {
            return;
        };
        let sheet = &sheets[0];
        assert_eq!(
            (&sheet["freeze"], &sheet["filter"]),
            (&freeze, &filter),
            "{options}"
        );
        assert_eq!(sheet["rows"][0][0][3], bold, "{options}");
        assert_eq!(sheet["rows"].as_array().unwrap().len(), 4);
    }
    let empty = "SELECT 1 AS a WHERE false";
    if let Some(sheets) = read(empty, "OPTIONS (autofilter true)", 1).await {
        assert_eq!(sheets[0]["filter"], "A1");
    }
}
