//! Many experiments, each a process with a table of its own in one warehouse: one query lists
//! them, another compares them.

use datafusion::error::Result;

use crate::process::Process;
use crate::session::session;
use crate::story::{ensure, show};

const RATES: [&str; 6] = ["0.01", "0.03", "0.1", "0.3", "1.0", "3.0"];

pub(crate) async fn run() -> Result<()> {
    println!(
        "\n  Each experiment, here the first:\n  {};",
        experiment(1, RATES[0]).join(";\n  ")
    );
    let mut running = Vec::new();
    for (at, rate) in RATES.iter().enumerate() {
        running.push(Process::sql(&experiment(at + 1, rate))?);
    }
    for experiment in running {
        experiment.succeed()?;
    }

    let ctx = session()?;
    let list = "SELECT table_name FROM information_schema.tables
    WHERE table_schema = 'public' AND table_name LIKE 'run_%' ORDER BY table_name";
    let list = show(&ctx, list).await?;
    ensure(list.rows() == RATES.len(), "every experiment has a table")?;

    let mut each = Vec::new();
    for row in 0..list.rows() {
        let run = list.text(row, "table_name")?;
        each.push(format!(
            "SELECT '{run}' AS run, max(properties['rate']) AS rate, (SELECT min(loss) FROM {run}) AS best_loss
    FROM atio_history('{run}')"
        ));
    }
    let compare = format!("{}\n    ORDER BY best_loss", each.join("\n    UNION ALL "));
    let best = show(&ctx, &compare).await?;
    ensure(best.rows() == RATES.len(), "every experiment is compared")?;
    best.must_be(0, "rate", "0.3")?;

    println!("\n  The best one gets a name, which keeps it:");
    let best = best.text(0, "run")?;
    let tag = format!("SELECT * FROM atio_tag('{best}', tag => 'best', version => 1)");
    show(&ctx, &tag).await?.must_be(0, "version", 1)
}

fn experiment(number: usize, rate: &str) -> [String; 2] {
    [
        format!("SET atio.properties.rate = '{rate}'"),
        format!(
            "CREATE TABLE run_{number} AS
    SELECT value AS epoch, abs(ln({rate} / 0.25)) + 1.0 / value AS loss FROM generate_series(1, 50)"
        ),
    ]
}
