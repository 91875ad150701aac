//! CREATE OR REPLACE TABLE of a table that is there.

use super::managed::Warehouse;
use super::new_rows::{NewRows, Rows, take_options};
use super::policy::Access;
use crate::error::{Error, Result};

impl Warehouse {
    /// Puts columns and rows in the place of those of a table, in one version.
    pub(super) async fn replace_table(
        &self,
        schema: &str,
        name: &str,
        rows: NewRows,
    ) -> Result<()> {
        self.check(&self.place(schema, name), Access::Create)?;
        let table = self.open(schema, name).await?;
        let (Rows::Query(query) | Rows::None(query)) = rows.rows else {
            return Err(Error::unsupported(format!(
                "table '{name}' is not replaced by rows in memory: use INSERT OVERWRITE"
            )));
        };
        let commit = take_options(&query)?;
        table
            .overwrite_with(*query, Some(rows.schema), commit)
            .await
            .map(drop)
    }
}
