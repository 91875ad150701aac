//! A table in memory that keeps all rows of all versions.

use std::collections::BTreeSet;

use super::statements::{Action, Clause, Condition, Kind, Statement, Value};

/// A row of the table, or of a source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Row {
    pub(super) id: Option<i64>,
    pub(super) x: Option<i64>,
    pub(super) s: Option<String>,
}

/// The versions of a table, as far as they can be read.
pub(super) struct Naive {
    versions: Vec<Vec<Row>>,
    newest: Vec<Row>,
    tagged: Option<usize>,
    expired: BTreeSet<usize>,
}

impl Naive {
    pub(super) fn new() -> Self {
        Self {
            versions: vec![Vec::new()],
            newest: Vec::new(),
            tagged: None,
            expired: BTreeSet::new(),
        }
    }

    pub(super) fn newest(&self) -> &[Row] {
        &self.newest
    }

    pub(super) fn versions(&self) -> usize {
        self.versions.len()
    }

    /// The rows of a version; None if it has expired.
    pub(super) fn version(&self, version: usize) -> Option<&[Row]> {
        (!self.expired.contains(&version)).then(|| self.versions[version].as_slice())
    }

    /// Those that can be read.
    pub(super) fn readable(&self) -> Vec<usize> {
        let readable = |version: &usize| !self.expired.contains(version);
        (0..self.versions.len()).filter(readable).collect()
    }

    /// Runs a statement: gives the count that it answers, or what its error says.
    pub(super) fn run(&mut self, statement: &Statement) -> Result<Option<usize>, &'static str> {
        match statement {
            Statement::Insert(rows) => {
                self.newest.extend(rows.iter().cloned());
                Ok(Some(rows.len()))
            }
            Statement::Overwrite(condition) => {
                self.newest.retain(|row| condition.of(row) == Some(true));
                Ok(Some(self.newest.len()))
            }
            Statement::Delete(condition) => {
                let before = self.newest.len();
                self.newest.retain(|row| condition.of(row) != Some(true));
                Ok(Some(before - self.newest.len()))
            }
            Statement::Update(x, s, condition) => {
                let mut count = 0;
                for row in &mut self.newest {
                    if condition.of(row) == Some(true) {
                        let old = row.clone();
                        row.x = x.of(&old, None);
                        if let Some(s) = s {
                            row.s = Some(s.clone());
                        }
                        count += 1;
                    }
                }
                Ok(Some(count))
            }
            Statement::Merge(source, clauses) => self.merge(source, clauses).map(Some),
            Statement::Truncate => {
                let count = self.newest.len();
                self.newest.clear();
                Ok(Some(count))
            }
            Statement::Rollback(version) => {
                self.newest = self.versions[*version].clone();
                Ok(None)
            }
            Statement::Tag(_) | Statement::Expire | Statement::Compact(..) => Ok(None),
        }
    }

    fn merge(&mut self, source: &[Row], clauses: &[Clause]) -> Result<usize, &'static str> {
        let matches = |row: &Row, of: &Row| row.id.is_some() && row.id == of.id;
        let first = |kind: Kind, row: Option<&Row>, of: Option<&Row>| {
            clauses.iter().find(|clause| {
                let condition = clause.condition.as_ref();
                let seen = if kind == Kind::NotMatched { of } else { row };
                clause.kind == kind
                    && condition.is_none_or(|condition| {
                        seen.is_some_and(|seen| condition.of(seen) == Some(true))
                    })
            })
        };
        let mut after = Vec::new();
        let mut count = 0;
        for row in &self.newest {
            let partners: Vec<_> = source.iter().filter(|of| matches(row, of)).collect();
            let mut taken: Vec<(&Clause, Option<&Row>)> = Vec::new();
            for of in &partners {
                taken.extend(
                    first(Kind::Matched, Some(row), Some(of)).map(|clause| (clause, Some(*of))),
                );
            }
            if partners.is_empty() {
                taken.extend(
                    first(Kind::NotMatchedBySource, Some(row), None).map(|clause| (clause, None)),
                );
            }
            match taken.as_slice() {
                [] => after.push(row.clone()),
                [(clause, of)] => {
                    count += 1;
                    if let Action::Update(x) = &clause.action {
                        let mut new = row.clone();
                        new.x = x.of(row, *of);
                        after.push(new);
                    }
                }
                _ => return Err("several rows of the source match one row"),
            }
        }
        for of in source {
            if self.newest.iter().any(|row| matches(row, of)) {
                continue;
            }
            if first(Kind::NotMatched, None, Some(of)).is_some() {
                count += 1;
                after.push(Row {
                    s: None,
                    ..of.clone()
                });
            }
        }
        self.newest = after;
        Ok(count)
    }

    /// Notes that the table is at `version` after a statement.
    pub(super) fn note(&mut self, statement: &Statement, version: usize) {
        if let Statement::Tag(tagged) = statement {
            self.tagged = Some(*tagged);
        }
        assert!(version + 1 >= self.versions.len());
        while self.versions.len() <= version {
            self.versions.push(self.newest.clone());
        }
    }

    /// Notes which versions have expired by now: never the newest or the tagged one, and none comes
    /// back.
    pub(super) fn set_expired(&mut self, expired: BTreeSet<usize>) {
        let newest = self.versions.len() - 1;
        assert!(expired.is_superset(&self.expired), "{expired:?}");
        assert!(!expired.contains(&newest), "{expired:?}");
        assert!(
            self.tagged.is_none_or(|tagged| !expired.contains(&tagged)),
            "{expired:?}"
        );
        self.expired = expired;
    }
}

impl Condition {
    /// What it is of a row; None where that is not known.
    pub(super) fn of(&self, row: &Row) -> Option<bool> {
        match self {
            Self::True => Some(true),
            Self::Less(value) => Some(row.id? < *value),
            Self::Equal(value) => Some(row.id? == *value),
            Self::Greater(value) => Some(row.x? > *value),
            Self::IsNull => Some(row.x.is_none()),
            Self::Text(value) => Some(row.s.as_ref()? == value),
            Self::In(values) => Some(values.contains(&row.id?)),
            Self::Not(condition) => Some(!condition.of(row)?),
            Self::And(left, right) => match (left.of(row), right.of(row)) {
                (Some(false), _) | (_, Some(false)) => Some(false),
                (Some(true), Some(true)) => Some(true),
                _ => None,
            },
            Self::Or(left, right) => match (left.of(row), right.of(row)) {
                (Some(true), _) | (_, Some(true)) => Some(true),
                (Some(false), Some(false)) => Some(false),
                _ => None,
            },
        }
    }
}

impl Value {
    fn of(&self, row: &Row, source: Option<&Row>) -> Option<i64> {
        match self {
            Self::Null => None,
            Self::Constant(value) => Some(*value),
            Self::Plus(value) => Some(row.x? + value),
            Self::Id => row.id,
            Self::OfSource => source?.x,
        }
    }
}
