//! A table is dropped by its handle, wherever it is.

use std::fs;

use atio::{AtioCatalog, AtioPolicy, AtioTable, CreateOptions, Dropped, ErrorKind, UndropOptions};
use datafusion::prelude::{SessionConfig, SessionContext};

use super::{append, batch, content, sql};
use crate::objects::{assert_same, objects};
use crate::session::{Place, on_every_place};

on_every_place!(
    table_is_gone_for_all_and_another_can_take_its_place,
    table_of_a_catalog_is_dropped_as_by_its_statement,
    drop_that_is_refused_leaves_the_table,
);

/// A new table with two rows, in the directory `folder` of a place.
async fn table_in(ctx: &SessionContext, place: &Place, folder: &str) -> AtioTable {
    let location = format!("{}/{folder}/t", place.root());
    let options = CreateOptions::default();
    let table = AtioTable::create(ctx, &location, &batch(&[]).schema(), options).await;
    let table = table.unwrap();
    append(ctx, &table, &[1, 2]).await;
    table
}

async fn table_is_gone_for_all_and_another_can_take_its_place(place: Place) {
    let ctx = place.session();
    let table = table_in(&ctx, &place, "lake").await;
    let other = place.session();
    let seen = AtioTable::open(&other, table.location()).await.unwrap();

    let dropped = table.drop_table(&ctx).await.unwrap();
    for gone in [&table, &seen] {
        let error = gone.current_version().await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TableNotFound, "{error}");
    }
    let again = seen.drop_table(&other).await.unwrap_err();
    assert_eq!(again.kind(), ErrorKind::TableNotFound, "{again}");

    let next = table_in(&ctx, &place, "lake").await;
    assert_eq!(content(&ctx, &next).await, ["1", "2"]);
    let catalog = AtioCatalog::open(&ctx, &place.root()).unwrap();
    let kept = catalog.dropped_tables().await.unwrap();
    if let Place::Memory(_) = place {
        assert_eq!((dropped, kept), (Dropped::ForGood, Vec::new()));
        // No number is used twice: 0 and 1, the drop, and the new table's.
        assert_eq!(next.current_version().await.unwrap().get(), 4);
        return;
    }
    assert_eq!((&*kept[0].schema, &*kept[0].table), ("lake", "t"));
    assert_eq!(dropped, Dropped::Kept(kept[0].clone()));
    assert_eq!(next.current_version().await.unwrap().get(), 1);
    append(&ctx, &next, &[3]).await;
    let options = UndropOptions {
        new_name: Some("old".to_owned()),
        ..UndropOptions::default()
    };
    catalog.undrop_table("lake", "t", &options).await.unwrap();
    let location = format!("{}/lake/old", place.root());
    let back = AtioTable::open(&ctx, &location).await.unwrap();
    assert_eq!(content(&ctx, &back).await, ["1", "2"]);
    assert_eq!(content(&ctx, &next).await, ["1", "2", "3"]);
}

async fn table_of_a_catalog_is_dropped_as_by_its_statement(place: Place) {
    let ctx = place.session();
    sql(&ctx, "CREATE TABLE w.public.t AS SELECT 7 AS a").await;
    let table = AtioTable::named(&ctx, "w.public.t").await.unwrap();
    table.drop_table(&ctx).await.unwrap();
    assert_eq!(sql(&ctx, "DROP TABLE IF EXISTS w.public.t").await, [""; 0]);
    let dropped = "SELECT table_schema, table_name FROM atio_dropped()";
    if let Place::Memory(_) = place {
        assert_eq!(sql(&ctx, dropped).await, [""; 0]);
        return;
    }
    assert_eq!(sql(&ctx, dropped).await, ["public|t"]);
    sql(&ctx, "SELECT * FROM atio_undrop('w.public.t')").await;
    assert_eq!(sql(&ctx, "SELECT a FROM w.public.t").await, ["7"]);
    assert_eq!(content(&ctx, &table).await, ["7"]);
}

async fn drop_that_is_refused_leaves_the_table(place: Place) {
    let ctx = place.session();
    let table = table_in(&ctx, &place, "lake").await;
    let runtime = ctx.runtime_env();
    let limited = |policy| {
        let ctx = SessionContext::new_with_config_rt(SessionConfig::new(), runtime.clone());
        atio::register_with(&ctx, policy).unwrap();
        ctx
    };
    let elsewhere = [format!("{}/other", place.root())];
    let elsewhere = AtioPolicy::default().with_allowed_roots(elsewhere).unwrap();
    let before = objects(&place).await;
    for (policy, words) in [
        (
            AtioPolicy::default().with_write(false),
            "may read and not write",
        ),
        (
            AtioPolicy::default().with_create(false),
            "may not create or drop",
        ),
        (elsewhere, "outside the allowed roots"),
    ] {
        let error = table.drop_table(&limited(policy)).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotAllowed, "{error}");
        assert!(error.to_string().contains(words), "{error}");
    }
    let old = table.at(1).await.unwrap().drop_table(&ctx).await;
    let old = old.unwrap_err();
    assert_eq!(old.kind(), ErrorKind::InvalidInput);
    assert!(
        old.to_string().contains("version 1 is not a whole table"),
        "{old}"
    );
    assert_same(&before, &objects(&place).await, "a refused drop");

    if let Place::Disk(directory) = &place {
        let odd = table_in(&ctx, &place, "v1.2").await;
        let error = odd.drop_table(&ctx).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        assert!(
            error.to_string().contains("no catalog could bring it back"),
            "{error}"
        );
        assert_eq!(content(&ctx, &odd).await, ["1", "2"]);

        let foreign = directory.path().join("lake/t/notes.txt");
        fs::write(&foreign, "mine").unwrap();
        let error = table.drop_table(&ctx).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        assert!(error.to_string().contains("holds 'notes.txt'"), "{error}");
        fs::remove_file(foreign).unwrap();
    }
    assert_eq!(content(&ctx, &table).await, ["1", "2"]);
    // A root that holds the table and not the directory above it is enough.
    let own = AtioPolicy::default().with_allowed_roots([table.location()]);
    table.drop_table(&limited(own.unwrap())).await.unwrap();
}
