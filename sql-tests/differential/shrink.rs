//! A smaller case that goes wrong too.

#![cfg(test)]

use std::time::{Duration, Instant};

use super::predicates::Predicate;
use super::settings::Setting;
use super::statements::Statement;
use super::tables::{Change, Part, Table};
use super::twin_tables::{Spoil, World};

/// Tables, settings and one query.
#[derive(Debug, Clone)]
pub(super) struct Case {
    pub(super) tables: Vec<Table>,
    pub(super) reading: Vec<Setting>,
    pub(super) statement: Statement,
}

impl Case {
    /// What goes wrong.
    pub(super) async fn difference(&self, spoil: Option<Spoil>) -> Option<String> {
        match World::build(&self.tables, spoil).await {
            Ok(mut world) => world.check(&self.reading, &self.statement).await,
            // Tables that cannot be made are another case.
            Err(_) => None,
        }
    }

    /// A case as small as can be found in `time`, with what goes wrong in it.
    pub(super) async fn shrunk(
        self,
        difference: String,
        spoil: Option<Spoil>,
        time: Duration,
    ) -> (Self, String) {
        let begun = Instant::now();
        let (mut case, mut difference) = (self, difference);
        'smaller: loop {
            for smaller in case.smaller() {
                if begun.elapsed() > time {
                    return (case, difference);
                }
                let found = smaller.difference(spoil).await;
                // An error and a wrong row are not the same case.
                let same = |found: &String| is_error(found) == is_error(&difference);
                if let Some(found) = found.filter(same) {
                    (case, difference) = (smaller, found);
                    continue 'smaller;
                }
            }
            return (case, difference);
        }
    }

    /// Cases with less in them, those with much less first.
    fn smaller(&self) -> Vec<Self> {
        let mut smaller = Vec::new();
        let mut add = |change: &dyn Fn(&mut Self) -> bool| {
            let mut case = self.clone();
            if change(&mut case) {
                smaller.push(case);
            }
        };
        for at in 0..self.tables.len() {
            add(&|case| case.drop_table(at));
        }
        // All at once what often plays no part.
        add(&|case| {
            let many = case.reading.len() > 1;
            case.reading.clear();
            many
        });
        add(&|case| {
            let mut dropped = false;
            for at in 0..case.tables.len() {
                for column in (0..case.tables[at].columns.len()).rev() {
                    dropped |= case.drop_column(at, column);
                }
            }
            dropped
        });
        for keep in [&["max_row_group_size"][..], &[]] {
            add(&|case| {
                let steps = case.tables.iter_mut().flat_map(|table| &mut table.steps);
                let mut dropped = false;
                for step in steps {
                    let before = step.settings.len();
                    let kept = |(name, _): &Setting| keep.iter().any(|keep| name.ends_with(keep));
                    step.settings.retain(kept);
                    dropped |= step.settings.len() < before;
                }
                dropped
            });
        }
        add(&|case| {
            let many = case.statement.filters.len() > 1;
            case.statement.filters.clear();
            many
        });
        for (at, table) in self.tables.iter().enumerate() {
            for step in (0..table.steps.len()).rev() {
                add(&|case| case.drop_step(at, step));
            }
        }
        for (at, table) in self.tables.iter().enumerate() {
            for step in 0..table.steps.len() {
                for cut in [cut_end, cut_begin, cut_one] {
                    add(&|case| case.tables[at].steps[step].change.part().is_some_and(cut));
                }
            }
        }
        for at in 0..self.reading.len() {
            add(&|case| {
                case.reading.remove(at);
                true
            });
        }
        for (at, table) in self.tables.iter().enumerate() {
            for column in 0..table.columns.len() {
                add(&|case| case.drop_column(at, column));
            }
            for (step, of) in table.steps.iter().enumerate() {
                for setting in 0..of.settings.len() {
                    add(&|case| {
                        case.tables[at].steps[step].settings.remove(setting);
                        true
                    });
                }
            }
        }
        for statement in self.statement.smaller() {
            add(&|case| {
                case.statement = statement.clone();
                true
            });
        }
        for (at, table) in self.tables.iter().enumerate() {
            for step in 0..table.steps.len() {
                for column in 0..table.columns.len() {
                    let part = match &table.steps[step].change {
                        Change::Insert(part) | Change::Overwrite(part) => part,
                        _ => continue,
                    };
                    for filling in part.fillings[column].simpler() {
                        add(&|case| {
                            let part = case.tables[at].steps[step].change.part();
                            part.unwrap().fillings[column] = filling.clone();
                            true
                        });
                    }
                }
            }
        }
        smaller
    }

    fn drop_table(&mut self, at: usize) -> bool {
        if self
            .statement
            .sources
            .iter()
            .any(|source| source.table == at)
        {
            return false;
        }
        self.tables.remove(at);
        for source in &mut self.statement.sources {
            source.table -= usize::from(source.table > at);
        }
        true
    }

    fn drop_step(&mut self, at: usize, step: usize) -> bool {
        let table = &mut self.tables[at];
        table.steps.remove(step);
        if !matches!(
            table.steps.first().map(|first| &first.change),
            Some(Change::Insert(_))
        ) {
            return false;
        }
        let moved = |to: usize| if to >= step { to.saturating_sub(1) } else { to };
        for (now, of) in table.steps.iter_mut().enumerate() {
            if let Change::Rollback(to) = &mut of.change {
                *to = moved(*to);
                if *to >= now {
                    return false;
                }
            }
        }
        for source in &mut self.statement.sources {
            if source.table == at {
                source.step = source.step.map(moved);
            }
        }
        true
    }

    fn drop_column(&mut self, at: usize, column: usize) -> bool {
        let name = format!(".{}", self.tables[at].columns[column].name);
        if self.statement.sql(&[]).contains(&name) {
            return false;
        }
        self.tables[at].columns.remove(column);
        for step in &mut self.tables[at].steps {
            if let Some(part) = step.change.part() {
                part.fillings.remove(column);
            }
        }
        true
    }
}

