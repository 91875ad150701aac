//! `SET atio.message` and its like: what describes one commit, and is used up by it.

use std::any::Any;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use atio_core::format::Isolation;
use atio_core::log::CommitOptions;
use datafusion::config::{ConfigEntry, ConfigExtension, ConfigOptions, ExtensionOptions};
use datafusion::error::Result;
use datafusion::prelude::SessionConfig;

use crate::condition::sql_check;
use crate::delete_mode::DeleteMode;
use crate::error::{Error, ErrorKind, Result as AtioResult};
use crate::spelling::is_close;

const PREFIX: &str = "atio";
const MESSAGE: &str = "message";
const KEY: &str = "idempotency_key";
const PROPERTIES: &str = "properties.";
const CHECKS: &str = "checks.";
const EVERY_ROWS: &str = "commit_every_rows";
const EVERY_BYTES: &str = "commit_every_bytes";
const RETRIES: &str = "retries";
const ISOLATION: &str = "isolation";
const DELETE_MODE: &str = "delete_mode";
/// The names as messages show them.
const NAMES: [&str; 9] = [
    MESSAGE,
    KEY,
    "properties.<name>",
    EVERY_ROWS,
    EVERY_BYTES,
    RETRIES,
    "checks.<name>",
    ISOLATION,
    DELETE_MODE,
];

/// The settings of a session that describe its next commit.
///
/// All copies of a session's configuration share them, although DataFusion would rather have
/// each copy on its own: a statement runs with a copy, and must use them up for all. A key
/// that stayed would make the statement after the next one do nothing.
#[derive(Debug, Clone, Default)]
pub(crate) struct CommitSettings {
    next: Arc<Mutex<CommitOptions>>,
    /// Of all commits of the session: each copy has its own, as of every other setting.
    isolation: Isolation,
    /// The same; None leaves it to the table.
    delete_mode: Option<DeleteMode>,
    /// Whoever runs with them may only read.
    only_reads: bool,
}

impl CommitSettings {
    /// Settings of their own, shared with no other session.
    pub(crate) fn new(options: CommitOptions) -> AtioResult<Self> {
        options.check()?;
        Ok(Self {
            next: Arc::new(Mutex::new(options)),
            ..Self::default()
        })
    }

    /// Settings of one who may only read.
    pub(crate) fn of_reader() -> Self {
        Self {
            only_reads: true,
            ..Self::default()
        }
    }

    /// Fails if who runs with `config` may only read.
    pub(crate) fn check_may_write(config: &SessionConfig) -> AtioResult<()> {
        let settings = config.options().extensions.get::<Self>();
        match settings.is_some_and(|settings| settings.only_reads) {
            false => Ok(()),
            true => Err(Error::new(
                ErrorKind::NotAllowed,
                "a check may only read: nothing is written, deleted or named in it",
            )),
        }
    }

    /// How the statements that run with `config` are kept apart.
    pub(crate) fn isolation(config: &SessionConfig) -> Isolation {
        let settings = config.options().extensions.get::<Self>();
        settings.map_or_else(Isolation::default, |settings| settings.isolation)
    }

    /// How rows go in the statements that run with `config`; None leaves it to the table.
    pub(crate) fn delete_mode(config: &SessionConfig) -> Option<DeleteMode> {
        let settings = config.options().extensions.get::<Self>();
        settings.and_then(|settings| settings.delete_mode)
    }

    /// Puts them in the place of those that `config` may share with another session.
    pub(crate) fn install(self, config: &mut SessionConfig) {
        let isolation = Self::isolation(config);
        let only_reads = self.only_reads || Self::check_may_write(config).is_err();
        let settings = Self {
            isolation,
            delete_mode: Self::delete_mode(config),
            only_reads,
            ..self
        };
        config.options_mut().extensions.insert(settings);
    }

    /// What was set for the statement that runs with `config`, which uses it up. Fails if that may
    /// only read.
    pub(crate) fn take(config: &SessionConfig) -> AtioResult<CommitOptions> {
        Self::check_may_write(config)?;
        let extensions = &config.options().extensions;
        Ok(extensions
            .get::<Self>()
            .map(|settings| std::mem::take(&mut *settings.lock()))
            .unwrap_or_default())
    }

