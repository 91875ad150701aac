//! What an action says besides its rows.

use std::fmt::Display;
use std::io::{self, Write};

use crate::session::Session;

/// Tells what was done, apart from the rows on standard output, unless the shell is quiet.
pub(super) fn tell(session: &Session, sentence: impl Display) {
    if !session.print.quiet {
        // A closed standard error leaves nowhere to tell it.
        let _ = writeln!(io::stderr(), "{sentence}");
    }
}
