//! Random statements, as values and as SQL.

use super::naive::{Naive, Row};
use crate::random::Random;

#[derive(Debug, Clone)]
pub(super) enum Statement {
    Insert(Vec<Row>),
    /// Keeps the rows for which this is true.
    Overwrite(Condition),
    Delete(Condition),
    Update(Value, Option<String>, Condition),
    Merge(Vec<Row>, Vec<Clause>),
    Truncate,
    Rollback(usize),
    /// Moves the only tag.
    Tag(usize),
    Expire,
    /// Writes files of about this size; of those that may hold such rows; sorted or not.
    Compact(u64, Option<Condition>, bool),
}

#[derive(Debug, Clone)]
pub(super) enum Condition {
    True,
    Less(i64),
    Equal(i64),
    Greater(i64),
    IsNull,
    Text(String),
    In(Vec<i64>),
    Not(Box<Self>),
    And(Box<Self>, Box<Self>),
    Or(Box<Self>, Box<Self>),
}

#[derive(Debug, Clone)]
pub(super) enum Value {
    Null,
    Constant(i64),
    Plus(i64),
    Id,
    OfSource,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Matched,
    NotMatched,
    NotMatchedBySource,
}

#[derive(Debug, Clone)]
pub(super) struct Clause {
    pub(super) kind: Kind,
    pub(super) condition: Option<Condition>,
    pub(super) action: Action,
}

#[derive(Debug, Clone)]
pub(super) enum Action {
    Update(Value),
    Delete,
    Insert,
}

const TEXTS: [&str; 4] = ["a", "b", "it's", ""];

/// A statement that may come next.
pub(super) fn random(random: &mut Random, naive: &Naive) -> Statement {
    let readable = naive.readable();
    match random.below(22) {
        0..6 => Statement::Insert(some_rows(random, 12)),
        6 => Statement::Overwrite(condition(random, 2)),
        7..11 => Statement::Delete(condition(random, 2)),
        11..14 => {
            let s = random
                .chance(500)
                .then(|| (*random.pick(&TEXTS)).to_owned());
            Statement::Update(value(random, false), s, condition(random, 2))
        }
        14..17 => Statement::Merge(some_rows(random, 6), clauses(random)),
        17 => match random.chance(300) {
            true => Statement::Truncate,
            false => Statement::Tag(*random.pick(&readable)),
        },
        18 => Statement::Rollback(*random.pick(&readable)),
        19 => Statement::Expire,
        _ => {
            let size = *random.pick(&[1, 1000, 3000, 1 << 20]);
            let some = random.chance(400).then(|| condition(random, 1));
            Statement::Compact(size, some, random.chance(300))
        }
    }
}

fn some_rows(random: &mut Random, most: usize) -> Vec<Row> {
    let count = 1 + random.below(most);
    let cell = |random: &mut Random| random.chance(850).then(|| random.below(20) as i64);
    let row = |_| Row {
        id: cell(random),
        x: cell(random),
        s: random
            .chance(850)
            .then(|| (*random.pick(&TEXTS)).to_owned()),
    };
    (0..count).map(row).collect()
}

fn condition(random: &mut Random, depth: usize) -> Condition {
    let number = random.below(20) as i64;
    let below = |random: &mut Random| Box::new(condition(random, depth - 1));
    match random.below(if depth == 0 { 7 } else { 10 }) {
        0 => Condition::True,
        1 => Condition::Less(number),
        2 => Condition::Equal(number),
        3 => Condition::Greater(number),
        4 => Condition::IsNull,
        5 => Condition::Text((*random.pick(&TEXTS)).to_owned()),
        6 => Condition::In((0..3).map(|_| random.below(20) as i64).collect()),
        7 => Condition::Not(below(random)),
        8 => Condition::And(below(random), below(random)),
        _ => Condition::Or(below(random), below(random)),
    }
}