    /// True if the next commit needs the session that its statement was planned in.
    pub(crate) fn needs_session(config: &ConfigOptions) -> bool {
        let settings = config.extensions.get::<Self>();
        settings.is_some_and(|settings| {
            let next = settings.lock();
            next.retries > 0 || !next.checks.is_empty()
        })
    }

    /// True if the next commit may run its statement again.
    pub(crate) fn needs_statement(config: &ConfigOptions) -> bool {
        let settings = config.extensions.get::<Self>();
        settings.is_some_and(|settings| settings.lock().retries > 0)
    }

    /// Fails if something is set for the next version, which `target` does not make. Uses nothing up.
    pub(crate) fn check_unset(config: &ConfigOptions, target: &str) -> AtioResult<()> {
        match config.extensions.get::<Self>() {
            Some(settings) => settings.lock().check_unset(target),
            None => Ok(()),
        }
    }

    fn lock(&self) -> MutexGuard<'_, CommitOptions> {
        self.next.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ConfigExtension for CommitSettings {
    const PREFIX: &'static str = PREFIX;
}

impl ExtensionOptions for CommitSettings {
    fn as_any(&self) -> &dyn Any {
        self
    }

    fn as_any_mut(&mut self) -> &mut dyn Any {
        self
    }

    fn cloned(&self) -> Box<dyn ExtensionOptions> {
        Box::new(self.clone())
    }

    /// An empty value takes a setting back: the engine's RESET does not reach those of extensions.
    fn set(&mut self, name: &str, value: &str) -> Result<()> {
        let given = (!value.is_empty()).then(|| value.to_owned());
        if name == ISOLATION {
            let isolation = given.as_deref().map(str::parse).transpose();
            let isolation = isolation
                .map_err(|error: Error| error.context(format!("SET {PREFIX}.{ISOLATION}")))?;
            self.isolation = isolation.unwrap_or_default();
            return Ok(());
        }
        if name == DELETE_MODE {
            let mode = given.as_deref().map(str::parse).transpose();
            self.delete_mode =
                mode.map_err(|error: Error| error.context(format!("SET {PREFIX}.{DELETE_MODE}")))?;
            return Ok(());
        }
        let mut settings = self.lock();
        let mut changed = settings.clone();
        match (name, name.strip_prefix(PROPERTIES)) {
            (MESSAGE, _) => changed.message = given,
            (KEY, _) => changed.idempotency_key = given,
            (EVERY_ROWS, _) => changed.commit_every_rows = number(name, given)?,
            (EVERY_BYTES, _) => changed.commit_every_bytes = number(name, given)?,
            (RETRIES, _) => changed.retries = retries(given)?,
            (_, Some(property)) if !property.is_empty() => match given {
                Some(value) => drop(changed.properties.insert(property.to_owned(), value)),
                None => drop(changed.properties.remove(property)),
            },
            _ => match name.strip_prefix(CHECKS) {
                Some(check) if !check.is_empty() => {
                    changed.checks.retain(|known| known.name() != check);
                    changed
                        .checks
                        .extend(given.map(|sql| sql_check(check, sql)));
                }
                _ => return Err(unknown(name).into()),
            },
        }
        changed
            .check()
            .map_err(|error| error.context(format!("SET {PREFIX}.{}", name.escape_debug())))?;
        *settings = changed;
        Ok(())
    }

