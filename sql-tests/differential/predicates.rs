//! Conditions on rows.

#![cfg(test)]

use super::column_types::{Class, Kind};
use crate::random::Random;
use datafusion::arrow::datatypes::DataType;

/// A value that a statement can name.
#[derive(Debug, Clone)]
pub(super) struct Operand {
    pub(super) sql: String,
    pub(super) kind: Kind,
}

/// A condition; a tree, so that it can be made smaller.
#[derive(Debug, Clone)]
pub(super) enum Predicate {
    Leaf(String),
    /// A condition with something around it: `before`, the condition, `after`.
    Around(&'static str, Box<Predicate>, &'static str),
    All(Vec<Predicate>),
    Any(Vec<Predicate>),
}

impl Predicate {
    pub(super) fn sql(&self) -> String {
        let joined = |parts: &[Predicate], word: &str| {
            let parts: Vec<_> = parts.iter().map(Self::sql).collect();
            format!("({})", parts.join(word))
        };
        match self {
            Self::Leaf(sql) => sql.clone(),
            Self::Around(before, inner, after) => format!("{before}({}){after}", inner.sql()),
            Self::All(parts) => joined(parts, " AND "),
            Self::Any(parts) => joined(parts, " OR "),
        }
    }

    /// Its parts alone.
    pub(super) fn simpler(&self) -> Vec<Self> {
        match self {
            Self::Leaf(_) => Vec::new(),
            Self::Around(_, inner, _) => vec![inner.as_ref().clone()],
            Self::All(parts) | Self::Any(parts) => parts.clone(),
        }
    }

    /// Any condition on these values.
    pub(super) fn any(random: &mut Random, operands: &[Operand], depth: usize) -> Self {
        if depth == 0 || random.chance(550) {
            return Self::Leaf(leaf(random, operands));
        }
        let mut part = || Self::any(random, operands, depth - 1);
        let (a, b) = (part(), part());
        match random.below(10) {
            0..=2 => Self::All(vec![a, b]),
            3..=5 => Self::Any(vec![a, b]),
            6 => Self::Around("NOT ", Box::new(a), ""),
            7 => Self::Around("", Box::new(a), " IS NOT TRUE"),
            8 => Self::Around("CASE WHEN ", Box::new(a), " THEN true ELSE NULL END"),
            _ => Self::Around("", Box::new(a), " IS UNKNOWN"),
        }
    }
}

const COMPARE: [&str; 6] = ["=", "<>", "<", "<=", ">", ">="];

/// A constant of the type of `kind`.
pub(super) fn constant(random: &mut Random, kind: &Kind) -> String {
    match random.below(10) {
        0..=5 => random.pick(&kind.edges()).clone(),
        _ => {
            let n = [
                random.below(300),
                random.below(10_007),
                random.below(1_000_000),
            ];
            kind.nth(&format!("CAST({} AS BIGINT)", random.pick(&n)))
        }
    }
}

/// What somebody writes who does not think of types.
fn plain(random: &mut Random, class: Class) -> Option<&'static str> {
    Some(match class {
        Class::Integer | Class::Decimal | Class::Float => *random.pick(&[
            "0", "1", "-1", "0.0", "-0.0", "1.5", "127", "128", "1e300", "NULL",
        ]),
        Class::Boolean => *random.pick(&["true", "false", "NULL"]),
        Class::Text => *random.pick(&["''", "'a'", "'0000500'", "'zz'", "NULL"]),
        _ => return None,
    })
}

fn leaf(random: &mut Random, operands: &[Operand]) -> String {
    let operand = random.pick(operands).clone();
    let (mut sql, kind) = (operand.sql.clone(), &operand.kind);
    let class = kind.class();
    if random.chance(150) {
        return format!("{sql} IS {}NULL", ["", "NOT "][random.below(2)]);
    }
    if class == Class::Nested {
        return nested(random, &operand);
    }
    // Something that is made of the value, of the same type or near it.
    if random.chance(200) {
        sql = derived(random, &sql, class);
    }
    let value = |random: &mut Random| match plain(random, class) {
        Some(plain) if random.chance(250) => plain.to_owned(),
        _ => constant(random, kind),
    };
    let not = ["", "NOT "][random.below(2)];
    match random.below(20) {
        0..=7 => format!("{sql} {} {}", random.pick(&COMPARE), value(random)),
        8 => format!("{} {} {sql}", value(random), random.pick(&COMPARE)),
        9 | 10 => format!("{sql} {not}BETWEEN {} AND {}", value(random), value(random)),
        11..=13 => {
            let count = [1, 2, 4, 25][random.below(4)];
            let values: Vec<_> = (0..count).map(|_| value(random)).collect();
            format!("{sql} {not}IN ({})", values.join(", "))
        }
        14 => format!("{sql} IS {not}DISTINCT FROM {}", value(random)),
        15 => {
            let same: Vec<_> = operands
                .iter()
                .filter(|other| other.kind == *kind)
                .collect();
            format!("{sql} {} {}", random.pick(&COMPARE), random.pick(&same).sql)
        }
        16 => format!(
            "coalesce({sql}, {0}) {1} {0}",
            value(random),
            random.pick(&COMPARE)
        ),
        17 => format!(
            "CASE WHEN {sql} {} {} THEN 1 WHEN {sql} IS NULL THEN 2 ELSE 3 END {} 2",
            random.pick(&COMPARE),
            value(random),
            random.pick(&COMPARE)
        ),
        _ => special(random, &sql, kind),
    }
}

