//! A statement that lost to another one, run again.
//!
//! Its plan cannot be: which files a scan reads, and what was folded to a number, are those of the
//! version that it was planned on. So the statement is planned anew, as one that runs for the first
//! time, and all that is left of the attempt before is its error.

use std::sync::Arc;
use std::time::{Duration, Instant};

use atio_core::log::{CommitOptions, pause};
use datafusion::common::Result;
use datafusion::error::DataFusionError;
use datafusion::execution::{SessionState, TaskContext};
use datafusion::logical_expr::LogicalPlan;
use datafusion::physical_plan::collect;

use super::rows_written::rows_written;
use super::target::WriteTarget;
use crate::error::{self, Error, ErrorKind, Result as AtioResult};
use crate::function_table::writing_function;
use crate::settings::CommitSettings;

/// How a statement is run again.
pub(super) struct Retries<'a> {
    target: &'a WriteTarget,
    session: &'a SessionState,
    statement: &'a Arc<LogicalPlan>,
    /// Of each attempt alone, which is not run again by itself.
    options: CommitOptions,
    most: u32,
}

impl<'a> Retries<'a> {
    /// None if the options ask for none. Fails if the statement cannot be planned anew.
    pub(super) fn of(target: &'a WriteTarget, options: &CommitOptions) -> AtioResult<Option<Self>> {
        if options.retries == 0 {
            return Ok(None);
        }
        let planned = target.planned.as_ref();
        let known = planned.and_then(|planned| {
            let statement = planned.statement.as_ref()?;
            Some((&planned.session, statement))
        });
        let Some((session, statement)) = known else {
            return Err(Error::invalid(format!(
                "this write to '{}' cannot be run again: atio.retries is for statements that are planned after it was set, in a session with atio; nothing was written",
                target.table.name()
            )));
        };
        if let Some(name) = writing_function(statement) {
            return Err(Error::invalid(format!(
                "this statement calls {name}, which would be done again: leave out atio.retries; nothing was written"
            )));
        }
        Ok(Some(Self {
            target,
            session,
            statement,
            options: CommitOptions {
                retries: 0,
                ..options.clone()
            },
            most: options.retries,
        }))
    }

    /// Runs the statement again while it ends with a conflict, the first attempt, which took so long,
    /// with `first`. Between two it pauses, as the attempts of a commit do.
    pub(super) async fn after(
        &self,
        first: DataFusionError,
        mut took: Duration,
        context: &TaskContext,
    ) -> Result<u64> {
        let mut ended = Err(first);
        for retry in 1..=self.most {
            let Err(conflict) = ended else { return ended };
            if !self.may_run_again(&conflict).await {
                return Err(conflict);
            }
            log::debug!(
                "'{}': run again, {retry} of {} times: {conflict}",
                self.target.table.name(),
                self.most
            );
            pause(retry, took).await;
            let began = Instant::now();
            ended = Box::pin(self.run(context)).await;
            took = began.elapsed();
        }
        ended.map_err(|error| match is_conflict(&error) {
            true => {
                let times = match self.most {
                    1 => "1 retry".to_owned(),
                    most => format!("{most} retries"),
                };
                error::of_datafusion_in(&format!("after {times}"), error).into()
            }
            false => error,
        })
    }

    /// True if `error` says for certain that nothing was committed, to the table that is still
    /// there.
    async fn may_run_again(&self, error: &DataFusionError) -> bool {
        let WriteTarget { table, base, .. } = self.target;
        is_conflict(error)
            && match table.newest().await {
                Ok(newest) => newest.table == base.table || base.python.is_some(),
                Err(_) => false,
            }
    }

    async fn run(&self, context: &TaskContext) -> Result<u64> {
        let settings = CommitSettings::new(self.options.clone())?;
        let mut session = self.session.clone();
        settings.clone().install(session.config_mut());
        let mut config = context.session_config().clone();
        settings.install(&mut config);
        let plan = session.create_physical_plan(self.statement).await?;
        let context = TaskContext::from(&session)
            .with_session_config(config)
            .with_runtime(context.runtime_env());
        Ok(rows_written(&collect(plan, Arc::new(context)).await?))
    }
}

fn is_conflict(error: &DataFusionError) -> bool {
    Error::find(error).is_some_and(|error| error.kind() == ErrorKind::Conflict)
}