    fn entries(&self) -> Vec<ConfigEntry> {
        let settings = self.lock();
        let entry = |name: &str, value: &Option<String>, description| ConfigEntry {
            key: format!("{PREFIX}.{name}"),
            value: value.clone(),
            description,
        };
        let mut entries = vec![
            entry(
                MESSAGE,
                &settings.message,
                "(atio) The message of the next commit, which uses it up",
            ),
            entry(
                KEY,
                &settings.idempotency_key,
                "(atio) The next commit does nothing if the table has seen this key; it uses it up",
            ),
            entry(
                EVERY_ROWS,
                &settings.commit_every_rows.map(|rows| rows.to_string()),
                "(atio) The next INSERT INTO commits a version every so many rows; it uses it up",
            ),
            entry(
                EVERY_BYTES,
                &settings.commit_every_bytes.map(|bytes| bytes.to_string()),
                "(atio) The next INSERT INTO commits a version every so many bytes; it uses it up",
            ),
        ];
        entries.push(entry(
            RETRIES,
            &(settings.retries > 0).then(|| settings.retries.to_string()),
            "(atio) The next commit is run again so often after a conflict; it uses it up",
        ));
        entries.push(entry(
            ISOLATION,
            &Some(self.isolation.to_string()),
            "(atio) What a statement that changes rows is held against: 'write-serializable' or 'serializable'",
        ));
        entries.push(entry(
            DELETE_MODE,
            &self.delete_mode.map(|mode| mode.to_string()),
            "(atio) How rows go of a data file of which others stay: 'auto', 'mark' or 'rewrite'; without it as the table says",
        ));
        entries.extend(settings.properties.iter().map(|(name, value)| {
            entry(
                &format!("{PROPERTIES}{name}"),
                &Some(value.clone()),
                "(atio) A property of the next commit, which uses it up",
            )
        }));
        entries.extend(settings.checks.iter().map(|check| {
            entry(
                &format!("{CHECKS}{}", check.name()),
                &check.sql().map(str::to_owned),
                "(atio) A query that must give true of what the next commit makes, which uses it up",
            )
        }));
        entries
    }
}

/// True for the full name of a setting of ours, be it one that is there or not.
pub(crate) fn is_setting(name: &str) -> bool {
    let rest = name.strip_prefix(PREFIX);
    rest.is_some_and(|rest| rest.starts_with('.'))
}

fn number(name: &str, given: Option<String>) -> AtioResult<Option<u64>> {
    let number = |text: String| {
        let number = text.parse().ok().filter(|number| *number > 0);
        number.ok_or_else(|| {
            Error::invalid(format!(
                "SET {PREFIX}.{name}: '{}' is not a whole number from 1 up",
                text.escape_debug()
            ))
        })
    };
    given.map(number).transpose()
}

fn retries(given: Option<String>) -> AtioResult<u32> {
    let Some(text) = given else { return Ok(0) };
    text.parse().map_err(|_| {
        Error::invalid(format!(
            "SET {PREFIX}.{RETRIES}: '{}' is not a whole number from 0 to 1000",
            text.escape_debug()
        ))
    })
}

fn unknown(name: &str) -> Error {
    let meant = NAMES.iter().find(|known| is_close(name, known));
    let meant = meant.map_or("; the".to_owned(), |known| {
        format!(": did you mean '{PREFIX}.{known}'? The")
    });
    let names: Vec<_> = NAMES.map(|known| format!("'{PREFIX}.{known}'")).into();
    Error::invalid(format!(
        "unknown setting '{PREFIX}.{}'{meant} settings of atio are {}",
        name.escape_debug(),
        names.join(", ")
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn copies_of_a_configuration_share_what_is_set_and_use_it_up() {
        let mut config = SessionConfig::new();
        CommitSettings::default().install(&mut config);
        config.options_mut().set("atio.message", "why").unwrap();
        let copy = config.clone();
        config.options_mut().set("atio.properties.a", "1").unwrap();
        let taken = CommitSettings::take(&copy).unwrap();
        assert_eq!(taken.message.as_deref(), Some("why"));
        assert_eq!(
            taken.properties.get("a").map(String::as_str),
            Some("1"),
            "set after the copy was made"
        );
        assert_eq!(
            CommitSettings::take(&copy).unwrap(),
            CommitOptions::default()
        );
        let shown = config.options().extensions.get::<CommitSettings>();
        assert!(
            shown
                .unwrap()
                .entries()
                .iter()
                .all(|entry| entry.value.is_none() || entry.key == "atio.isolation")
        );
    }

    #[test]
    fn refused_value_leaves_what_was_set() {
        let mut settings = CommitSettings::default();
        settings.set("message", "first").unwrap();
        settings
            .set("message", &"x".repeat(1024 * 1024 + 1))
            .unwrap_err();
        assert_eq!(settings.lock().message.as_deref(), Some("first"));
        settings.set("message", "").unwrap();
        assert_eq!(settings.lock().message, None);
    }

    #[test]
    fn an_empty_key_is_refused_before_a_statement() {
        let options = CommitOptions {
            idempotency_key: Some(String::new()),
            ..CommitOptions::default()
        };
        CommitSettings::new(options).unwrap_err();
    }
}
