//! Random statements that DataFusion and DuckDB understand alike.
//!
//! Both are not asked for what they define differently: division, overflow, rounding, and the order
//! in which rows come.

use crate::random::Random;

/// The tables that statements are about, and their columns.
pub(super) const CREATE: [(&str, &str); 2] = [
    (
        "t",
        "id INT, x BIGINT, d DOUBLE, s VARCHAR, b BOOLEAN, day DATE",
    ),
    (
        "q",
        "id INT, x BIGINT, d DOUBLE, s VARCHAR, b BOOLEAN, day DATE",
    ),
];
const COLUMNS: [&str; 6] = ["id", "x", "d", "s", "b", "day"];
const TEXTS: [&str; 5] = ["a", "ab", "b", "it''s", ""];

pub(super) struct Statement {
    pub(super) sql: String,
    /// Tells of a MERGE how many rows of the source would change one row.
    pub(super) most: Option<String>,
}

/// Statements that begin with an empty table.
pub(super) fn statements(random: &mut Random, steps: usize) -> Vec<Statement> {
    let first = ["t", "t", "q"].map(|table| insert(random, table, 16));
    let mut statements = Vec::from(first);
    while statements.len() < steps {
        let next = match random.below(20) {
            0..3 => insert(random, "t", 16),
            3 => insert(random, "q", 6),
            4 => delete(random, "q"),
            5..9 => delete(random, "t"),
            9..13 => update(random),
            _ => merge(random),
        };
        statements.push(next);
    }
    statements
}

fn plain(sql: String) -> Statement {
    Statement { sql, most: None }
}

fn insert(random: &mut Random, table: &str, most: usize) -> Statement {
    let rows: Vec<_> = (0..1 + random.below(most)).map(|_| row(random)).collect();
    plain(format!("INSERT INTO {table} VALUES {}", rows.join(", ")))
}

fn row(random: &mut Random) -> String {
    let cells = COLUMNS.map(|column| match random.chance(150) {
        true => "NULL".to_owned(),
        false => constant(random, column),
    });
    format!("({})", cells.join(", "))
}

fn constant(random: &mut Random, column: &str) -> String {
    let number = random.below(16);
    match column {
        "d" => format!("{}.{}", number, random.pick(&["0", "5", "25"])),
        "s" => format!("'{}'", random.pick(&TEXTS)),
        "b" => number.is_multiple_of(2).to_string(),
        "day" => format!("DATE '2024-02-{:02}'", 1 + number),
        _ => number.to_string(),
    }
}

fn delete(random: &mut Random, table: &str) -> Statement {
    // A condition that keeps most rows leaves something for the next statement.
    let condition = condition_of_rows(random, table);
    plain(match random.chance(40) {
        true => format!("DELETE FROM {table}"),
        false if table == "q" => format!("DELETE FROM q WHERE {condition}"),
        false => format!(
            "DELETE FROM {table} WHERE {condition} AND {table}.x > {}",
            random.below(16)
        ),
    })
}

fn update(random: &mut Random) -> Statement {
    let mut assignments = assignments(random, &["t"]);
    if random.chance(100) {
        assignments =
            "x = (SELECT max(q.x) FROM q WHERE q.id = t.id), id = coalesce(id, 1)".to_owned();
    }
    plain(match random.chance(60) {
        true => format!("UPDATE t SET {assignments}"),
        false => {
            let condition = condition_of_rows(random, "t");
            format!("UPDATE t SET {assignments} WHERE {condition}")
        }
    })
}

/// The condition of a DELETE or UPDATE: now and then with a subquery.
fn condition_of_rows(random: &mut Random, table: &str) -> String {
    let plain = condition(random, &[table], 2);
    let other = if table == "t" { "q" } else { "t" };
    let inner = condition(random, &[other], 1);
    match random.below(16) {
        0 => format!("{table}.id IN (SELECT {other}.id FROM {other} WHERE {inner})"),
        1 => format!("{table}.id NOT IN (SELECT {other}.id FROM {other} WHERE {inner})"),
        2 => format!(
            "EXISTS (SELECT 1 FROM {other} WHERE {other}.id = {table}.id AND {inner}) AND ({plain})"
        ),
        3 => format!(
            "NOT EXISTS (SELECT 1 FROM {other} WHERE {other}.id = {table}.id AND {other}.x > {table}.x)"
        ),
        4 => format!("{table}.x < (SELECT max({other}.x) FROM {other} WHERE {inner})"),
        5 => format!(
            "{table}.x = (SELECT max({other}.x) FROM {other} WHERE {other}.id = {table}.id)"
        ),
        _ => plain,
    }
}

