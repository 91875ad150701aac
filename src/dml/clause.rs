//! What a merge is told, as the statement that the engine would make of SQL.

use std::sync::Arc;

use datafusion::arrow::datatypes::{DataType, Schema};
use datafusion::common::{Column, DFSchema, ScalarValue, TableReference};
use datafusion::datasource::provider_as_source;
use datafusion::error::DataFusionError;
use datafusion::logical_expr::dml::{
    MergeIntoAction, MergeIntoClause, MergeIntoClauseKind, MergeIntoOp,
};
use datafusion::logical_expr::{DmlStatement, Expr, LogicalPlan, LogicalPlanBuilder, WriteOp, lit};

use super::changes::{check_assigned, resolved};
use super::merge::UNIQUE;
use crate::error::{self, Error, Result};
use crate::table::{AtioTable, as_column, check_known, check_names, no_column};

/// What the columns of the table are called.
const TARGET: &str = "target";
/// What the columns of the rows are called.
const SOURCE: &str = "source";

/// Which rows match.
#[derive(Debug, Clone)]
pub(super) enum On {
    Keys(Vec<String>),
    Condition(Expr),
}

/// What becomes of some rows.
#[derive(Debug, Clone)]
pub(super) struct Clause {
    pub(super) kind: MergeIntoClauseKind,
    pub(super) condition: Option<Expr>,
    pub(super) action: Action,
}

#[derive(Debug, Clone)]
pub(super) enum Action {
    Update(Vec<(String, Expr)>),
    UpdateAll,
    Insert(Vec<(String, Expr)>),
    InsertAll,
    Delete,
}

impl Action {
    /// True if it takes all columns of the source.
    fn takes_all(&self) -> bool {
        matches!(self, Self::UpdateAll | Self::InsertAll)
    }

    fn inserts(&self) -> bool {
        matches!(self, Self::Insert(_) | Self::InsertAll)
    }
}

/// The statement that merges `source` into `table`, which has these columns.
pub(super) fn statement(
    table: &AtioTable,
    columns: &Schema,
    source: LogicalPlan,
    (on, clauses): (Vec<On>, Vec<Clause>),
) -> Result<LogicalPlan> {
    let merge = Merged { table, columns };
    let [on] = on.as_slice() else {
        return Err(merge.wrong("say once which rows match, by keys or by a condition".to_owned()));
    };
    if clauses.is_empty() {
        return Err(merge.wrong("say what becomes of the rows, as in update_all()".to_owned()));
    }
    let keys: &[String] = match on {
        On::Keys(keys) => keys,
        On::Condition(_) => &[],
    };
    if let On::Keys(keys) = on {
        merge.check_keys(keys, source.schema().as_arrow())?;
    }
    let source = merge.source(source, keys, &clauses)?;
    let operation = merge.operation(on, &clauses, source.schema());
    let operation = operation.map_err(|error| merge.failed(error))?;
    let source = match clauses.iter().any(|clause| clause.action.inserts()) {
        true => unique(source, keys).map_err(|error| merge.failed(error))?,
        false => source,
    };
    let target = provider_as_source(Arc::new(table.clone()));
    Ok(LogicalPlan::Dml(DmlStatement::new(
        TableReference::bare(TARGET),
        target,
        WriteOp::MergeInto(Box::new(operation)),
        Arc::new(source),
    )))
}

/// The table into which is merged.
struct Merged<'a> {
    table: &'a AtioTable,
    columns: &'a Schema,
}

