//! MERGE from Rust: rows of a source into a table, by its keys or by any condition.

use atio_core::log::CommitOptions;
use datafusion::dataframe::DataFrame;
use datafusion::logical_expr::Expr;
use datafusion::logical_expr::dml::MergeIntoClauseKind::{self, Matched, NotMatched};

use super::changes::{self, RowsChanged, named};
use super::clause::{Action, Clause, On, statement};
use crate::error::Result;
use crate::table::AtioTable;

impl AtioTable {
    /// Begins to merge rows into the table: rows that match one of the table update or delete it,
    /// the others are inserted. What `MERGE INTO` is in SQL. Nothing is done before
    /// [`execute`](Merge::execute), and all of it is one version then.
    ///
    /// An *upsert* matches by a key:
    ///
    /// ```
    /// # use datafusion::prelude::SessionContext;
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let directory = tempfile::tempdir()?;
    /// # let stock = directory.path().join("stock");
    /// # let location = stock.to_str().unwrap_or_default();
    /// use atio::{AtioTable, CommitOptions, CreateOptions};
    /// use datafusion::prelude::{col, lit};
    ///
    /// # let ctx = SessionContext::new();
    /// # let rows = ctx.sql("SELECT * FROM (VALUES ('tea', 10), ('milk', 0)) AS v(item, pieces)").await?;
    /// # let table = AtioTable::create(&ctx, location, rows.schema().as_arrow(), CreateOptions::default()).await?;
    /// # table.append(rows, CommitOptions::default()).await?;
    /// let counted = ctx.sql("SELECT * FROM (VALUES ('tea', 7), ('jam', 8)) AS v(item, pieces)").await?;
    /// let upsert = table.merge(counted).on(["item"]).update_all().insert_all();
    /// let changed = upsert.execute(CommitOptions::default()).await?;
    /// assert_eq!((changed.updated, changed.inserted), (1, 1));
    ///
    /// // Columns of the table are `target.`, those of the rows `source.`.
    /// let delivery = ctx.sql("SELECT 'tea' AS item, 5 AS delivered").await?;
    /// let merge = table
    ///     .merge(delivery)
    ///     .on(["item"])
    ///     .when_matched_update(None, [("pieces", col("target.pieces") + col("source.delivered"))])
    ///     .when_not_matched_by_source_delete(col("target.pieces").eq(lit(0)));
    /// let changed = merge.execute(CommitOptions::default()).await?;
    /// assert_eq!((changed.updated, changed.deleted), (1, 1));
    /// # Ok(())
    /// # }
    /// ```
    pub fn merge(&self, rows: DataFrame) -> Merge {
        Merge {
            table: self.clone(),
            rows,
            on: Vec::new(),
            clauses: Vec::new(),
        }
    }
}

/// Rows that are about to be merged into a table; [`AtioTable::merge`] makes it.
///
/// It needs to know which rows match, by [`on`](Self::on) or [`on_condition`](Self::on_condition),
/// and at least one clause. Of several clauses of a kind each row is taken by the first whose
/// condition is true; a row that none takes stays as it is, or is left out.
///
/// In conditions and values the columns of the table are called `target.`, and those of the rows
/// `source.`; a name that only one of them has needs no more. Values are cast to the type of their
/// column.
///
/// ```
/// use datafusion::prelude::{col, lit};
///
/// fn keep_what_is_newer(merge: atio::Merge) -> atio::Merge {
///     merge
///         .on(["id"])
///         .when_matched_delete(col("source.gone"))
///         .when_matched_update_all(col("source.at").gt(col("target.at")))
///         .when_not_matched_insert_all(None)
/// }
/// ```
#[derive(Debug, Clone)]
#[must_use = "nothing is merged before `execute`"]
pub struct Merge {
    table: AtioTable,
    rows: DataFrame,
    on: Vec<On>,
    clauses: Vec<Clause>,
}

impl Merge {
    /// Rows match if they have the same values in these columns, which both have. NULL is the same as
    /// no other value: a row with NULL in a key matches none.
    ///
    /// Of the rows that are inserted no two may have the same key.
    ///
    /// ```
    /// # fn build(merge: atio::Merge) -> atio::Merge {
    /// merge.on(["country", "city"]).update_all().insert_all()
    /// # }
    /// ```
    pub fn on<C: Into<String>>(mut self, keys: impl IntoIterator<Item = C>) -> Self {
        let keys = keys.into_iter().map(Into::into);
        self.on.push(On::Keys(keys.collect()));
        self
    }

    /// Rows match if this is true, in place of [`on`](Self::on). As in SQL, rows that match none may
    /// be alike.
    ///
    /// ```
    /// # use datafusion::prelude::col;
    /// # fn build(merge: atio::Merge) -> atio::Merge {
    /// merge.on_condition(col("target.id").eq(col("source.old_id"))).when_matched_delete(None)
    /// # }
    /// ```
    pub fn on_condition(mut self, condition: Expr) -> Self {
        self.on.push(On::Condition(condition));
        self
    }

    /// Rows that match take all values that the source has for them: short for
    /// [`when_matched_update_all`](Self::when_matched_update_all) without a condition.
    ///
    /// ```
    /// # fn build(merge: atio::Merge) -> atio::Merge {
    /// merge.on(["id"]).update_all()
    /// # }
    /// ```
    pub fn update_all(self) -> Self {
        self.when_matched_update_all(None)
    }

    /// Rows that match none are inserted: short for
    /// [`when_not_matched_insert_all`](Self::when_not_matched_insert_all) without a condition.
    ///
    /// ```
    /// # fn build(merge: atio::Merge) -> atio::Merge {
    /// merge.on(["id"]).insert_all()
    /// # }
    /// ```
    pub fn insert_all(self) -> Self {
        self.when_not_matched_insert_all(None)
    }