/// Some columns, each with a value made of the columns of tables called so.
fn assignments(random: &mut Random, of: &[&str]) -> String {
    let mut assigned = Vec::new();
    for column in COLUMNS {
        if random.chance(350) || (column == "day" && assigned.is_empty()) {
            assigned.push(format!("{column} = {}", value(random, column, of)));
        }
    }
    assigned.join(", ")
}

/// A value of the type of a column, which stays as small as its parts.
fn value(random: &mut Random, column: &str, of: &[&str]) -> String {
    let from = random.pick(of).to_owned();
    match random.below(12) {
        0 => return "NULL".to_owned(),
        1 | 2 => return constant(random, column),
        3 | 4 => return format!("{from}.{column}"),
        5 => {
            let when = condition(random, of, 1);
            let (yes, no) = (constant(random, column), format!("{from}.{column}"));
            return format!("CASE WHEN {when} THEN {yes} ELSE {no} END");
        }
        6 => {
            let instead = constant(random, column);
            return format!("coalesce({from}.{column}, {instead})");
        }
        _ => {}
    }
    match column {
        "d" => format!("{from}.d + 0.5"),
        "s" => match random.chance(500) {
            true => format!("substr({from}.s || 'z', 1, 4)"),
            false => format!("upper({from}.s)"),
        },
        "b" => condition(random, of, 1),
        "day" => format!("nullif({from}.day, {})", constant(random, column)),
        _ => format!("({}) % 16", number(random, of)),
    }
}

/// A whole number made of columns.
fn number(random: &mut Random, of: &[&str]) -> String {
    let from = random.pick(of).to_owned();
    let column = *random.pick(&["id", "x"]);
    let constant = random.below(16);
    match random.below(10) {
        0 => format!("{from}.{column} + {constant}"),
        1 => format!("{from}.id * 3 - {from}.x"),
        2 => format!("abs({from}.{column} - {constant})"),
        3 => format!("coalesce({from}.{column}, {constant})"),
        4 => format!("nullif({from}.{column}, {constant})"),
        5 => format!("{from}.{column} % 5"),
        _ => format!("{from}.{column}"),
    }
}

/// A condition on the columns of tables called so.
fn condition(random: &mut Random, of: &[&str], depth: usize) -> String {
    if depth > 0 && random.chance(450) {
        let [left, right] = [(); 2].map(|()| condition(random, of, depth - 1));
        return match random.below(7) {
            0 | 1 => format!("({left} AND {right})"),
            2..5 => format!("({left} OR {right})"),
            5 => format!("NOT ({left})"),
            _ => {
                let otherwise = condition(random, of, 0);
                format!("CASE WHEN {left} THEN {right} ELSE {otherwise} END")
            }
        };
    }
    let from = random.pick(of).to_owned();
    let (left, right) = (number(random, of), random.below(16));
    let compare = *random.pick(&["<", "<=", "=", "<>", ">", ">="]);
    let not = *random.pick(&["", "NOT "]);
    // In brackets: what IS DISTINCT FROM takes on its right differs.
    let leaf = match random.below(18) {
        0..3 => format!("{left} {compare} {right}"),
        3 => format!("{left} {compare} {}", number(random, of)),
        4 | 5 => format!("{left} {not}BETWEEN {} AND {right}", random.below(12)),
        6 | 7 => {
            let null = if random.chance(200) { ", NULL" } else { "" };
            format!("{left} {not}IN ({right}, {}{null})", random.below(16))
        }
        8 => format!("{from}.s {compare} '{}'", random.pick(&TEXTS)),
        9 => format!("{from}.s {not}LIKE '{}%'", random.pick(&["a", "b", ""])),
        10 => format!("{from}.{} IS {not}NULL", random.pick(&COLUMNS)),
        11 => format!("{from}.b"),
        12 => format!("{from}.b IS {not}{}", random.pick(&["TRUE", "FALSE"])),
        13 => format!(
            "{from}.{} IS {not}DISTINCT FROM {right}",
            random.pick(&["id", "x"])
        ),
        14 => format!("{from}.day {compare} {}", constant(random, "day")),
        15 => format!("{from}.d {compare} {}", constant(random, "d")),
        16 => format!("{from}.x = NULL"),
        _ => random.pick(&["true", "false", "NULL"]).to_string(),
    };
    format!("({leaf})")
}