impl Merged<'_> {
    fn wrong(&self, what: String) -> Error {
        Error::invalid(format!(
            "cannot merge into {}: {what}",
            self.table.location()
        ))
    }

    fn failed(&self, error: DataFusionError) -> Error {
        let what = format!("cannot merge into {}", self.table.location());
        error::from_datafusion(&what, error)
    }

    fn check_keys(&self, keys: &[String], found: &Schema) -> Result<()> {
        if keys.is_empty() {
            return Err(self.wrong("no key is given".to_owned()));
        }
        for (at, key) in keys.iter().enumerate() {
            let name = key.escape_debug();
            if keys.iter().take(at).any(|before| before == key) {
                return Err(self.wrong(format!("the key '{name}' is given twice")));
            }
            if self.columns.index_of(key).is_err() {
                return Err(no_column(key, self.columns, self.table.location()));
            }
            if found.index_of(key).is_err() {
                let columns = found.fields().iter().map(|field| field.name().as_str());
                return Err(self.wrong(format!(
                    "the rows have no column '{name}', which is a key; their columns are {}",
                    columns.collect::<Vec<_>>().join(", ")
                )));
            }
        }
        Ok(())
    }

    /// The rows, of which each column has the type of that of the table with its name.
    fn source(
        &self,
        rows: LogicalPlan,
        keys: &[String],
        clauses: &[Clause],
    ) -> Result<LogicalPlan> {
        let location = self.table.location();
        let found = rows.schema().as_arrow();
        check_names(found, location)?;
        let all = clauses.iter().any(|clause| clause.action.takes_all());
        if all {
            check_known(found, self.columns, location)?;
        }
        let mut columns = Vec::with_capacity(found.fields().len());
        for (at, field) in found.fields().iter().enumerate() {
            let column = Expr::Column(Column::from(rows.schema().qualified_field(at)));
            let Ok(of_table) = self.columns.field_with_name(field.name()) else {
                columns.push(column);
                continue;
            };
            let fits = as_column(column.clone(), field.data_type(), of_table, location);
            columns.push(match fits {
                // What no clause takes as it is may be of any type.
                Err(_) if !all && !keys.contains(field.name()) => column,
                fits => fits?,
            });
        }
        let source = || {
            LogicalPlanBuilder::from(rows)
                .project(columns)?
                .alias(SOURCE)?
                .build()
        };
        source().map_err(|error| self.failed(error))
    }

    fn operation(
        &self,
        on: &On,
        clauses: &[Clause],
        source: &DFSchema,
    ) -> std::result::Result<MergeIntoOp, DataFusionError> {
        let target = DFSchema::try_from_qualified_schema(TARGET, self.columns)?;
        let both = [&target, source];
        let (keys, on): (&[_], _) = match on {
            On::Keys(keys) => (keys, same(keys)),
            On::Condition(condition) => (&[], resolved(condition.clone(), &both)?),
        };
        let clauses = clauses.iter().map(|clause| {
            let of = match clause.kind {
                MergeIntoClauseKind::Matched => &both[..],
                MergeIntoClauseKind::NotMatched | MergeIntoClauseKind::NotMatchedByTarget => {
                    &both[1..]
                }
                MergeIntoClauseKind::NotMatchedBySource => &both[..1],
            };
            let condition = clause.condition.clone();
            let predicate = condition.map(|condition| resolved(condition, of));
            Ok(MergeIntoClause {
                kind: clause.kind,
                predicate: predicate.transpose()?,
                action: self.action(&clause.action, keys, source, of)?,
            })
        });
        let clauses = clauses.collect::<std::result::Result<Vec<_>, DataFusionError>>()?;
        Ok(MergeIntoOp { on, clauses })
    }

    /// What a clause does to its rows, which are `of` these.
    fn action(
        &self,
        action: &Action,
        keys: &[String],
        source: &DFSchema,
        of: &[&DFSchema],
    ) -> std::result::Result<MergeIntoAction, DataFusionError> {
        let given = |values: &[(String, Expr)]| {
            check_assigned(self.table, self.columns, values)?;
            let values = values.iter();
            let values =
                values.map(|(name, value)| Ok((name.clone(), resolved(value.clone(), of)?)));
            values.collect::<std::result::Result<Vec<_>, DataFusionError>>()
        };
        let all = || source.fields().iter().map(|field| field.name());
        Ok(match action {
            Action::Update(assignments) => MergeIntoAction::Update(given(assignments)?),
            Action::UpdateAll => {
                let others = all().filter(|name| !keys.contains(name));
                let assignments = others.map(|name| (name.clone(), column(SOURCE, name)));
                MergeIntoAction::Update(assignments.collect())
            }
            Action::Insert(values) => {
                let (columns, values) = given(values)?.into_iter().unzip();
                MergeIntoAction::Insert { columns, values }
            }
            Action::InsertAll => MergeIntoAction::Insert {
                columns: all().cloned().collect(),
                values: all().map(|name| column(SOURCE, name)).collect(),
            },
            Action::Delete => MergeIntoAction::Delete,
        })
    }
}

fn column(relation: &str, name: &str) -> Expr {
    Expr::Column(Column::new(Some(TableReference::bare(relation)), name))
}

/// True where both sides have the same key.
fn same(keys: &[String]) -> Expr {
    let same = keys
        .iter()
        .map(|key| column(TARGET, key).eq(column(SOURCE, key)));
    same.reduce(Expr::and).unwrap_or_else(|| lit(false))
}

/// The source, which says that no two of its rows may be inserted with the same key.
fn unique(
    source: LogicalPlan,
    keys: &[String],
) -> std::result::Result<LogicalPlan, DataFusionError> {
    if keys.is_empty() {
        return Ok(source);
    }
    let columns = source.schema().columns().into_iter().map(Expr::Column);
    let mut columns: Vec<_> = columns.collect();
    for key in keys {
        let field = source.schema().field_with_unqualified_name(key)?;
        let value = column(SOURCE, key);
        let value = match field.data_type() {
            // -0.0 is 0.0 in a condition.
            data_type @ (DataType::Float32 | DataType::Float64) => {
                value + lit(ScalarValue::new_zero(data_type)?)
            }
            _ => value,
        };
        columns.push(value.alias(format!("{UNIQUE}{key}")));
    }
    let source = LogicalPlanBuilder::from(source).project(columns)?;
    source.alias(SOURCE)?.build()
}
