//! What `\h` and completion know of functions.
//!
//! atio's table functions take named arguments, which DataFusion plans by another way than
//! functions in its catalog; so its catalog does not list them.

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

/// The statement that lists all functions.
pub(crate) fn list() -> String {
    format!(
        "SELECT function, type, syntax FROM ({}) ORDER BY 1, 2",
        all()
    )
}

/// The statement that describes the function called `name`.
pub(crate) fn describe(name: &str) -> String {
    let name = literal(&name.to_lowercase());
    format!(
        "SELECT syntax, type, description FROM ({}) WHERE function = {name}",
        all()
    )
}

fn all() -> String {
    let ours = ATIO.iter().map(|function| {
        let Function {
            name,
            syntax,
            description,
        } = function;
        format!(
            "({}, 'TABLE', {}, {})",
            literal(name),
            literal(syntax),
            literal(description)
        )
    });
    format!(
        "SELECT DISTINCT routine_name AS function, function_type AS type, \
         syntax_example AS syntax, description FROM information_schema.routines \
         UNION ALL VALUES {}",
        ours.collect::<Vec<_>>().join(", ")
    )
}

/// The text as a string of SQL, in every dialect in which a backslash is only a backslash.
pub(crate) fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}
