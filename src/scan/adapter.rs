//! Columns of a file found by field id, not by name.

use std::collections::HashMap;
use std::sync::Arc;

use atio_core::format::TableSchema;
use atio_core::format::schema::{FIELD_ID, PANDAS, SchemaField};
use datafusion::arrow::datatypes::{Field, Schema, SchemaRef};
use datafusion::common::Result;
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode};
use datafusion::physical_expr::expressions::Column;
use datafusion::physical_expr_adapter::{
    DefaultPhysicalExprAdapterFactory, PhysicalExprAdapter, PhysicalExprAdapterFactory,
};
use datafusion::physical_plan::PhysicalExpr;

use super::row_ids::is_row_id;

/// Maps the columns of a table version to those of a file.
///
/// A file column is the table column of the same field id, whatever either is called; a
/// file without ids (Python wrote it) is mapped by the names it was written with. The rest,
/// casts and columns that the file lacks, is left to DataFusion.
#[derive(Debug)]
pub(super) struct FieldIdAdapterFactory {
    schema: Arc<TableSchema>,
    /// Where the column of each field id is.
    by_id: HashMap<i32, usize>,
    /// Where the column of each name is that files without ids have.
    by_name: HashMap<String, usize>,
    has_legacy_names: bool,
}

impl FieldIdAdapterFactory {
    pub(super) fn new(schema: Arc<TableSchema>) -> Self {
        let fields = || schema.fields.iter().enumerate();
        let name = |field: &SchemaField| field.legacy_name.as_ref().unwrap_or(&field.name).clone();
        Self {
            by_id: fields().map(|(at, field)| (field.id, at)).collect(),
            by_name: fields().map(|(at, field)| (name(field), at)).collect(),
            has_legacy_names: schema.has_legacy_names(),
            schema,
        }
    }

    /// The table's name for each column of a file; None for a column that it has not.
    fn names<'a>(&'a self, file: &'a Schema) -> Vec<Option<&'a str>> {
        let id = |field: &Field| {
            field
                .metadata()
                .get(FIELD_ID)
                .and_then(|id| id.parse::<i32>().ok())
        };
        // Ids that some library put into a file of Python's are not this table's.
        let python = file.metadata().contains_key(PANDAS);
        let with_ids = !python && file.fields().iter().any(|field| id(field).is_some());
        let names = file.fields().iter().map(|file| {
            if is_row_id(file.name()) {
                // The reader makes it, and no file has it.
                return Some(file.name().as_str());
            }
            let at = match with_ids {
                true => self.by_id.get(&id(file)?),
                false => self.by_name.get(file.name()),
            };
            Some(self.schema.fields[*at?].name.as_str())
        });
        names.collect()
    }
}

impl PhysicalExprAdapterFactory for FieldIdAdapterFactory {
    fn create(&self, table: SchemaRef, file: SchemaRef) -> Result<Arc<dyn PhysicalExprAdapter>> {
        if !self.has_legacy_names && table.fields() == file.fields() {
            return DefaultPhysicalExprAdapterFactory.create(table, file);
        }
        let names = self.names(&file);
        let renamed = file
            .fields()
            .iter()
            .zip(&names)
            .enumerate()
            .map(|(i, (field, name))| {
                // A name that no table has hides a column that is not the table's.
                let name = name.map_or_else(|| format!("\0{i}"), str::to_owned);
                Field::new(name, field.data_type().clone(), field.is_nullable())
            });
        let renamed: SchemaRef = Arc::new(Schema::new(renamed.collect::<Vec<_>>()));
        let same = names
            .iter()
            .zip(file.fields())
            .all(|(name, field)| *name == Some(field.name().as_str()));
        let inner = DefaultPhysicalExprAdapterFactory.create(table, renamed)?;
        if same {
            return Ok(inner);
        }
        Ok(Arc::new(FieldIdAdapter { inner, file }))
    }
}

#[derive(Debug)]
struct FieldIdAdapter {
    inner: Arc<dyn PhysicalExprAdapter>,
    file: SchemaRef,
}

impl PhysicalExprAdapter for FieldIdAdapter {
    fn rewrite(&self, expr: Arc<dyn PhysicalExpr>) -> Result<Arc<dyn PhysicalExpr>> {
        let rewritten = self.inner.rewrite(expr)?;
        let rewritten = rewritten.transform_up(|expr| {
            let Some(column) = expr.downcast_ref::<Column>() else {
                return Ok(Transformed::no(expr));
            };
            let name = self.file.field(column.index()).name();
            Ok(Transformed::yes(
                Arc::new(Column::new(name, column.index())) as _,
            ))
        });
        rewritten.data()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use atio_core::format::schema::FieldIds;
    use datafusion::arrow::datatypes::DataType;
    use datafusion::physical_expr::expressions::{Literal, col};

    fn table(names: &[&str]) -> (Arc<TableSchema>, SchemaRef) {
        let fields: Vec<_> = names
            .iter()
            .map(|name| Field::new(*name, DataType::Int64, true))
            .collect();
        let arrow = Arc::new(Schema::new(fields));
        let schema = TableSchema::from_arrow(1, &arrow, &mut FieldIds { next: 1 }).unwrap();
        (Arc::new(schema), arrow)
    }

    fn file(columns: &[(&str, Option<i32>)]) -> SchemaRef {
        let fields = columns.iter().map(|(name, id)| {
            let metadata = id.map(|id| (FIELD_ID.to_owned(), id.to_string()));
            Field::new(*name, DataType::Int64, true).with_metadata(HashMap::from_iter(metadata))
        });
        Arc::new(Schema::new(fields.collect::<Vec<_>>()))
    }

    fn rewrite(
        schema: &Arc<TableSchema>,
        arrow: &SchemaRef,
        file: &SchemaRef,
        name: &str,
    ) -> Arc<dyn PhysicalExpr> {
        let factory = FieldIdAdapterFactory::new(Arc::clone(schema));
        let adapter = factory.create(Arc::clone(arrow), Arc::clone(file)).unwrap();
        adapter.rewrite(col(name, arrow).unwrap()).unwrap()
    }

    #[test]
    fn a_column_is_found_by_id_whatever_it_is_called_in_the_file() {
        let (schema, arrow) = table(&["a", "b"]);
        let file = file(&[("b", Some(1)), ("a", Some(2))]);
        assert_eq!(rewrite(&schema, &arrow, &file, "a").to_string(), "b@0");
        assert_eq!(rewrite(&schema, &arrow, &file, "b").to_string(), "a@1");
    }

    #[test]
    fn a_column_that_was_dropped_and_added_again_is_another() {
        let (schema, arrow) = table(&["a", "b"]);
        let file = file(&[("a", Some(7)), ("b", Some(2))]);
        let read = rewrite(&schema, &arrow, &file, "a");
        assert!(
            read.downcast_ref::<Literal>()
                .is_some_and(|literal| literal.value().is_null())
        );
    }

    #[test]
    fn a_file_without_ids_is_mapped_by_its_old_names() {
        let (schema, arrow) = table(&["new", "b"]);
        let mut schema = Arc::unwrap_or_clone(schema);
        schema.fields[0].legacy_name = Some("old".into());
        let file = file(&[("b", None), ("old", None)]);
        assert_eq!(
            rewrite(&Arc::new(schema), &arrow, &file, "new").to_string(),
            "old@1"
        );
    }
}
