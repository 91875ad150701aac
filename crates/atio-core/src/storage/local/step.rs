//! Points at which tests make the disk fail.

use std::io;
use std::path::Path;

/// A point at which a test can make the disk fail, or the process stop.
///
/// Configured by the name of the step, or by step, colon and file name, with the number of an
/// error of the operating system as argument.
#[cfg_attr(
    not(feature = "failpoints"),
    expect(unused_variables, reason = "for tests")
)]
pub fn step(name: &str, path: &Path) -> io::Result<()> {
    #[cfg(feature = "failpoints")]
    {
        let fail = |errno: Option<String>| {
            let errno = errno.and_then(|errno| errno.parse().ok());
            Err(io::Error::from_raw_os_error(errno.unwrap_or(5)))
        };
        // At every such step, and at the one for this file.
        fail::fail_point!(name, fail);
        let file = path.file_name().unwrap_or_default().to_string_lossy();
        fail::fail_point!(&format!("{name}:{file}"), fail);
    }
    Ok(())
}
