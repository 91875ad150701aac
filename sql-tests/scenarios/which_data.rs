//! Which version of the data trained which model.

use super::*;
use crate::processes::statements::EXPIRE;
use crate::query::{failure, row, rows};
use crate::session::session_at;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn data_that_trained_a_model_is_found_by_tag_and_property_after_an_expiry() {
    let directory = tempfile::tempdir().unwrap();
    let at = directory.path();
    let sql = |statements: &[&str]| -> Vec<String> {
        let open = table(at, "");
        let statements = statements.iter().map(|sql| (*sql).to_owned());
        [open].into_iter().chain(statements).collect()
    };
    succeed(at, &[table(at, "a BIGINT")]).await;
    // Loads and training runs take turns, each a process of its own.
    for model in 1..=3 {
        let insert = format!("INSERT INTO t VALUES ({model}), ({model}0)");
        let load = ["SET atio.properties.source = 'camera 4'", &insert];
        succeed(at, &sql(&load)).await;
        let ctx = session_at(at);
        rows(&ctx, &table(at, "")).await;
        let newest = "SELECT max(version) FROM atio_history('t') WHERE operation = 'append'";
        let newest = row(&ctx, newest).await;
        let train = [
            &format!("SET atio.message = 'loss 0.{model}'"),
            &format!("SET atio.properties.model = 'm-{model}'"),
            &format!("SET atio.properties.\"rows of\" = '{newest}'"),
            &format!("SELECT * FROM atio_tag('t', tag => 'm-{model}', version => {newest})"),
        ];
        succeed(at, &sql(&train.map(String::as_str))).await;
    }
    // All of it is corrected, and what is old goes; but the second model is given up before.
    let expire = EXPIRE.replace("{t}", &text(at, "t"));
    let correct = [
        "SELECT * FROM atio_untag('t', tag => 'm-2')",
        "INSERT OVERWRITE t SELECT a + 1000 FROM t",
        &expire,
    ];
    succeed(at, &sql(&correct)).await;

    let ctx = session_at(at);
    rows(&ctx, &table(at, "")).await;
    let tags = "SELECT tag, version, message FROM atio_tags('t')";
    assert_eq!(rows(&ctx, tags).await, ["m-1|1|loss 0.1", "m-3|5|loss 0.3"]);
    // History remembers the model whose rows are gone.
    let history = "SELECT properties['model'], properties['rows of'], message \
                   FROM atio_history('t') WHERE properties['model'] IS NOT NULL";
    let expected = ["m-1|1|loss 0.1", "m-2|3|loss 0.2", "m-3|5|loss 0.3"];
    assert_eq!(rows(&ctx, history).await, expected);
    let sources = "SELECT count(*) FROM atio_history('t') WHERE properties['source'] = 'camera 4'";
    assert_eq!(row(&ctx, sources).await, "3");

    let trained = |model: i64| format!("SELECT a FROM atio_table('t', tag => 'm-{model}')");
    assert_eq!(rows(&ctx, &trained(1)).await, ["1", "10"]);
    let of_third = ["1", "10", "2", "20", "3", "30"];
    assert_eq!(rows(&ctx, &trained(3)).await, of_third);
    let gone = failure(&ctx, &trained(2)).await;
    assert!(gone.contains("has no tag 'm-2'"), "{gone}");
    let gone = failure(&ctx, "SELECT a FROM atio_table('t', version => 3)").await;
    assert!(gone.contains("has expired"), "{gone}");
    assert_eq!(row(&ctx, "SELECT min(a) FROM t").await, "1001");
}
