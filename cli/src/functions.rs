//! What `\h` and completion know of functions.
//!
//! atio's table functions take named arguments, which DataFusion plans by another way than
//! functions in its catalog; so its catalog does not list them.

use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, RecordBatch, StringArray};
use datafusion::dataframe::DataFrame;
use datafusion::error::Result;
use datafusion::prelude::{SessionContext, col, lit};

/// A table function of atio.
struct Function {
    name: &'static str,
    syntax: &'static str,
    description: &'static str,
}

const ATIO: &[Function] = &[
    Function {
        name: "atio_table",
        syntax: "atio_table(table [, version => n | as_of => timestamp | tag => name])",
        description: "Returns the rows of a table, as they were at a version, a time or a tag.",
    },
    Function {
        name: "atio_changes",
        syntax: "atio_changes(table [, from => n | tag | since => timestamp] [, to => n | tag] [, key => names] \
                 [, net => boolean])",
        description: "Returns the rows that came and went between two versions of a table.",
    },
    Function {
        name: "atio_history",
        syntax: "atio_history(table)",
        description: "Returns the versions of a table.",
    },
    Function {
        name: "atio_files",
        syntax: "atio_files(table [, version => n])",
        description: "Returns the data files of a version.",
    },
    Function {
        name: "expire_snapshots",
        syntax: "expire_snapshots(table [, keep_for => interval] [, retain_last => n] \
                 [, dry_run => boolean] [, orphan_age => interval])",
        description: "Removes old versions and the files that only they need; \
                      a dry run, unless dry_run is false, removes nothing.",
    },
    Function {
        name: "atio_compact",
        syntax: "atio_compact(table [, target_file_size => bytes] [, where => condition] \
                 [, order_by => columns] [, dry_run => boolean])",
        description: "Writes the rows of small, large and worn files into files of the right size; \
                      a dry run, unless dry_run is false, writes nothing.",
    },
    Function {
        name: "atio_tags",
        syntax: "atio_tags(table)",
        description: "Returns the tags of a table.",
    },
    Function {
        name: "atio_sources",
        syntax: "atio_sources(table)",
        description: "Returns how far the sources of a table were taken over.",
    },
    Function {
        name: "atio_stats",
        syntax: "atio_stats(table)",
        description: "Returns one row: how many rows, files, versions and tags a table has, \
                      and what an expiry would remove.",
    },
    Function {
        name: "atio_check",
        syntax: "atio_check(table [, deep => boolean])",
        description: "Returns what is wrong with the objects of a table, and what to do; \
                      deep reads all data files and deletion vectors.",
    },
    Function {
        name: "atio_repair",
        syntax: "atio_repair(table [, dry_run => boolean])",
        description: "Mends pointer, marker and numbers whose records are lost; \
                      a dry run, unless dry_run is false, changes nothing.",
    },
    Function {
        name: "atio_tag",
        syntax: "atio_tag(table, tag => name [, version => n] [, message => text] \
                 [, replace => boolean])",
        description: "Names a version, the newest unless it is given; it never expires then.",
    },
    Function {
        name: "atio_untag",
        syntax: "atio_untag(table, tag => name)",
        description: "Removes a tag.",
    },
    Function {
        name: "atio_rollback",
        syntax: "atio_rollback(table, version => n | tag => name)",
        description: "Makes a new version with the rows of an older one; history is kept.",
    },
    Function {
        name: "atio_restore",
        syntax: "atio_restore(path)",
        description: "Puts back the file or directory that a COPY with 'atio.backup' replaced.",
    },
    Function {
        name: "atio_clean",
        syntax: "atio_clean(directory [, dry_run => boolean])",
        description: "Removes what writers of files that died have left in a directory.",
    },
    Function {
        name: "atio_dropped",
        syntax: "atio_dropped()",
        description: "Returns the tables that were dropped from the warehouse and can come back.",
    },
    Function {
        name: "atio_undrop",
        syntax: "atio_undrop(table [, id => text] [, new_name => text])",
        description: "Brings back a dropped table, the one that was dropped last \
                      unless id says which.",
    },
    Function {
        name: "atio_purge",
        syntax: "atio_purge(table [, id => text] [, dry_run => boolean])",
        description: "Deletes dropped tables of a name for good; \
                      a dry run, unless dry_run is false, deletes nothing.",
    },
];

/// Names of atio's table functions.
pub(crate) fn names() -> impl Iterator<Item = &'static str> {
    ATIO.iter().map(|function| function.name)
}

/// All functions, with how they are called.
pub(crate) async fn list(ctx: &SessionContext) -> Result<DataFrame> {
    let all = all(ctx).await?;
    all.select_columns(&["function", "type", "syntax"])?
        .sort_by(vec![col("function"), col("type")])
}

/// The functions called `name`, with what they do.
pub(crate) async fn describe(ctx: &SessionContext, name: &str) -> Result<DataFrame> {
    let named = col("function").eq(lit(name.to_lowercase()));
    let all = all(ctx).await?;
    all.filter(named)?
        .select_columns(&["syntax", "type", "description"])
}

async fn all(ctx: &SessionContext) -> Result<DataFrame> {
    let routines = ctx.table("information_schema.routines").await?;
    let known = routines.select(vec![
        col("routine_name").alias("function"),
        col("function_type").alias("type"),
        col("syntax_example").alias("syntax"),
        col("description"),
    ])?;
    let text = |of: fn(&Function) -> &'static str| -> ArrayRef {
        Arc::new(
            ATIO.iter()
                .map(|function| Some(of(function)))
                .collect::<StringArray>(),
        )
    };
    let ours = RecordBatch::try_from_iter_with_nullable([
        ("function", text(|function| function.name), true),
        ("type", text(|_| "TABLE"), true),
        ("syntax", text(|function| function.syntax), true),
        ("description", text(|function| function.description), true),
    ])?;
    known.distinct()?.union(ctx.read_batch(ours)?)
}