impl Change {
    fn part(&mut self) -> Option<&mut Part> {
        match self {
            Self::Insert(part) | Self::Overwrite(part) => Some(part),
            _ => None,
        }
    }
}

fn is_error(difference: &str) -> bool {
    difference.contains(" rows were expected, not: ")
}

fn cut_end(part: &mut Part) -> bool {
    let before = part.rows;
    part.rows = (part.rows + 1) / 2;
    part.rows < before
}

fn cut_begin(part: &mut Part) -> bool {
    let before = part.rows;
    part.rows = (part.rows + 1) / 2;
    part.first += before - part.rows;
    part.rows < before
}

fn cut_one(part: &mut Part) -> bool {
    let many = part.rows > 0;
    part.rows -= i64::from(many);
    many
}

impl Statement {
    fn smaller(&self) -> Vec<Self> {
        let mut smaller = Vec::new();
        let mut add = |change: &dyn Fn(&mut Self)| {
            let mut statement = self.clone();
            change(&mut statement);
            smaller.push(statement);
        };
        for at in 0..self.filters.len() {
            add(&|statement| drop(statement.filters.remove(at)));
            for predicate in simpler(&self.filters[at]) {
                add(&|statement| statement.filters[at] = predicate.clone());
            }
        }
        for at in 0..self.having.len() {
            add(&|statement| drop(statement.having.remove(at)));
        }
        for at in 0..self.order.len() {
            add(&|statement| {
                statement.order.remove(at);
            });
        }
        if self.items.len() > 1 {
            for at in self.groups.len()..self.items.len() {
                if self.order.iter().all(|(key, _)| *key != at) {
                    add(&|statement| {
                        statement.items.remove(at);
                        for (key, _) in &mut statement.order {
                            *key -= usize::from(*key > at);
                        }
                    });
                }
            }
        }
        if self.offset.is_some() {
            add(&|statement| statement.offset = None);
        }
        if self.limit.is_some() {
            add(&|statement| statement.limit = None);
        }
        if self.distinct {
            add(&|statement| statement.distinct = false);
        }
        for at in 0..self.sources.len() {
            if self.sources[at].step.is_some() {
                add(&|statement| statement.sources[at].step = None);
            }
        }
        smaller
    }
}

/// The predicate with one part of it made smaller, at any depth.
fn simpler(predicate: &Predicate) -> Vec<Predicate> {
    let mut all = predicate.simpler();
    let with = |parts: &[Predicate], at: usize, part: Predicate| {
        let mut parts = parts.to_vec();
        parts[at] = part;
        parts
    };
    match predicate {
        Predicate::Leaf(_) => {}
        Predicate::Around(before, inner, after) => {
            let inner = simpler(inner).into_iter();
            all.extend(inner.map(|inner| Predicate::Around(before, Box::new(inner), after)));
        }
        Predicate::All(parts) => {
            for (at, part) in parts.iter().enumerate() {
                let smaller = simpler(part).into_iter();
                all.extend(smaller.map(|part| Predicate::All(with(parts, at, part))));
            }
        }
        Predicate::Any(parts) => {
            for (at, part) in parts.iter().enumerate() {
                let smaller = simpler(part).into_iter();
                all.extend(smaller.map(|part| Predicate::Any(with(parts, at, part))));
            }
        }
    }
    all
}