fn merge(random: &mut Random) -> Statement {
    let inner = condition(random, &["q"], 1);
    let source = match random.below(8) {
        0..4 => "q".to_owned(),
        4 => format!("(SELECT * FROM q WHERE {inner}) AS q"),
        5 | 6 => "(SELECT q.id, max(q.x) AS x, min(q.d) AS d, max(q.s) AS s, bool_or(q.b) AS b, min(q.day) AS day FROM q GROUP BY q.id) AS q".to_owned(),
        _ => "(SELECT t.id + 1 AS id, t.x, t.d, t.s, t.b, t.day FROM t WHERE t.x < 8) AS q".to_owned(),
    };
    let on = match random.below(12) {
        0..6 => "t.id = q.id".to_owned(),
        6 => "t.id = q.id AND t.x < q.x".to_owned(),
        7 => "t.id IS NOT DISTINCT FROM q.id".to_owned(),
        8 => "t.id = q.id AND t.s = q.s".to_owned(),
        9 => "t.id = q.id + 1 AND q.b".to_owned(),
        10 => format!("t.id = q.id AND {}", condition(random, &["t", "q"], 1)),
        _ => random
            .pick(&["false", "t.id < q.id AND t.x > 12", "t.id = 3 AND q.x = 3"])
            .to_string(),
    };
    let mut clauses = Vec::new();
    let mut takes = Vec::new();
    for (kind, of) in [
        ("MATCHED", ["t", "q"].as_slice()),
        ("NOT MATCHED", &["q"]),
        ("NOT MATCHED BY SOURCE", &["t"]),
    ] {
        // Behind one without a condition comes none of its kind.
        let count = [0, 1, 1, 1, 2, 3][random.below(6)];
        for at in 0..count {
            let always = at + 1 == count && random.chance(500);
            let when = match always {
                true => "true".to_owned(),
                false => condition(random, of, 1),
            };
            if kind == "MATCHED" {
                takes.push(format!("({when})"));
            }
            let condition = match always {
                true => String::new(),
                false => format!(" AND {when}"),
            };
            let action = match kind {
                "NOT MATCHED" => values(random),
                _ if random.chance(300) => "DELETE".to_owned(),
                _ => format!("UPDATE SET {}", assignments(random, of)),
            };
            clauses.push(format!("WHEN {kind}{condition} THEN {action}"));
        }
    }
    if clauses.is_empty() {
        clauses.push("WHEN MATCHED THEN DELETE".to_owned());
        takes.push("true".to_owned());
    }
    let clauses = clauses.join(" ");
    let sql = format!("MERGE INTO t USING {source} ON {on} {clauses}");
    let takes = match takes.is_empty() {
        true => "false".to_owned(),
        false => takes.join(" OR "),
    };
    let most = format!(
        "SELECT coalesce(max(n), 0) FROM (SELECT count(*) AS n FROM t JOIN {source} ON {on} WHERE {takes} GROUP BY t.rowid)"
    );
    Statement {
        sql,
        most: Some(most),
    }
}

/// What a MERGE inserts.
fn values(random: &mut Random) -> String {
    if random.chance(300) {
        return "INSERT VALUES (q.id, q.x, q.d, q.s, q.b, q.day)".to_owned();
    }
    let named: Vec<_> = COLUMNS.into_iter().filter(|_| random.chance(600)).collect();
    let named = match named.is_empty() {
        true => vec!["id"],
        false => named,
    };
    let values: Vec<_> = named
        .iter()
        .map(|column| value(random, column, &["q"]))
        .collect();
    format!(
        "INSERT ({}) VALUES ({})",
        named.join(", "),
        values.join(", ")
    )
}
