//! `CREATE EXTERNAL TABLE .. STORED AS` a database whose feature this build leaves out.
//!
//! Without it the engine says that it finds no factory, which tells nobody what to do.

use std::sync::Arc;

use async_trait::async_trait;
use datafusion::catalog::{Session, TableProvider, TableProviderFactory};
use datafusion::error::Result;
use datafusion::logical_expr::CreateExternalTable;

use crate::features::{DATABASES, needs};

/// What opens tables of databases where nothing better does, by its name in `STORED AS`.
pub(super) fn factories() -> impl Iterator<Item = (String, Arc<dyn TableProviderFactory>)> {
    DATABASES.into_iter().map(|feature| {
        let factory: Arc<dyn TableProviderFactory> = Arc::new(LeftOut(feature));
        (feature.to_uppercase(), factory)
    })
}

/// Opens nothing, and names the feature that would.
#[derive(Debug)]
struct LeftOut(&'static str);

#[async_trait]
impl TableProviderFactory for LeftOut {
    async fn create(
        &self,
        _: &dyn Session,
        cmd: &CreateExternalTable,
    ) -> Result<Arc<dyn TableProvider>> {
        let what = format!("table '{}', STORED AS {},", cmd.name, self.0.to_uppercase());
        Err(needs(&what, self.0).into())
    }
}

#[cfg(test)]
mod tests {
    use datafusion::prelude::SessionContext;

    use super::*;

    #[tokio::test]
    async fn table_of_a_database_that_is_left_out_names_its_feature() {
        let ctx = SessionContext::new();
        ctx.state_ref()
            .write()
            .table_factories_mut()
            .extend(factories());
        let error = ctx
            .sql("CREATE EXTERNAL TABLE t STORED AS MYSQL LOCATION 'shop/t'")
            .await
            .unwrap_err();
        assert!(
            error.to_string().contains(
                "table 't', STORED AS MYSQL, needs the feature 'mysql' of the crate atio"
            ),
            "{error}"
        );
    }
}
