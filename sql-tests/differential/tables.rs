//! Tables, and the statements that make their versions.

#![cfg(test)]

use super::column_types::Kind;
use super::columns::Filling;
use super::settings::{self, Setting};
use crate::random::Random;

#[derive(Debug, Clone)]
pub(super) struct Column {
    pub(super) name: String,
    pub(super) kind: Kind,
}

/// Rows that one INSERT writes: those numbered from `first` on.
#[derive(Debug, Clone)]
pub(super) struct Part {
    pub(super) first: i64,
    pub(super) rows: i64,
    /// For each column of the table.
    pub(super) fillings: Vec<Filling>,
}

/// Rows that one DELETE removes: of those whose numbers are in a range each that leaves `rest` when its
/// number is divided by `by`.
#[derive(Debug, Clone)]
pub(super) struct Gone {
    first: i64,
    last: i64,
    by: i64,
    rest: i64,
    mode: &'static str,
}

impl Gone {
    /// Some of the rows below `next`.
    fn any(random: &mut Random, next: i64) -> Self {
        let (one, two) = (random.below(next as usize), random.below(next as usize));
        let by = *random.pick(&[1, 2, 3, 7, 50]);
        Self {
            first: one.min(two) as i64,
            last: one.max(two) as i64,
            by,
            rest: random.below(by as usize) as i64,
            mode: *random.pick(&["mark", "mark", "auto", "rewrite"]),
        }
    }

    pub(super) fn has(&self, id: i64) -> bool {
        (self.first..=self.last).contains(&id) && id % self.by == self.rest
    }

    fn sql(&self) -> String {
        let Self {
            first,
            last,
            by,
            rest,
            ..
        } = self;
        format!("id BETWEEN {first} AND {last} AND id % {by} = {rest}")
    }
}

#[derive(Debug, Clone)]
pub(super) enum Change {
    Insert(Part),
    Overwrite(Part),
    Delete(Gone),
    /// Back to the version that a step before made.
    Rollback(usize),
    /// Gives the newest version the name `tag<step>`.
    Tag,
}

#[derive(Debug, Clone)]
pub(super) struct Step {
    /// For this statement alone.
    pub(super) settings: Vec<Setting>,
    pub(super) change: Change,
}

#[derive(Debug, Clone)]
pub(super) struct Table {
    pub(super) name: String,
    /// Beside `id`, the number of the row.
    pub(super) columns: Vec<Column>,
    /// Made by CREATE EXTERNAL TABLE with so many rows in a row group; otherwise in a catalog.
    pub(super) external: Option<i64>,
    /// Each makes a version; the first is an INSERT, which makes the table.
    pub(super) steps: Vec<Step>,
}

/// How many rows a part has: mostly few, seldom very many.
fn size(random: &mut Random) -> i64 {
    let most = match random.below(100) {
        0..=4 => 1,
        5..=39 => 20,
        40..=84 => 300,
        85..=97 => 2_000,
        98 => 20_000,
        _ => 70_000,
    };
    random.below(most) as i64
}

impl Table {
    pub(super) fn any(random: &mut Random, name: &str) -> Self {
        let spelled = random.chance(250);
        let mut columns = Vec::new();
        for at in 0..1 + random.below(6) {
            let kind = loop {
                let kind = Kind::any(random);
                if !spelled || kind.spelled().is_some() {
                    break kind;
                }
            };
            // Columns of one type can be compared and joined with each other.
            let twin = columns.last().map(|last: &Column| last.kind.clone());
            let kind = twin.filter(|_| random.chance(250)).unwrap_or(kind);
            columns.push(Column {
                name: format!("c{at}"),
                kind,
            });
        }
        let mut table = Self {
            name: name.to_owned(),
            columns,
            external: spelled.then(|| 1 + random.below(500) as i64),
            steps: Vec::new(),
        };
        let mut next = 1;
        for at in 0..1 + random.below(5) {
            let change = match random.below(12) {
                0 if at > 0 => Change::Tag,
                1 if at > 0 => Change::Rollback(random.below(at)),
                10.. if at > 0 => Change::Delete(Gone::any(random, next)),
                2 if at > 0 => Change::Overwrite(table.part(random, &mut next)),
                _ => Change::Insert(table.part(random, &mut next)),
            };
            let settings = match &change {
                Change::Insert(part) | Change::Overwrite(part) => {
                    settings::writing(random, part.rows)
                }
                _ => Vec::new(),
            };
            table.steps.push(Step { settings, change });
        }
        table
    }

