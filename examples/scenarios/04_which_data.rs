//! Which data trained this model? A property and a tag say it, for as long as the tag is there.

use datafusion::error::Result;

use crate::process::Process;
use crate::session::session;
use crate::story::{ask, ensure, show, unexpected};

pub(crate) async fn run() -> Result<()> {
    let ctx = session()?;
    show(&ctx, "CREATE TABLE samples (label TEXT, weight DOUBLE)").await?;
    show(
        &ctx,
        "INSERT INTO samples VALUES ('cat', 4.1), ('dog', 9.5)",
    )
    .await?;
    show(&ctx, "INSERT INTO samples VALUES ('cat', 3.8)").await?;

    println!("\n  A training run, in a process of its own, leaves a name on what it read:");
    let train = [
        "SET atio.message = 'lowest loss so far'",
        "SET atio.properties.model = 'pets-17'",
        "SELECT * FROM atio_tag('samples', tag => 'pets-17', version => 2)",
    ];
    println!("  {};", train.join(";\n  "));
    println!("{}\n", Process::sql(&train)?.succeed()?.answers);

    println!("  Work goes on: a correction, and old versions expire.");
    show(
        &ctx,
        "INSERT OVERWRITE samples SELECT label, weight + 0.2 FROM samples",
    )
    .await?;
    let expire = "SELECT count(*) AS files
    FROM expire_snapshots('samples', keep_for => INTERVAL '0 days', dry_run => false)";
    show(&ctx, expire).await?;

    println!("\n\n  Which version trained pets-17?");
    let tag = "SELECT tag, version, message FROM atio_tags('samples')";
    show(&ctx, tag).await?.must_be(0, "version", 2)?;
    let property = "SELECT t.version, h.message, h.committed_at
    FROM atio_history('samples') AS h JOIN atio_tags('samples') AS t ON t.tag = h.properties['model']
    WHERE h.properties['model'] = 'pets-17'";
    show(&ctx, property).await?.must_be(0, "version", 2)?;
    let rows = "SELECT count(*) AS rows, sum(weight) AS weight FROM atio_table('samples', tag => 'pets-17')";
    let rows = show(&ctx, rows).await?;
    rows.must_be(0, "rows", 3)?;
    ensure(
        (rows.number(0, "weight")? - 17.4).abs() < 1e-9,
        "they are not corrected",
    )?;

    println!("\n  A version without a tag is gone:");
    let Err(error) = ask(&ctx, "SELECT * FROM atio_table('samples', version => 1)").await else {
        return Err(unexpected("version 1 has expired, and yet it can be read"));
    };
    println!("  {error}");
    ensure(
        error.to_string().contains("has expired"),
        "the error says why",
    )
}
