//! Scans that end before the table does.

use super::on_every_database;
use super::proxy::{Cut, Proxy};
use super::site::{Kind, Site};
use crate::query::rows;
use crate::session::run;

on_every_database!(scan_that_ends_early_does_not_read_the_table);

/// Rows of a table, of a thousand bytes each.
const ROWS: usize = 100_000;

async fn scan_that_ends_early_does_not_read_the_table(site: Site) {
    let Some(address) = site.address() else {
        return;
    };
    let numbers = match site.kind {
        Kind::MariaDb(_, _) => format!("SELECT seq, repeat('x', 1000) FROM seq_1_to_{ROWS}"),
        _ => format!("SELECT i, repeat('x', 1000) FROM generate_series(1, {ROWS}) AS s(i)"),
    };
    site.ask("CREATE TABLE t (a INT, b VARCHAR(1000))").await;
    site.ask(&format!("INSERT INTO t {numbers}")).await;
    let proxy = Proxy::start(address, Cut::Never).await;
    let ctx = site.session();
    let connection = site.connection_at(proxy.address);
    atio::register_connection(&ctx, "proxy", connection).unwrap();
    let open = format!(
        "CREATE EXTERNAL TABLE t STORED AS {} LOCATION 'proxy/t'",
        site.stored_as()
    );
    run(&ctx, &open).await.unwrap();
    // The condition keeps the limit from the database.
    let found = rows(&ctx, "SELECT length(b) FROM t WHERE a > 0 LIMIT 1").await;
    assert_eq!(found, ["1000"]);
    site.alone().await;
    let [_, answers] = proxy.counts();
    assert!(answers < ROWS * 1000 * 3 / 5, "{answers} bytes were read");
    // Nothing stands in the way of reading all of it.
    assert_eq!(
        rows(&ctx, "SELECT count(*), sum(length(b)) FROM t").await,
        [format!("{ROWS}|{}", ROWS * 1000)]
    );
}