    /// The same columns with rows of their own, so that two tables have rows in common.
    pub(super) fn twin(&self, random: &mut Random, name: &str) -> Self {
        let mut twin = Self {
            name: name.to_owned(),
            ..self.clone()
        };
        for step in &mut twin.steps {
            if let Change::Insert(part) | Change::Overwrite(part) = &mut step.change {
                part.rows = size(random).min(part.rows + 50);
            }
        }
        twin
    }

    fn part(&self, random: &mut Random, next: &mut i64) -> Part {
        let rows = size(random);
        let first = *next;
        *next += rows;
        let fillings = self.columns.iter().map(|_| Filling::any(random, rows));
        Part {
            first,
            rows,
            fillings: fillings.collect(),
        }
    }

    /// The query for the rows of a part.
    pub(super) fn rows_sql(&self, part: &Part) -> String {
        let cells = self
            .columns
            .iter()
            .zip(&part.fillings)
            .map(|(column, filling)| format!(", {} AS {}", filling.sql(&column.kind), column.name));
        format!(
            "SELECT value AS id{} FROM generate_series({}, {})",
            cells.collect::<String>(),
            part.first,
            part.first + part.rows - 1
        )
    }

    /// The statements of a step. `versions` are those of the steps before, `root` is where
    /// tables are.
    pub(super) fn sql(&self, at: usize, versions: &[u64], root: &str) -> Vec<String> {
        let name = &self.name;
        let step = &self.steps[at];
        let mut statements = settings::sql(&step.settings);
        match &step.change {
            Change::Insert(part) if at == 0 => match self.external {
                Some(rows) => {
                    let columns = self.columns.iter().map(|column| {
                        let spelled = column.kind.spelled().unwrap();
                        format!(", {} {spelled}", column.name)
                    });
                    statements.push(format!(
                        "CREATE EXTERNAL TABLE {name} (id BIGINT{}) STORED AS ATIO LOCATION '{root}/{name}' OPTIONS ('atio.max_row_group_rows' '{rows}')",
                        columns.collect::<String>()
                    ));
                    statements.push(format!("INSERT INTO {name} {}", self.rows_sql(part)));
                }
                None => statements.push(format!("CREATE TABLE {name} AS {}", self.rows_sql(part))),
            },
            Change::Insert(part) => {
                statements.push(format!("INSERT INTO {name} {}", self.rows_sql(part)));
            }
            Change::Overwrite(part) => {
                statements.push(format!("INSERT OVERWRITE {name} {}", self.rows_sql(part)));
            }
            Change::Delete(gone) => {
                statements.push(format!("SET atio.delete_mode = '{}'", gone.mode));
                statements.push(format!("DELETE FROM {name} WHERE {}", gone.sql()));
                statements.push("SET atio.delete_mode = ''".to_owned());
            }
            Change::Rollback(to) => statements.push(format!(
                "SELECT * FROM atio_rollback('{name}', version => {})",
                versions[*to]
            )),
            Change::Tag => statements.push(format!(
                "SELECT * FROM atio_tag('{name}', tag => 'tag{at}', version => {})",
                versions[at - 1]
            )),
        }
        let reset = |(name, _): &Setting| format!("RESET {name}");
        statements.extend(step.settings.iter().map(reset));
        statements
    }

    /// How many rows all steps write.
    pub(super) fn all_rows(&self) -> i64 {
        let rows = |step: &Step| match &step.change {
            Change::Insert(part) | Change::Overwrite(part) => part.rows,
            _ => 0,
        };
        self.steps.iter().map(rows).sum()
    }
}
