//! What the shell says besides rows.

use std::fmt::Display;
use std::io::{self, Write};

use datafusion_cli::print_options::PrintOptions;

/// Tells what was done, apart from the rows on standard output, unless the shell is quiet.
pub(crate) fn tell(print: &PrintOptions, sentence: impl Display) {
    if !print.quiet {
        // A closed standard error leaves nowhere to tell it.
        let _ = writeln!(io::stderr(), "{sentence}");
    }
}
