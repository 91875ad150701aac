//! Options of a workbook, as `COPY .. OPTIONS (sheet_name 'Sales')` gives them.

use std::collections::HashMap;

use crate::error::{Error, Result};

/// Before it comes here an option without a dot is given this prefix.
const PREFIX: &str = "format.";
/// The engine's own options, which it hands to every format.
const ENGINE: &str = "execution.";

const NAMES: [&str; 8] = [
    "autofilter",
    "freeze_header",
    "header",
    "header_style",
    "long_numbers",
    "non_finite",
    "sheet_name",
    "split_sheets",
];

/// Excel's limit for the name of a sheet, in UTF-16 code units.
const NAME_LENGTH: usize = 31;

/// How a result becomes a workbook.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct XlsxOptions {
    pub(super) sheet_name: String,
    /// The first row of each sheet holds the names of the columns.
    pub(super) header: bool,
    pub(super) bold_header: bool,
    /// The header stays in view.
    pub(super) freeze_header: bool,
    pub(super) autofilter: bool,
    /// Rows beyond the limit of a sheet go to further sheets.
    pub(super) split_sheets: bool,
    /// Numbers that Excel cannot hold exactly are text, not errors.
    pub(super) long_numbers_as_text: bool,
    /// NaN and the infinities are empty cells, not errors.
    pub(super) non_finite_as_empty: bool,
}

impl Default for XlsxOptions {
    fn default() -> Self {
        Self {
            sheet_name: "Sheet1".to_owned(),
            header: true,
            bold_header: true,
            freeze_header: false,
            autofilter: false,
            split_sheets: false,
            long_numbers_as_text: false,
            non_finite_as_empty: false,
        }
    }
}

impl XlsxOptions {
    pub(super) fn of_statement(options: &HashMap<String, String>) -> Result<Self> {
        let mut parsed = Self::default();
        // In an order that does not change from run to run, as the first error is told.
        let mut options: Vec<_> = options.iter().collect();
        options.sort_unstable();
        for (key, value) in options {
            if !key.starts_with(ENGINE) {
                parsed.set(key, value)?;
            }
        }
        if !parsed.header && (parsed.freeze_header || parsed.autofilter) {
            return Err(Error::invalid(
                "options 'freeze_header' and 'autofilter' need a header: leave out 'header' 'false'",
            ));
        }
        Ok(parsed)
    }

    fn set(&mut self, key: &str, value: &str) -> Result<()> {
        let name = key.strip_prefix(PREFIX).unwrap_or(key);
        match name {
            "autofilter" => self.autofilter = is_first(name, value, ["true", "false"])?,
            "freeze_header" => self.freeze_header = is_first(name, value, ["true", "false"])?,
            "header" => self.header = is_first(name, value, ["true", "false"])?,
            "header_style" => self.bold_header = is_first(name, value, ["bold", "plain"])?,
            "long_numbers" => self.long_numbers_as_text = is_first(name, value, ["text", "error"])?,
            "non_finite" => self.non_finite_as_empty = is_first(name, value, ["empty", "error"])?,
            "sheet_name" => {
                check_sheet_name(value)?;
                self.sheet_name = value.to_owned();
            }
            "split_sheets" => self.split_sheets = is_first(name, value, ["true", "false"])?,
            _ => {
                let names: Vec<_> = NAMES.iter().map(|name| format!("'{name}'")).collect();
                return Err(Error::invalid(format!(
                    "unknown option '{}' of XLSX; the options are {}",
                    name.escape_debug(),
                    names.join(", ")
                )));
            }
        }
        Ok(())
    }

    /// The name of the sheet with this number, from 1: `Sales`, `Sales (2)`, `Sales (3)` ..
    pub(super) fn name_of_sheet(&self, number: usize) -> String {
        if number == 1 {
            return self.sheet_name.clone();
        }
        let suffix = format!(" ({number})");
        let mut name = String::new();
        let mut room = NAME_LENGTH.saturating_sub(suffix.len());
        for c in self.sheet_name.chars() {
            let Some(left) = room.checked_sub(c.len_utf16()) else {
                break;
            };
            room = left;
            name.push(c);
        }
        name + &suffix
    }
}

/// True for the first of two words, false for the second, and nothing else will do.
fn is_first(name: &str, value: &str, words: [&str; 2]) -> Result<bool> {
    let [yes, no] = words;
    let is = |word: &str| value.trim().eq_ignore_ascii_case(word);
    match (is(yes), is(no)) {
        (true, _) => Ok(true),
        (_, true) => Ok(false),
        _ => Err(Error::invalid(format!(
            "option '{name}' of XLSX is '{yes}' or '{no}', not '{}'",
            value.escape_debug()
        ))),
    }
}

fn check_sheet_name(name: &str) -> Result<()> {
    let wrong = if name.trim().is_empty() {
        "it is empty"
    } else if name.encode_utf16().count() > NAME_LENGTH {
        "it has more than 31 characters"
    } else if name.contains(['[', ']', ':', '*', '?', '/', '\\']) {
        "it has one of the characters [ ] : * ? / \\"
    } else if name.contains(char::is_control) {
        "it has a control character"
    } else if name.starts_with('\'') || name.ends_with('\'') {
        "it begins or ends with an apostrophe"
    } else if name.eq_ignore_ascii_case("history") {
        "Excel keeps it for itself"
    } else {
        return Ok(());
    };
    Err(Error::invalid(format!(
        "'{}' cannot be the name of a sheet: {wrong}",
        name.escape_debug()
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn further_sheets_have_names_that_fit() {
        let named = |name: &str| XlsxOptions {
            sheet_name: name.to_owned(),
            ..XlsxOptions::default()
        };
        assert_eq!(named("Sales").name_of_sheet(1), "Sales");
        assert_eq!(named("Sales").name_of_sheet(2), "Sales (2)");
        let long = named(&"x".repeat(31));
        assert_eq!(
            long.name_of_sheet(12),
            format!("{} (12)", "x".repeat(26)),
            "cut to 31 characters"
        );
        // Each of these takes two of Excel's characters.
        let wide = named(&"\u{1f600}".repeat(15));
        assert_eq!(wide.name_of_sheet(3).encode_utf16().count(), 30);
        for number in 1..200 {
            check_sheet_name(&wide.name_of_sheet(number)).unwrap();
        }
    }
}
