//! A column's values as an expression over the row's number.

#![cfg(test)]

use super::column_types::Kind;
use crate::random::Random;

/// In which order values come.
#[derive(Debug, Clone, Copy)]
enum Order {
    Rising,
    Falling,
    Runs(i64),
    Mixed,
    Constant,
}

/// Which values come.
#[derive(Debug, Clone, Copy)]
enum Values {
    /// The edges of the type.
    Edges,
    /// Many, in the middle of it.
    Many,
    /// Many, and once in a while an edge.
    Some(i64),
}

#[derive(Debug, Clone, Copy)]
enum Nulls {
    None,
    All,
    Each(i64),
    Mixed(i64),
    Runs(i64),
    Until(i64),
}

/// How a column is filled by one INSERT.
#[derive(Debug, Clone)]
pub(super) struct Filling {
    order: Order,
    values: Values,
    nulls: Nulls,
    salt: i64,
}

impl Filling {
    pub(super) fn any(random: &mut Random, rows: i64) -> Self {
        let length = 1 + random.below(rows.unsigned_abs() as usize / 2 + 2) as i64;
        Self {
            order: match random.below(9) {
                0 | 1 => Order::Rising,
                2 => Order::Falling,
                3 | 4 => Order::Runs(length),
                5 => Order::Constant,
                _ => Order::Mixed,
            },
            values: match random.below(6) {
                0 | 1 => Values::Edges,
                2 | 3 => Values::Many,
                _ => Values::Some([2, 7, 50, 300][random.below(4)]),
            },
            nulls: match random.below(10) {
                0..=3 => Nulls::None,
                4 => Nulls::All,
                5 => Nulls::Each(2 + random.below(5) as i64),
                6 | 7 => Nulls::Mixed(1 + random.below(9) as i64),
                8 => Nulls::Runs(length),
                _ => Nulls::Until(length),
            },
            salt: random.below(1000) as i64,
        }
    }

    /// The value in the row `value`.
    pub(super) fn sql(&self, kind: &Kind) -> String {
        let salt = self.salt;
        let n = match self.order {
            Order::Rising => format!("(value + {salt})"),
            Order::Falling => format!("({} - value)", 1_000_000 + salt),
            Order::Runs(length) => format!("(value / {length} + {salt})"),
            Order::Mixed => format!("((value * value * 31 + value * 7919 + {salt}) % 10007)"),
            Order::Constant => format!("CAST({salt} AS BIGINT)"),
        };
        let edges = || {
            let edges = kind.edges();
            let of = edges.len();
            let cases = edges.iter().enumerate();
            let cases: Vec<_> = cases
                .map(|(at, edge)| format!("WHEN {at} THEN {edge}"))
                .collect();
            format!("CASE {n} % {of} {} END", cases.join(" "))
        };
        let value = match self.values {
            Values::Edges => edges(),
            Values::Many => kind.nth(&n),
            Values::Some(each) => format!(
                "CASE WHEN value % {each} = {} THEN {} ELSE {} END",
                salt % each,
                edges(),
                kind.nth(&n)
            ),
        };
        let null = match self.nulls {
            Nulls::None => return value,
            Nulls::All => "true".to_owned(),
            Nulls::Each(each) => format!("value % {each} = 0"),
            Nulls::Mixed(tenths) => format!("(value * 7907 + {salt}) % 101 % 10 < {tenths}"),
            Nulls::Runs(length) => format!("value / {length} % 2 = 0"),
            Nulls::Until(length) => format!("value <= {length}"),
        };
        format!("CASE WHEN {null} THEN NULL ELSE {value} END")
    }

    /// The same without NULL, or without another complication; for a smaller script.
    pub(super) fn simpler(&self) -> Vec<Self> {
        let mut simpler = Vec::new();
        if !matches!(self.nulls, Nulls::None) {
            simpler.push(Self {
                nulls: Nulls::None,
                ..self.clone()
            });
        }
        if !matches!(self.values, Values::Many) {
            simpler.push(Self {
                values: Values::Many,
                ..self.clone()
            });
        }
        if !matches!(self.order, Order::Rising) {
            simpler.push(Self {
                order: Order::Rising,
                ..self.clone()
            });
        }
        if self.salt != 0 {
            simpler.push(Self {
                salt: 0,
                ..self.clone()
            });
        }
        simpler
    }
}