fn value(random: &mut Random, has_source: bool) -> Value {
    let number = random.below(20) as i64;
    match random.below(if has_source { 5 } else { 4 }) {
        0 => Value::Null,
        1 => Value::Constant(number),
        2 => Value::Plus(number),
        3 => Value::Id,
        _ => Value::OfSource,
    }
}

/// Some clauses of each kind, of which only the last has no condition.
fn clauses(random: &mut Random) -> Vec<Clause> {
    let mut clauses = Vec::new();
    for kind in [Kind::Matched, Kind::NotMatched, Kind::NotMatchedBySource] {
        let count = random.below(3);
        for at in 0..count {
            let conditional = at + 1 < count || random.chance(500);
            let action = match (kind, random.chance(400)) {
                (Kind::NotMatched, _) => Action::Insert,
                (_, true) => Action::Delete,
                (kind, false) => Action::Update(value(random, kind == Kind::Matched)),
            };
            clauses.push(Clause {
                kind,
                condition: conditional.then(|| condition(random, 1)),
                action,
            });
        }
    }
    if clauses.is_empty() {
        clauses.push(Clause {
            kind: Kind::Matched,
            condition: None,
            action: Action::Delete,
        });
    }
    clauses
}

impl Statement {
    pub(super) fn to_sql(&self, table: &str) -> String {
        match self {
            Self::Insert(rows) => format!("INSERT INTO {table} {}", values(rows)),
            Self::Overwrite(condition) => {
                // The engine plans a VALUES in an INSERT with the columns of its table.
                let condition = condition.in_list("t");
                format!(
                    "INSERT OVERWRITE {table} SELECT id, x, s FROM {table} AS t WHERE {condition}"
                )
            }
            Self::Delete(condition) => {
                format!("DELETE FROM {table} WHERE {}", condition.to_sql(table))
            }
            Self::Update(x, s, condition) => {
                let s = s.as_deref().map(|s| format!(", s = {}", text(s)));
                format!(
                    "UPDATE {table} SET x = {}{} WHERE {}",
                    x.to_sql(table),
                    s.unwrap_or_default(),
                    condition.to_sql(table)
                )
            }
            Self::Merge(source, clauses) => {
                let clauses: Vec<_> = clauses.iter().map(|clause| clause.to_sql(table)).collect();
                format!(
                    "MERGE INTO {table} USING (SELECT CAST(column1 AS INT) AS id, CAST(column2 AS INT) AS x, column3 AS s FROM ({})) AS q ON {table}.id = q.id {}",
                    values(source),
                    clauses.join(" ")
                )
            }
            Self::Truncate => format!("TRUNCATE TABLE {table}"),
            Self::Rollback(version) => {
                format!("SELECT * FROM atio_rollback('{table}', version => {version})")
            }
            Self::Tag(version) => {
                format!(
                    "SELECT * FROM atio_tag('{table}', tag => 'kept', version => {version}, replace => true)"
                )
            }
            Self::Expire => format!(
                "SELECT * FROM expire_snapshots('{table}', keep_for => INTERVAL '0 days', retain_last => 2, orphan_age => INTERVAL '0 days', dry_run => false)"
            ),
            Self::Compact(size, of, sorted) => {
                let of = of.as_ref().map(|condition| {
                    // The only table there has no name before its columns.
                    let condition = condition.in_list(table).replace(&format!("{table}."), "");
                    format!(", where => {}", text(&condition))
                });
                let sorted = if *sorted {
                    ", order_by => 'x DESC, id'"
                } else {
                    ""
                };
                format!(
                    "SELECT * FROM atio_compact('{table}', target_file_size => {size}{}{sorted}, dry_run => false)",
                    of.unwrap_or_default()
                )
            }
        }
    }
}

