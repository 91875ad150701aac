//! Queries.

#![cfg(test)]

use super::column_types::{Class, Kind};
use super::predicates::{Operand, Predicate};
use super::tables::Table;
use crate::random::Random;
use datafusion::arrow::datatypes::DataType;

/// What a query reads: a table, or the version that a step of it made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Source {
    pub(super) table: usize,
    pub(super) step: Option<usize>,
}

/// `ASC`, `DESC` and where NULL comes, of the item that it names by position.
pub(super) type Key = (usize, &'static str);

/// A query. The text `{n}` stands for the source number n.
#[derive(Debug, Clone, Default)]
pub(super) struct Statement {
    pub(super) sources: Vec<Source>,
    pub(super) distinct: bool,
    pub(super) items: Vec<String>,
    pub(super) from: String,
    pub(super) filters: Vec<Predicate>,
    pub(super) groups: Vec<String>,
    pub(super) having: Vec<String>,
    pub(super) order: Vec<Key>,
    pub(super) limit: Option<usize>,
    pub(super) offset: Option<usize>,
}

impl Statement {
    /// The query over sources called so.
    pub(super) fn sql(&self, names: &[String]) -> String {
        let items = self.items.iter().enumerate();
        let items: Vec<_> = items.map(|(at, item)| format!("{item} AS i{at}")).collect();
        let distinct = if self.distinct { "DISTINCT " } else { "" };
        let mut sql = format!("SELECT {distinct}{} FROM {}", items.join(", "), self.from);
        let mut clause = |word: &str, parts: Vec<String>, by: &str| {
            if !parts.is_empty() {
                sql += &format!(" {word} {}", parts.join(by));
            }
        };
        clause(
            "WHERE",
            self.filters.iter().map(Predicate::sql).collect(),
            " AND ",
        );
        clause("GROUP BY", self.groups.clone(), ", ");
        clause("HAVING", self.having.clone(), " AND ");
        let keys = self.order.iter().map(|(at, how)| format!("i{at} {how}"));
        clause("ORDER BY", keys.collect(), ", ");
        clause(
            "LIMIT",
            self.limit.iter().map(usize::to_string).collect(),
            "",
        );
        clause(
            "OFFSET",
            self.offset.iter().map(usize::to_string).collect(),
            "",
        );
        for (at, name) in names.iter().enumerate() {
            sql = sql.replace(&format!("{{{at}}}"), name);
        }
        sql
    }

    /// Any query over the tables.
    pub(super) fn any(random: &mut Random, tables: &[Table]) -> Self {
        let mut draft = Draft {
            random,
            tables,
            statement: Self::default(),
        };
        match draft.random.below(20) {
            0..=2 => draft.rows(),
            3..=6 => draft.aggregate(),
            7 | 8 => draft.grouped(),
            9 => draft.distinct(),
            10..=12 => draft.ordered(),
            13..=15 => draft.join(),
            16 | 17 => draft.subquery(),
            18 => draft.union(),
            _ => match draft.random.below(2) {
                0 => draft.window(),
                _ => draft.limited(),
            },
        }
        draft.statement
    }
}

const ORDERS: [&str; 6] = [
    "ASC",
    "DESC",
    "ASC NULLS FIRST",
    "ASC NULLS LAST",
    "DESC NULLS FIRST",
    "DESC NULLS LAST",
];
/// So many pairs of rows at most a join may have to give.
const PAIRS: i64 = 200_000;

/// A query in the making.
struct Draft<'a> {
    random: &'a mut Random,
    tables: &'a [Table],
    statement: Statement,
}

