//! Features of the crate that a build may leave out, and the error that names one.

use crate::error::Error;

/// The databases, each a feature and, in capitals, what follows `STORED AS`.
pub(crate) const DATABASES: [&str; 3] = ["postgres", "sqlite", "mysql"];

/// The feature without which there is no `STORED AS` this; none for other names.
pub(crate) fn of_format(name: &str) -> Option<&'static str> {
    let mut features = DATABASES.into_iter().chain(["xlsx"]);
    features.find(|feature| name.eq_ignore_ascii_case(feature))
}

/// True if this build has the feature of a format.
pub(crate) fn has(feature: &str) -> bool {
    [
        ("postgres", cfg!(feature = "postgres")),
        ("sqlite", cfg!(feature = "sqlite")),
        ("mysql", cfg!(feature = "mysql")),
        ("xlsx", cfg!(feature = "xlsx")),
    ]
    .contains(&(feature, true))
}

/// The error of `what`, which only a build with the feature can do.
pub(crate) fn needs(what: &str, feature: &str) -> Error {
    Error::unsupported(format!(
        "{what} needs the feature '{feature}' of the crate atio"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formats_know_their_features() {
        assert_eq!(of_format("XLSX"), Some("xlsx"));
        assert_eq!(of_format("Postgres"), Some("postgres"));
        assert_eq!(of_format("csv"), None);
    }

    #[test]
    fn tests_have_every_feature() {
        assert!(DATABASES.into_iter().chain(["xlsx"]).all(has));
    }
}
