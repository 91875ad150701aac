//! Features of atio that a build leaves out: what needs one fails, and names it. The tests of atio
//! itself are built with all of them.

#![cfg(test)]

use datafusion::prelude::SessionContext;

/// Statements, and the feature that each needs.
const NEED: [(&str, &str); 8] = [
    (
        "COPY (SELECT 1 AS x) TO 'shop/t' STORED AS POSTGRES",
        "postgres",
    ),
    ("COPY (SELECT 1 AS x) TO 'shop/t' STORED AS MYSQL", "mysql"),
    (
        "COPY (SELECT 1 AS x) TO 'shop.db/t' STORED AS SQLITE",
        "sqlite",
    ),
    (
        "COPY (SELECT 1 AS x) TO 'postgres://host/shop' STORED AS CSV",
        "postgres",
    ),
    (
        "CREATE EXTERNAL TABLE t STORED AS SQLITE LOCATION 'shop.db/t'",
        "sqlite",
    ),
    (
        "CREATE EXTERNAL TABLE t STORED AS ATIO LOCATION 's3://bucket/t'",
        "aws",
    ),
    (
        "SELECT * FROM atio_table('abfss://box@name.dfs.core.windows.net/t')",
        "azure",
    ),
    (
        "COPY (SELECT 1 AS x) TO 'gs://bucket/t.csv' STORED AS CSV",
        "gcp",
    ),
];

#[tokio::test]
async fn statement_that_needs_a_feature_names_it() -> datafusion::error::Result<()> {
    let ctx = SessionContext::new();
    atio::register(&ctx)?;
    for (statement, feature) in NEED {
        let ran = async { ctx.sql(statement).await?.collect().await }.await;
        let said = ran.err().map(|error| error.to_string()).unwrap_or_default();
        let named = format!("needs the feature '{feature}' of the crate atio");
        assert!(said.contains(&named), "{statement}: {said}");
    }
    Ok(())
}

#[tokio::test]
async fn write_to_a_format_that_needs_a_feature_names_it() -> datafusion::error::Result<()> {
    let df = SessionContext::new().sql("SELECT 1 AS x").await?;
    let options = atio::WriteOptions {
        format: Some("mysql".to_owned()),
        ..atio::WriteOptions::default()
    };
    let written = atio::write(df, "shop/t", options).await;
    let said = written
        .err()
        .map(|error| error.to_string())
        .unwrap_or_default();
    assert!(
        said.contains("the format MYSQL needs the feature 'mysql' of the crate atio"),
        "{said}"
    );
    Ok(())
}