impl Draft<'_> {
    /// A source, with what its columns are called under `alias`; the first is the row's number.
    fn source(&mut self, alias: &str) -> (String, Vec<Operand>) {
        let table = self.random.below(self.tables.len());
        self.source_of(table, alias)
    }

    fn source_of(&mut self, table: usize, alias: &str) -> (String, Vec<Operand>) {
        let steps = self.tables[table].steps.len();
        let step = self.random.chance(350).then(|| self.random.below(steps));
        let at = self.statement.sources.len();
        self.statement.sources.push(Source { table, step });
        let id = Operand {
            sql: format!("{alias}.id"),
            kind: Kind::Plain(DataType::Int64),
        };
        let columns = self.tables[table].columns.iter().map(|column| Operand {
            sql: format!("{alias}.{}", column.name),
            kind: column.kind.clone(),
        });
        (
            format!("{{{at}}} AS {alias}"),
            std::iter::once(id).chain(columns).collect(),
        )
    }

    fn filter(&mut self, operands: &[Operand]) {
        for _ in 0..[0, 1, 1, 1, 2, 3][self.random.below(6)] {
            let predicate = Predicate::any(self.random, operands, 2);
            self.statement.filters.push(predicate);
        }
    }

    fn pick(&mut self, operands: &[Operand]) -> Operand {
        self.random.pick(operands).clone()
    }

    fn from(&mut self) -> Vec<Operand> {
        let (from, operands) = self.source("a");
        self.statement.from = from;
        operands
    }

    fn rows(&mut self) {
        let operands = self.from();
        self.statement.items.push("a.id".into());
        for _ in 0..self.random.below(3) {
            let item = self.pick(&operands).sql;
            self.statement.items.push(item);
        }
        self.filter(&operands);
    }

    /// An aggregate whose result does not depend on the order of rows.
    fn aggregated(&mut self, operands: &[Operand]) -> String {
        let operand = self.pick(operands);
        let class = operand.kind.class();
        let mut of = operand.sql.clone();
        if self.random.chance(250) {
            of = match class {
                Class::Integer | Class::Float => {
                    let around = [("0 - ", ""), ("", " + 1"), ("", " * 2")];
                    let (before, after) = self.random.pick(&around);
                    format!("({before}{of}{after})")
                }
                Class::Text => format!("upper({of})"),
                _ => of,
            };
        }
        if self.random.chance(100) {
            let predicate = Predicate::any(self.random, operands, 1);
            of = format!("CASE WHEN {} THEN {of} END", predicate.sql());
        }
        let filter = match self.random.chance(200) {
            true => {
                let predicate = Predicate::any(self.random, operands, 1);
                format!(" FILTER (WHERE {})", predicate.sql())
            }
            false => String::new(),
        };
        let aggregate = match (self.random.below(12), class) {
            (0, _) => "count(*)".to_owned(),
            (1, _) => format!("count({of})"),
            (2, _) => format!("count(DISTINCT {of})"),
            (3, Class::Integer | Class::Decimal) => format!("sum({of})"),
            (4, Class::Boolean) => format!("bool_and({of})"),
            (_, Class::Nested) => format!("count({of})"),
            // What the engine gives for a group with NaN depends on the order of its rows.
            (_, Class::Float) if !self.statement.groups.is_empty() => format!("count({of})"),
            (n, _) => format!("{}({of})", ["min", "max"][n % 2]),
        };
        aggregate + &filter
    }

    fn aggregates(&mut self, operands: &[Operand]) {
        for _ in 0..1 + self.random.below(4) {
            let aggregate = self.aggregated(operands);
            self.statement.items.push(aggregate);
        }
    }

    fn aggregate(&mut self) {
        let operands = self.from();
        self.aggregates(&operands);
        if self.random.chance(300) {
            // Rules nothing out, and still nothing may be taken from statistics.
            self.statement
                .filters
                .push(Predicate::Leaf("a.id > 0".into()));
        } else {
            self.filter(&operands);
        }
    }

    fn grouped(&mut self) {
        let operands = self.from();
        for _ in 0..1 + self.random.below(2) {
            let group = match self.random.below(3) {
                0 => "a.id % 5".to_owned(),
                _ => self.pick(&operands).sql,
            };
            self.statement.groups.push(group);
        }
        self.statement.items = self.statement.groups.clone();
        self.aggregates(&operands);
        self.filter(&operands);
        if self.random.chance(300) {
            let having = ["count(*) > 1", "max(a.id) > 10", "min(a.id) < 5"];
            self.statement
                .having
                .push((*self.random.pick(&having)).into());
        }
        if self.random.chance(300) {
            let last = self.statement.items.len() - 1;
            self.statement
                .order
                .push((last, *self.random.pick(&ORDERS)));
            self.statement.limit = Some(1 + self.random.below(10));
        }
    }

    fn distinct(&mut self) {
        let operands = self.from();
        self.statement.distinct = true;
        for _ in 0..1 + self.random.below(2) {
            let item = self.pick(&operands).sql;
            self.statement.items.push(item);
        }
        self.filter(&operands);
        if self.random.chance(200) {
            self.statement.limit = Some(self.random.below(20));
        }
    }

    /// Keys that can be sorted by, the number of the row often among them.
    fn order(&mut self, operands: &[Operand]) {
        for _ in 0..1 + self.random.below(3) {
            let key = self.pick(operands);
            if key.kind.class() == Class::Nested {
                continue;
            }
            self.statement
                .order
                .push((self.statement.items.len(), *self.random.pick(&ORDERS)));
            self.statement.items.push(key.sql);
        }
        self.statement.items.push("a.id".into());
        if self.random.chance(600) {
            let last = self.statement.items.len() - 1;
            self.statement
                .order
                .push((last, *self.random.pick(&ORDERS)));
        }
    }

    fn limit(&mut self) {
        let most = [3, 20, 200][self.random.below(3)];
        self.statement.limit = Some(self.random.below(most));
        if self.random.chance(200) {
            self.statement.offset = Some(self.random.below(most * 2));
        }
    }

    fn ordered(&mut self) {
        let operands = self.from();
        self.order(&operands);
        self.filter(&operands);
        if self.random.chance(900) {
            self.limit();
        }
    }

    fn size(&self, source: usize) -> i64 {
        self.tables[self.statement.sources[source].table].all_rows()
    }

    /// A condition that makes pairs of the rows of two sources.
    fn pairing(&mut self, left: &[Operand], right: &[Operand]) -> String {
        let (l, r) = (self.size(0), self.size(self.statement.sources.len() - 1));
        let by_number = format!("{} = {}", left[0].sql, right[0].sql);
        let pairs: Vec<_> = left
            .iter()
            .flat_map(|l| right.iter().map(move |r| (l, r)))
            .filter(|(l, r)| l.kind.can_be_joined_with(&r.kind))
            .map(|(l, r)| (l.sql.clone(), r.sql.clone()))
            .collect();
        if l * r > PAIRS || self.random.chance(150) {
            return by_number;
        }
        let (l, r) = self.random.pick(&pairs).clone();
        let mut on = match self.random.below(10) {
            0 => format!("{l} IS NOT DISTINCT FROM {r}"),
            1 => format!("{l} <= {r}"),
            _ => format!("{l} = {r}"),
        };
        if self.random.chance(200) {
            let (l, r) = self.random.pick(&pairs);
            on += &format!(" AND {l} = {r}");
        }
        if self.random.chance(150) {
            let both: Vec<_> = left.iter().chain(right).cloned().collect();
            on += &format!(" AND {}", Predicate::any(self.random, &both, 1).sql());
        }
        on
    }

    fn join(&mut self) {
        let (left, a) = self.source("a");
        let same = self.statement.sources[0].table;
        let (right, b) = match self.random.chance(500) {
            true => self.source_of(same, "b"),
            false => self.source("b"),
        };
        let on = self.pairing(&a, &b);
        let kinds = [
            "JOIN",
            "JOIN",
            "JOIN",
            "LEFT JOIN",
            "RIGHT JOIN",
            "FULL JOIN",
            "LEFT SEMI JOIN",
            "LEFT ANTI JOIN",
            "RIGHT SEMI JOIN",
            "RIGHT ANTI JOIN",
        ];
        let kind = *self.random.pick(&kinds);
        self.statement.from = format!("{left} {kind} {right} ON {on}");
        let there: Vec<_> = match kind {
            "LEFT SEMI JOIN" | "LEFT ANTI JOIN" => a,
            "RIGHT SEMI JOIN" | "RIGHT ANTI JOIN" => b,
            _ => a.into_iter().chain(b).collect(),
        };
        match self.random.below(4) {
            0 => self.aggregates(&there),
            1 if there[0].sql == "a.id" => {
                self.order(&there);
                self.limit();
            }
            _ => {
                let numbers = there.iter().filter(|operand| operand.sql.ends_with(".id"));
                self.statement.items = numbers.map(|operand| operand.sql.clone()).collect();
                let more = self.pick(&there).sql;
                self.statement.items.push(more);
            }
        }
        if self.random.chance(600) {
            self.filter(&there);
        }
    }

    fn subquery(&mut self) {
        let (from, a) = self.source("a");
        let same = self.statement.sources[0].table;
        let (inner, b) = match self.random.chance(500) {
            true => self.source_of(same, "b"),
            false => self.source("b"),
        };
        self.statement.from = from;
        let inside = match self.random.chance(500) {
            true => Predicate::any(self.random, &b, 1).sql(),
            false => "true".to_owned(),
        };
        let not = ["", "NOT "][self.random.below(2)];
        let pairs: Vec<_> = a
            .iter()
            .flat_map(|l| b.iter().map(move |r| (l, r)))
            .filter(|(l, r)| l.kind.can_be_joined_with(&r.kind))
            .map(|(l, r)| (l.sql.clone(), r.sql.clone()))
            .collect();
        let (l, r) = self.random.pick(&pairs).clone();
        let condition = match self.random.below(4) {
            0 => format!("{not}EXISTS (SELECT 1 FROM {inner} WHERE {l} = {r} AND {inside})"),
            1 => {
                let pick = ["min", "max"][self.random.below(2)];
                let compare = self.random.pick(&["=", "<", ">=", "<>"]);
                format!("{l} {compare} (SELECT {pick}({r}) FROM {inner} WHERE {inside})")
            }
            _ => format!("{l} {not}IN (SELECT {r} FROM {inner} WHERE {inside})"),
        };
        self.statement.filters.push(Predicate::Leaf(condition));
        if self.random.chance(300) {
            self.filter(&a);
        }
        self.statement.items = vec!["a.id".into(), l];
    }

    fn union(&mut self) {
        let (one, a) = self.source("a");
        let same = self.statement.sources[0].table;
        let (two, b) = self.source_of(same, "b");
        let at = self.random.below(a.len());
        let kinds = ["UNION ALL", "UNION", "INTERSECT", "EXCEPT"];
        let kind = *self.random.pick(&kinds);
        let (p, q) = (
            Predicate::any(self.random, &a, 1).sql(),
            Predicate::any(self.random, &b, 1).sql(),
        );
        self.statement.from = format!(
            "(SELECT {} AS x, a.id % 3 AS y FROM {one} WHERE {p} {kind} SELECT {}, b.id % 3 FROM {two} WHERE {q}) AS u",
            a[at].sql, b[at].sql
        );
        self.statement.items = vec!["x".into(), "y".into()];
        if self.random.chance(300) {
            let there = [
                Operand {
                    sql: "x".into(),
                    kind: a[at].kind.clone(),
                },
                Operand {
                    sql: "y".into(),
                    kind: Kind::Plain(DataType::Int64),
                },
            ];
            self.filter(&there);
        }
    }

    fn window(&mut self) {
        let (from, operands) = self.source("a");
        let (by, of) = (self.pick(&operands), self.pick(&operands));
        let sorted = match by.kind.class() {
            Class::Nested => "a.id".to_owned(),
            _ => by.sql,
        };
        let order = self.random.pick(&ORDERS);
        let parts = match self.random.below(3) {
            0 => String::new(),
            1 => "PARTITION BY a.id % 3 ".to_owned(),
            _ => format!("PARTITION BY {} ", of.sql),
        };
        let inside = Predicate::any(self.random, &operands, 1).sql();
        self.statement.from = format!(
            "(SELECT a.id, row_number() OVER ({parts}ORDER BY {sorted} {order}, a.id) AS n FROM {from} WHERE {inside}) AS w"
        );
        self.statement.items = vec!["id".into(), "n".into()];
        if self.random.chance(500) {
            self.statement
                .filters
                .push(Predicate::Leaf("n <= 3".into()));
        }
    }

    fn limited(&mut self) {
        let operands = self.from();
        self.statement.items = vec!["a.id".into()];
        let more = self.pick(&operands).sql;
        self.statement.items.push(more);
        self.filter(&operands);
        self.limit();
        if self.random.chance(300) {
            let inner = std::mem::take(&mut self.statement);
            let sql = inner.sql(&[]);
            self.statement = Statement {
                sources: inner.sources,
                items: vec!["count(*)".into()],
                from: format!("({sql}) AS q"),
                ..Statement::default()
            };
        }
    }
}