    /// Gives columns of a row that matches new values.
    ///
    /// ```
    /// # use datafusion::prelude::col;
    /// # fn build(merge: atio::Merge) -> atio::Merge {
    /// let sum = col("target.pieces") + col("source.pieces");
    /// merge.on(["item"]).when_matched_update(None, [("pieces", sum)])
    /// # }
    /// ```
    pub fn when_matched_update<C: Into<String>>(
        self,
        condition: impl Into<Option<Expr>>,
        assignments: impl IntoIterator<Item = (C, Expr)>,
    ) -> Self {
        self.clause(Matched, condition, Action::Update(named(assignments)))
    }

    /// Gives a row that matches the values of all columns that the source has, found by their names
    /// as by [`AtioTable::append`]; the others, and the keys of [`on`](Self::on), stay.
    ///
    /// ```
    /// # use datafusion::prelude::col;
    /// # fn build(merge: atio::Merge) -> atio::Merge {
    /// merge.on(["id"]).when_matched_update_all(col("source.at").gt(col("target.at")))
    /// # }
    /// ```
    pub fn when_matched_update_all(self, condition: impl Into<Option<Expr>>) -> Self {
        self.clause(Matched, condition, Action::UpdateAll)
    }

    /// Removes a row that matches.
    ///
    /// ```
    /// # use datafusion::prelude::col;
    /// # fn build(merge: atio::Merge) -> atio::Merge {
    /// merge.on(["id"]).when_matched_delete(col("source.gone")).update_all()
    /// # }
    /// ```
    pub fn when_matched_delete(self, condition: impl Into<Option<Expr>>) -> Self {
        self.clause(Matched, condition, Action::Delete)
    }

    /// Inserts a row with these values in place of one of the source that matches none; columns that
    /// are not given are NULL.
    ///
    /// ```
    /// # use datafusion::prelude::{col, lit};
    /// # fn build(merge: atio::Merge) -> atio::Merge {
    /// merge.on(["item"]).when_not_matched_insert(None, [("item", col("source.item")), ("pieces", lit(0))])
    /// # }
    /// ```
    pub fn when_not_matched_insert<C: Into<String>>(
        self,
        condition: impl Into<Option<Expr>>,
        values: impl IntoIterator<Item = (C, Expr)>,
    ) -> Self {
        self.clause(NotMatched, condition, Action::Insert(named(values)))
    }

    /// Inserts a row of the source that matches none, with columns found by their names as by
    /// [`AtioTable::append`]; those that the source has not are NULL.
    ///
    /// ```
    /// # use datafusion::prelude::{col, lit};
    /// # fn build(merge: atio::Merge) -> atio::Merge {
    /// merge.on(["id"]).when_not_matched_insert_all(col("source.pieces").gt(lit(0)))
    /// # }
    /// ```
    pub fn when_not_matched_insert_all(self, condition: impl Into<Option<Expr>>) -> Self {
        self.clause(NotMatched, condition, Action::InsertAll)
    }

    /// Gives columns of a row of the table that no row of the source matches new values.
    ///
    /// ```
    /// # use datafusion::prelude::lit;
    /// # fn build(merge: atio::Merge) -> atio::Merge {
    /// merge.on(["id"]).when_not_matched_by_source_update(None, [("current", lit(false))])
    /// # }
    /// ```
    pub fn when_not_matched_by_source_update<C: Into<String>>(
        self,
        condition: impl Into<Option<Expr>>,
        assignments: impl IntoIterator<Item = (C, Expr)>,
    ) -> Self {
        let update = Action::Update(named(assignments));
        self.clause(MergeIntoClauseKind::NotMatchedBySource, condition, update)
    }

    /// Removes a row of the table that no row of the source matches.
    ///
    /// ```
    /// # fn build(merge: atio::Merge) -> atio::Merge {
    /// // Afterwards the table has the rows of the source.
    /// merge.on(["id"]).update_all().insert_all().when_not_matched_by_source_delete(None)
    /// # }
    /// ```
    pub fn when_not_matched_by_source_delete(self, condition: impl Into<Option<Expr>>) -> Self {
        let by_source = MergeIntoClauseKind::NotMatchedBySource;
        self.clause(by_source, condition, Action::Delete)
    }

    fn clause(
        mut self,
        kind: MergeIntoClauseKind,
        condition: impl Into<Option<Expr>>,
        action: Action,
    ) -> Self {
        let condition = condition.into();
        self.clauses.push(Clause {
            kind,
            condition,
            action,
        });
        self
    }

    /// Merges the rows, as one version. Where no row is to be changed it makes none.
    ///
    /// ```
    /// # async fn run(merge: atio::Merge) -> atio::Result<()> {
    /// let changed = merge.execute(atio::CommitOptions::default()).await?;
    /// println!("{} inserted, {} updated", changed.inserted, changed.updated);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// Those of [`AtioTable::delete`], and whatever the query of the rows fails with. Nothing is
    /// changed then. [`InvalidInput`](crate::ErrorKind::InvalidInput) besides if
    ///
    /// * there is no clause, or one that is never reached, or it is not said once which rows match;
    /// * a column does not exist, is given twice, or has values of another type: cast them first;
    /// * several rows of the source would change one row of the table, or would be inserted and have
    ///   the same key;
    /// * a column is NOT NULL and a row would hold NULL there.
    pub async fn execute(self, commit: CommitOptions) -> Result<RowsChanged> {
        let Self {
            table,
            rows,
            on,
            clauses,
        } = self;
        let columns = table.columns_to_write().await?;
        let (state, source) = rows.into_parts();
        let plan = statement(&table, &columns, source, (on, clauses))?;
        changes::run(&table, state, Ok(plan), commit).await
    }
}
