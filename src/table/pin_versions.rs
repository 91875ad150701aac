//! One version of each table per statement.
//!
//! The analyzer runs once for each physical planning and sees every scan of a statement,
//! those of views and subqueries included. It gives all scans of one table one shared,
//! empty cell; the first scan that is planned fills it with the newest version. A pin made
//! any earlier would be frozen into views, prepared statements and kept DataFrames.
//!
//! By the way it tells the scans what the statement above them computes, as far as that decides
//! which of the engine's filters they may follow.

use std::collections::HashMap;
use std::sync::Arc;

use datafusion::catalog::TableProvider;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::config::ConfigOptions;
use datafusion::datasource::{provider_as_source, source_as_provider};
use datafusion::error::Result;
use datafusion::execution::SessionState;
use datafusion::logical_expr::{LogicalPlan, TableSource};
use datafusion::optimizer::AnalyzerRule;

use super::change_target::ChangeTarget;
use super::changes::ChangesTable;
use super::handle::AtioTable;
use super::pin::Pin;
use crate::scan::{Above, RowIds};
use crate::settings::CommitSettings;

/// The analyzer rule that pins every atio table of a statement.
#[derive(Debug, Default)]
pub(crate) struct PinVersions;

impl PinVersions {
    /// Makes it a rule of a session that has not got it, for a statement that may be run again.
    pub(super) fn add_to(state: &mut SessionState) {
        let rules = &state.analyzer().rules;
        if !rules.iter().any(|rule| rule.name() == Self.name()) {
            state.add_analyzer_rule(Arc::new(Self));
        }
    }
}

impl AnalyzerRule for PinVersions {
    fn name(&self) -> &str {
        "atio_pin_versions"
    }

    fn analyze(&self, plan: LogicalPlan, config: &ConfigOptions) -> Result<LogicalPlan> {
        let again = CommitSettings::needs_statement(config).then(|| written(&plan));
        let mut statement = Statement {
            pins: HashMap::new(),
            row_ids: Vec::new(),
            above: Above::of(&plan)?,
            writes: plan.exists(|node| Ok(matches!(node, LogicalPlan::Dml(_))))?,
            again: again.flatten().cloned().map(Arc::new),
        };
        let plan = plan.transform_down_with_subqueries(|node| match node {
            LogicalPlan::TableScan(mut scan) => match statement.scanned(&scan.source) {
                Some((table, provider)) => {
                    let (projection, planned) = (&scan.projection, &scan.projected_schema);
                    let known = provider.schema();
                    table.check_planned(known, projection.as_deref(), planned)?;
                    scan.source = provider_as_source(provider);
                    Ok(Transformed::yes(LogicalPlan::TableScan(scan)))
                }
                None => Ok(Transformed::no(LogicalPlan::TableScan(scan))),
            },
            LogicalPlan::Dml(mut dml) => match statement.written(&dml.target) {
                Some(target) => {
                    dml.target = target;
                    Ok(Transformed::yes(LogicalPlan::Dml(dml)))
                }
                None => Ok(Transformed::no(LogicalPlan::Dml(dml))),
            },
            node => Ok(Transformed::no(node)),
        })?;
        Ok(plan.data)
    }
}

/// What all scans of one statement have in common.
struct Statement {
    pins: HashMap<String, Pin>,
    /// Those that a plan had before, and what takes their place.
    row_ids: Vec<(RowIds, RowIds)>,
    above: Above,
    writes: bool,
    /// The statement, where it may be run again: then others are newest.
    again: Option<Arc<LogicalPlan>>,
}

/// The statement that a plan runs, if it is one that writes.
fn written(plan: &LogicalPlan) -> Option<&LogicalPlan> {
    match plan {
        LogicalPlan::Analyze(analyze) => written(&analyze.input),
        LogicalPlan::Dml(_) => Some(plan),
        _ => None,
    }
}

impl Statement {
    /// The atio table that `source` reads, or whose changes, and the provider of the rows in this
    /// statement; None for all others.
    fn scanned(
        &mut self,
        source: &Arc<dyn TableSource>,
    ) -> Option<(AtioTable, Arc<dyn TableProvider>)> {
        if let Some(table) = self.read(source) {
            return Some((table.clone(), Arc::new(table)));
        }
        let provider = source_as_provider(source).ok()?;
        let changes = ChangesTable::downcast(provider.as_ref())?;
        let changes = changes.in_statement(self.pin(changes.table()), self.above);
        Some((changes.table().clone(), Arc::new(changes)))
    }

    /// The atio table behind `source` as this statement reads it; None for all others.
    fn read(&mut self, source: &Arc<dyn TableSource>) -> Option<AtioTable> {
        let provider = source_as_provider(source).ok()?;
        let table = AtioTable::downcast(provider.as_ref())?;
        let pinned = table.in_statement(self.pin(table), self.above);
        Some(match table.row_ids() {
            Some(row_ids) => pinned.with_row_ids(self.ids(row_ids)),
            None => pinned,
        })
    }

    /// The same of what it writes.
    fn written(&mut self, target: &Arc<dyn TableSource>) -> Option<Arc<dyn TableSource>> {
        if let Some(table) = self.read(target) {
            return Some(provider_as_source(Arc::new(table)));
        }
        let provider = source_as_provider(target).ok()?;
        // A plan that was analyzed before, as one that a program keeps.
        let target = ChangeTarget::downcast(provider.as_ref())?;
        let pin = self.pin(target.table());
        let target = target.in_statement(pin, self.above, self.ids(target.row_ids()));
        Some(provider_as_source(Arc::new(target)))
    }

    fn pin(&mut self, table: &AtioTable) -> Pin {
        let pin = self.pins.entry(table.location().to_owned());
        let pin = pin.or_insert_with(|| match self.writes {
            true => Pin::of_write(self.again.clone()),
            false => Pin::default(),
        });
        pin.clone()
    }

    /// What takes the place of `row_ids` in this statement, for the scan and for the target.
    fn ids(&mut self, row_ids: &RowIds) -> RowIds {
        let known = self.row_ids.iter().find(|(old, _)| old.is_same(row_ids));
        if let Some((_, new)) = known {
            return new.clone();
        }
        let new = row_ids.anew();
        self.row_ids.push((row_ids.clone(), new.clone()));
        new
    }
}
