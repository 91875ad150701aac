//! What atio has to say beside results and errors, on standard error.

use std::env;
use std::io::Write;

use env_logger::Builder;
use log::{Level, LevelFilter};

/// Shows notes and warnings of atio, and errors of everything, unless the shell is quiet; or
/// what `RUST_LOG` asks for.
pub(crate) fn install(quiet: bool) {
    if env::var_os("RUST_LOG").is_some() {
        env_logger::init();
        return;
    }
    let mut builder = Builder::new();
    builder.filter_level(LevelFilter::Error);
    if !quiet {
        builder.filter_module("atio", LevelFilter::Info);
        // Its rows tell all of it.
        builder.filter_module("atio_core::log::operation::expire", LevelFilter::Warn);
    }
    builder.format(|to, record| {
        let word = match record.level() {
            Level::Error => "Error",
            Level::Warn => "Warning",
            Level::Info | Level::Debug | Level::Trace => "Note",
        };
        let text = record.args().to_string();
        writeln!(to, "{word}: {}", atio::redact(&text))
    });
    builder.init();
}
