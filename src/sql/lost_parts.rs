//! Statements of which the engine loses a part: refused where their text is seen.

use std::collections::VecDeque;
use std::ops::ControlFlow;

use datafusion::error::Result;
use datafusion::sql::parser::{CopyToSource, Statement};
use datafusion::sql::sqlparser::ast::{
    AssignmentTarget, ColumnOption, CreateTable, Delete, FromTable, HiveDistributionStyle, Ident,
    ObjectNamePart, Statement as SqlStatement, TableFactor, Update, VisitMut, VisitorMut,
};

use crate::error::Error;

/// The statements, unless the engine would pass over a part of one: the AS OF, TABLESAMPLE or PARTITION
/// of a DELETE, all but the last of several values for a column, or all but the last part of its name,
/// the NOT NULL of a column whose table is made with the rows of a query.
pub(super) fn check_whole(mut statements: VecDeque<Statement>) -> Result<VecDeque<Statement>> {
    for statement in &mut statements {
        let mut lost = LostPart(None);
        visit(statement, &mut lost);
        if let Some(error) = lost.0 {
            return Err(error.into());
        }
    }
    Ok(statements)
}

/// What is wrong with a statement that would lose a part.
struct LostPart(Option<Error>);

impl VisitorMut for LostPart {
    type Break = ();

    fn pre_visit_statement(&mut self, statement: &mut SqlStatement) -> ControlFlow<()> {
        self.0 = match statement {
            SqlStatement::Delete(delete) => of_delete(delete),
            SqlStatement::Update(update) => of_update(update),
            SqlStatement::CreateTable(create) => of_create(create),
            _ => None,
        };
        match self.0 {
            Some(_) => ControlFlow::Break(()),
            None => ControlFlow::Continue(()),
        }
    }
}

fn of_delete(delete: &Delete) -> Option<Error> {
    let (FromTable::WithFromKeyword(from) | FromTable::WithoutKeyword(from)) = &delete.from;
    from.iter().find_map(|table| of_deleted(&table.relation))
}

fn of_deleted(table: &TableFactor) -> Option<Error> {
    let TableFactor::Table {
        version,
        sample,
        partitions,
        ..
    } = table
    else {
        return None;
    };
    if version.is_some() {
        return Some(Error::invalid(format!(
            "cannot delete from an old version ({table}): only the newest version can be written"
        )));
    }
    (sample.is_some() || !partitions.is_empty()).then(|| {
        Error::invalid(format!(
            "cannot delete from a part of a table ({table}): say by WHERE which rows go"
        ))
    })
}

fn of_create(create: &CreateTable) -> Option<Error> {
    let name = &create.name;
    // The engine refuses it, and shows how it holds the statement.
    if let HiveDistributionStyle::PARTITIONED { .. } = create.hive_distribution {
        return Some(Error::unsupported(format!(
            "CREATE TABLE {name}: PARTITIONED BY is not supported"
        )));
    }
    create.query.as_ref()?;
    let mut columns = create.columns.iter();
    let strict = columns.find(|column| {
        let mut options = column.options.iter();
        options.any(|of| matches!(of.option, ColumnOption::NotNull))
    })?;
    Some(Error::unsupported(format!(
        "CREATE TABLE {name} (..) AS: the engine would lose the NOT NULL of column '{}': create the table first, and INSERT the rows",
        strict.name.value.escape_debug()
    )))
}

fn of_update(update: &Update) -> Option<Error> {
    let table = &update.table.relation;
    let mut columns: Vec<&str> = Vec::new();
    for assignment in &update.assignments {
        let AssignmentTarget::ColumnName(name) = &assignment.target else {
            continue;
        };
        // The engine goes by the last part of a name.
        let (column, qualifier) = name.0.split_last()?;
        if !qualifier.is_empty() && !is_of(qualifier, table) {
            return Some(Error::invalid(format!(
                "UPDATE of {table}: '{name}' is no column of it, and a field of one cannot be set alone: set the whole column"
            )));
        }
        let column = column.as_ident()?.value.as_str();
        if columns.contains(&column) {
            return Some(Error::invalid(format!(
                "UPDATE of {table}: column '{}' is given two values: leave one",
                column.escape_debug()
            )));
        }
        columns.push(column);
    }
    None
}

/// True if `qualifier` is the table's alias, or the end of its name.
fn is_of(qualifier: &[ObjectNamePart], table: &TableFactor) -> bool {
    let TableFactor::Table { name, alias, .. } = table else {
        return false;
    };
    let same = |one: &Ident, other: &Ident| match (one.quote_style, other.quote_style) {
        (None, None) => one.value.eq_ignore_ascii_case(&other.value),
        _ => one.value == other.value,
    };
    if let (Some(alias), [ObjectNamePart::Identifier(only)]) = (alias, qualifier) {
        return same(only, &alias.name);
    }
    let ends = name.0.len().checked_sub(qualifier.len());
    ends.and_then(|at| name.0.get(at..)).is_some_and(|end| {
        end.iter().zip(qualifier).all(|parts| match parts {
            (ObjectNamePart::Identifier(one), ObjectNamePart::Identifier(other)) => {
                same(one, other)
            }
            _ => false,
        })
    })
}

/// Shows the parts of a statement that are SQL of their own to `visitor`.
pub(super) fn visit(statement: &mut Statement, visitor: &mut impl VisitorMut<Break = ()>) {
    let _: ControlFlow<()> = match statement {
        Statement::Statement(statement) => statement.visit(visitor),
        Statement::CopyTo(copy) => match &mut copy.source {
            CopyToSource::Query(query) => query.visit(visitor),
            CopyToSource::Relation(_) => ControlFlow::Continue(()),
        },
        Statement::Explain(explain) => {
            visit(&mut explain.statement, visitor);
            ControlFlow::Continue(())
        }
        Statement::CreateExternalTable(_) | Statement::Reset(_) => ControlFlow::Continue(()),
    };
}
