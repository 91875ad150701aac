//! Random locations: none leads where its text does not, and no secret is repeated.

use std::path::Component;

use proptest::prelude::*;

use super::location::Location;

const SECRET: &str = "xyzzy42";

fn one_of(tokens: &[&str]) -> impl Strategy<Value = String> + use<> {
    let tokens: Vec<_> = tokens.iter().map(|token| (*token).to_owned()).collect();
    prop::sample::select(tokens)
}

/// The rest of a path or URL, from pieces that have a meaning somewhere.
fn pieces() -> impl Strategy<Value = String> {
    let piece = one_of(&[
        "/", "//", "a", "b", ".", "..", "/../", "/./", "~", "é", "%", "%2e%2e", "%2F", "%00", "\\",
        " ", "\t", "\n", "\0", ":", "@", "?", "#", "://", "'", "\u{202e}",
    ]);
    prop::collection::vec(piece, 0..10).prop_map(|pieces| pieces.concat())
}

fn scheme() -> impl Strategy<Value = String> {
    one_of(&[
        "s3", "S3", "gs", "az", "file", "memory", "http", "x-y", "1", "",
    ])
}

fn check_place(location: &Location) -> Result<(), TestCaseError> {
    let plain = |part: &str| !matches!(part, "" | "." | "..");
    let root = location
        .local
        .as_ref()
        .is_some_and(|local| local.parent().is_none());
    prop_assert!(
        root || location.path.as_ref().split('/').all(plain),
        "{location:?}"
    );
    prop_assert!(
        !location.shown().chars().any(char::is_control),
        "{location:?}"
    );
    if let Some(local) = &location.local {
        let known = |part| matches!(part, Component::RootDir | Component::Normal(_));
        prop_assert!(local.components().all(known), "{location:?}");
        prop_assert!(local.is_absolute());
        prop_assert_eq!(local.to_str(), Some(location.shown()));
    }
    Ok(())
}

#[test]
fn a_path_that_leads_up_from_nowhere_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path().display();
    for text in [
        format!("{root}/missing/../t"),
        format!("{root}/missing/x/../../../etc"),
        format!("{root}/missing/.."),
    ] {
        let error = Location::parse(&text).unwrap_err().to_string();
        assert!(
            error.contains("leads up from a directory that does not exist"),
            "{error}"
        );
    }
    let here = Location::parse(&format!(
        "{root}/../{}/t",
        directory.path().file_name().unwrap().display()
    ));
    assert_eq!(here.unwrap().shown(), format!("{root}/t"));
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_location_is_a_plain_place_or_refused(scheme in scheme(), host in "[a-z]{0,3}", rest in pieces()) {
        for text in [format!("{scheme}://{host}/{rest}"), format!("{scheme}:{rest}"), rest] {
            if let Ok(location) = Location::parse(&text) {
                check_place(&location)?;
            }
        }
    }

    #[test]
    fn a_local_place_has_one_spelling(rest in pieces()) {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path().canonicalize().unwrap();
        std::fs::create_dir(root.join("a")).unwrap();
        let text = format!("{}/a/{rest}", root.display());
        let Ok(location) = Location::parse(&text) else {
            return Ok(());
        };
        check_place(&location)?;
        if !text.contains("://") {
            let again = Location::parse(location.shown()).unwrap();
            prop_assert_eq!(again.shown(), location.shown());
            prop_assert_eq!(again.path, location.path);
        }
    }

    #[test]
    fn a_secret_in_a_location_is_never_shown(
        scheme in scheme(),
        user in one_of(&["", "key:", ":", "a%40b:"]),
        place in one_of(&["@", "?token=", "#", "?a=1&b="]),
        rest in "[a-z/]{0,5}",
    ) {
        let text = match place.as_str() {
            "@" => format!("{scheme}://{user}{SECRET}@host/{rest}"),
            place => format!("{scheme}://host/{rest}{place}{SECRET}"),
        };
        // Without a scheme it is no URL but a path, whatever it looks like.
        prop_assume!(scheme.parse::<u8>().is_err() && !scheme.is_empty());
        let shown = match Location::parse(&text) {
            Ok(location) => format!("{location:?} {}", location.shown()),
            Err(error) => format!("{error} {error:?}"),
        };
        prop_assert!(!shown.contains(SECRET), "{text}: {shown}");
    }
}