impl Clause {
    fn to_sql(&self, table: &str) -> String {
        let (when, of) = match self.kind {
            Kind::Matched => ("WHEN MATCHED", table),
            Kind::NotMatched => ("WHEN NOT MATCHED", "q"),
            Kind::NotMatchedBySource => ("WHEN NOT MATCHED BY SOURCE", table),
        };
        let condition = self.condition.as_ref();
        let condition = condition.map(|condition| format!(" AND {}", condition.in_list(of)));
        let action = match &self.action {
            Action::Update(x) => format!("UPDATE SET x = {}", x.to_sql(table)),
            Action::Delete => "DELETE".to_owned(),
            Action::Insert => "INSERT (id, x) VALUES (q.id, q.x)".to_owned(),
        };
        format!("{when}{} THEN {action}", condition.unwrap_or_default())
    }
}

impl Condition {
    /// With a subquery where the engine is right about NULL: below NOT and OR it takes an IN that is
    /// not known for false.
    fn to_sql(&self, of: &str) -> String {
        let Self::In(_) = self else {
            return self.in_list(of);
        };
        self.spelled(&format!("{of}.id"), of, |values| {
            let values: Vec<_> = values.iter().map(|value| format!("({value})")).collect();
            format!("SELECT c FROM (VALUES {}) AS list(c)", values.join(", "))
        })
    }

    /// Without subqueries, which the engine does not take everywhere.
    fn in_list(&self, of: &str) -> String {
        self.spelled(&format!("{of}.id"), of, |values| {
            let values: Vec<_> = values.iter().map(i64::to_string).collect();
            values.join(", ")
        })
    }

    /// `id` is what an IN compares.
    fn spelled(&self, id: &str, of: &str, list: fn(&[i64]) -> String) -> String {
        match self {
            Self::True => "true".to_owned(),
            Self::Less(value) => format!("{of}.id < {value}"),
            Self::Equal(value) => format!("{of}.id = {value}"),
            Self::Greater(value) => format!("{of}.x > {value}"),
            Self::IsNull => format!("{of}.x IS NULL"),
            Self::Text(value) => format!("{of}.s = {}", text(value)),
            Self::In(values) => format!("{id} IN ({})", list(values)),
            Self::Not(condition) => format!("NOT ({})", condition.spelled(id, of, list)),
            Self::And(left, right) => {
                // Of two lists without a common value the engine makes `false`, also where the column
                // is NULL. So it is not to see that both are of one column.
                let other = format!("CAST(CAST({of}.id AS VARCHAR) AS INT)");
                let other = if left.has_list() { &other } else { id };
                let (left, right) = (left.spelled(id, of, list), right.spelled(other, of, list));
                format!("(({left}) AND ({right}))")
            }
            Self::Or(left, right) => {
                let (left, right) = (left.spelled(id, of, list), right.spelled(id, of, list));
                format!("(({left}) OR ({right}))")
            }
        }
    }

    fn has_list(&self) -> bool {
        match self {
            Self::In(_) => true,
            Self::Not(condition) => condition.has_list(),
            Self::And(left, right) | Self::Or(left, right) => left.has_list() || right.has_list(),
            _ => false,
        }
    }
}

impl Value {
    fn to_sql(&self, table: &str) -> String {
        match self {
            Self::Null => "NULL".to_owned(),
            Self::Constant(value) => value.to_string(),
            Self::Plus(value) => format!("{table}.x + {value}"),
            Self::Id => format!("{table}.id"),
            Self::OfSource => "q.x".to_owned(),
        }
    }
}

fn text(value: &str) -> String {
    format!("'{}'", value.replace('\'', "''"))
}

fn values(rows: &[Row]) -> String {
    let number = |cell: Option<i64>| match cell {
        Some(cell) => format!("CAST({cell} AS INT)"),
        None => "CAST(NULL AS INT)".to_owned(),
    };
    let row = |row: &Row| {
        let s = row
            .s
            .as_deref()
            .map_or("CAST(NULL AS VARCHAR)".to_owned(), text);
        format!("({}, {}, {s})", number(row.id), number(row.x))
    };
    let rows: Vec<_> = rows.iter().map(row).collect();
    format!("VALUES {}", rows.join(", "))
}
