//! The table functions: their names, parameters and rights.

use super::arguments::Arguments;
use super::policy::Access;
use crate::error::Result;
use crate::function_table::Call;

/// The functions that `register` adds to a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Function {
    Table,
    Changes,
    History,
    Files,
    Expire,
    Compact,
    Tags,
    Sources,
    Stats,
    Check,
    Repair,
    Tag,
    Untag,
    Rollback,
}

impl Function {
    pub(super) const ALL: [Self; 14] = [
        Self::Table,
        Self::Changes,
        Self::History,
        Self::Files,
        Self::Expire,
        Self::Compact,
        Self::Tags,
        Self::Sources,
        Self::Stats,
        Self::Check,
        Self::Repair,
        Self::Tag,
        Self::Untag,
        Self::Rollback,
    ];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Table => "atio_table",
            Self::Changes => "atio_changes",
            Self::History => "atio_history",
            Self::Files => "atio_files",
            Self::Expire => "expire_snapshots",
            Self::Compact => "atio_compact",
            Self::Tags => "atio_tags",
            Self::Sources => "atio_sources",
            Self::Stats => "atio_stats",
            Self::Check => "atio_check",
            Self::Repair => "atio_repair",
            Self::Tag => "atio_tag",
            Self::Untag => "atio_untag",
            Self::Rollback => "atio_rollback",
        }
    }

    /// The parameters, in the order of positional arguments.
    pub(super) fn parameters(self) -> &'static [&'static str] {
        match self {
            Self::Table => &["table", "version", "as_of", "tag"],
            Self::Changes => &["table", "from", "to", "since", "key", "net"],
            Self::History | Self::Tags | Self::Sources | Self::Stats => &["table"],
            Self::Files => &["table", "version"],
            Self::Expire => &["table", "keep_for", "retain_last", "dry_run", "orphan_age"],
            Self::Compact => &["table", "target_file_size", "where", "order_by", "dry_run"],
            Self::Check => &["table", "deep"],
            Self::Repair => &["table", "dry_run"],
            Self::Tag => &["table", "tag", "version", "message", "replace"],
            Self::Untag => &["table", "tag"],
            Self::Rollback => &["table", "version", "tag"],
        }
    }

    /// True if the call is about the newest version, which must then be whole; all others
    /// also work where only an older version is.
    pub(super) fn needs_newest(self, arguments: &Arguments) -> bool {
        let selects = |name| arguments.has(name);
        match self {
            Self::Table => !["version", "as_of", "tag"].into_iter().any(selects),
            Self::Changes => !selects("to"),
            Self::Compact => true,
            _ => false,
        }
    }

    /// What a call does to the table, once its rows are asked for.
    pub(super) fn access(self, arguments: &Arguments) -> Result<Access> {
        match self {
            Self::Expire | Self::Compact | Self::Repair if !arguments.flag("dry_run", true)? => {
                Ok(Access::Write)
            }
            Self::Tag | Self::Untag | Self::Rollback => Ok(Access::Write),
            _ => Ok(Access::Read),
        }
    }

    /// The same, for who runs it.
    pub(super) fn call(self, arguments: &Arguments) -> Result<Call> {
        let name = self.name();
        Ok(match self.access(arguments)? {
            Access::Read => Call::reading(name),
            Access::Write | Access::Create => Call::writing(name),
        })
    }
}
