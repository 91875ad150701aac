//! Options of opening a table: how this session uses it. Nothing of them is stored.

use crate::error::{Error, Result};
use crate::storage::Durability;

const SINGLE_WRITER: &str = "single_writer";
const DURABILITY: &str = "durability";

/// How a handle uses its table.
///
/// ```
/// use atio_core::log::OpenOptions;
/// use atio_core::storage::Durability;
///
/// let scratch = OpenOptions { durability: Durability::None, ..OpenOptions::default() };
/// assert!(!scratch.single_writer);
/// ```
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct OpenOptions {
    /// There is never more than one writer, so the store need not keep two apart.
    pub single_writer: bool,
    /// What an acknowledged commit has been through.
    pub durability: Durability,
}

impl OpenOptions {
    /// The names of the options, without the prefix that they have in SQL.
    pub const NAMES: [&str; 2] = [SINGLE_WRITER, DURABILITY];

    /// Sets the option called `name`, which is one of [`NAMES`](Self::NAMES).
    ///
    /// ```
    /// let mut options = atio_core::log::OpenOptions::default();
    /// options.set("single_writer", "true")?;
    /// assert!(options.single_writer);
    /// # Ok::<(), atio_core::Error>(())
    /// ```
    pub fn set(&mut self, name: &str, value: &str) -> Result<()> {
        match (name, value.to_ascii_lowercase().as_str()) {
            (SINGLE_WRITER, "true") => self.single_writer = true,
            (SINGLE_WRITER, "false") => self.single_writer = false,
            (DURABILITY, "full") => self.durability = Durability::Full,
            (DURABILITY, "none") => self.durability = Durability::None,
            (SINGLE_WRITER, _) => return Err(neither(name, value, "true", "false")),
            (DURABILITY, _) => return Err(neither(name, value, "full", "none")),
            _ => {
                return Err(Error::invalid(format!(
                    "'{}' is not an option of opening a table",
                    name.escape_debug()
                )));
            }
        }
        Ok(())
    }
}

fn neither(name: &str, value: &str, one: &str, other: &str) -> Error {
    Error::invalid(format!(
        "option 'atio.{name}': '{}' is neither '{one}' nor '{other}'",
        value.escape_debug()
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_takes_its_values_and_no_other() {
        let mut options = OpenOptions::default();
        assert_eq!(options.durability, Durability::Full);
        assert!(!options.single_writer);
        options.set("single_writer", "TRUE").unwrap();
        options.set("durability", "none").unwrap();
        assert!(options.single_writer);
        assert_eq!(options.durability, Durability::None);
        for name in OpenOptions::NAMES {
            let error = options.set(name, "perhaps").unwrap_err().to_string();
            assert!(
                error.contains(&format!("'atio.{name}': 'perhaps' is neither")),
                "{error}"
            );
        }
    }
}