fn derived(random: &mut Random, sql: &str, class: Class) -> String {
    match class {
        Class::Integer => {
            let around = [("0 - ", ""), ("", " + 1"), ("", " * 3"), ("", " % 7")];
            let (before, after) = random.pick(&around);
            format!("({before}{sql}{after})")
        }
        Class::Float => {
            let around = [
                ("0 - ", ""),
                ("- ", ""),
                ("", " + 1"),
                ("", " * 2"),
                ("1 / ", ""),
            ];
            let (before, after) = random.pick(&around);
            format!("({before}{sql}{after})")
        }
        Class::Text => format!(
            "{}({sql})",
            random.pick(&["upper", "lower", "trim", "reverse"])
        ),
        Class::Boolean => format!("(NOT {sql})"),
        _ => sql.to_owned(),
    }
}

/// What only some types can do.
fn special(random: &mut Random, sql: &str, kind: &Kind) -> String {
    let not = ["", "NOT "][random.below(2)];
    match kind.class() {
        Class::Text => match random.below(6) {
            0..=2 => {
                let patterns = [
                    "a%", "%a", "_", "%", "", "0000%", "0000_0%", "%é%", "p%", "pp%b",
                ];
                format!("{sql} {not}LIKE '{}'", random.pick(&patterns))
            }
            3 => format!("{sql} {not}ILIKE '{}'", random.pick(&["A%", "%B", "É%"])),
            4 => format!(
                "starts_with({sql}, '{}')",
                random.pick(&["", "p", "00004", "🦀"])
            ),
            _ => format!(
                "length({sql}) {} {}",
                random.pick(&COMPARE),
                random.below(80)
            ),
        },
        Class::Float => match random.below(4) {
            0 => format!("{not}isnan({sql})"),
            1 => format!("{sql} = {sql}"),
            2 => format!(
                "CAST({sql} AS VARCHAR) = '{}'",
                random.pick(&["NaN", "-0.0", "0.0"])
            ),
            _ => format!("abs({sql}) {} 1", random.pick(&COMPARE)),
        },
        Class::Integer => match random.below(4) {
            0 => format!("CAST({sql} AS VARCHAR) > '5'"),
            1 => format!("CAST({sql} AS DOUBLE) {} 0.5", random.pick(&COMPARE)),
            2 => format!("TRY_CAST({sql} AS SMALLINT) {} 7", random.pick(&COMPARE)),
            _ => format!("{sql} % 10 IN (1, 3)"),
        },
        Class::Decimal => match random.below(2) {
            0 => format!("CAST({sql} AS DOUBLE) {} 0.5", random.pick(&COMPARE)),
            _ => format!("TRY_CAST({sql} AS INT) {} 7", random.pick(&COMPARE)),
        },
        Class::Boolean => match random.below(3) {
            0 => sql.to_owned(),
            1 => format!("NOT {sql}"),
            _ => format!(
                "{sql} IS {not}{}",
                random.pick(&["TRUE", "FALSE", "UNKNOWN"])
            ),
        },
        Class::Temporal => match kind {
            Kind::Plain(DataType::Date32) => {
                format!("{sql} {} DATE '2024-10-04'", random.pick(&COMPARE))
            }
            Kind::Plain(DataType::Timestamp(..)) => format!(
                "{sql} {} TIMESTAMP '1970-01-01 00:16:40'",
                random.pick(&COMPARE)
            ),
            _ => format!("{sql} = {sql}"),
        },
        _ => format!("{sql} = {sql}"),
    }
}

fn nested(random: &mut Random, operand: &Operand) -> String {
    let sql = &operand.sql;
    match operand.kind {
        Kind::List => match random.below(3) {
            0 => format!("array_length({sql}) {} 2", random.pick(&COMPARE)),
            1 => format!("{sql}[2] {} 3", random.pick(&COMPARE)),
            _ => format!("array_has({sql}, 5)"),
        },
        _ => match random.below(3) {
            0 => format!("{sql}['a'] {} 300", random.pick(&COMPARE)),
            1 => format!("{sql}['a'] IS NULL"),
            _ => format!("{sql}['b'] {} '5'", random.pick(&COMPARE)),
        },
    }
}
