//! Secrets that other programs put into their messages.

use std::borrow::Cow;

/// The text of a message without what may be a secret in it; borrowed if nothing was found.
///
/// From URLs user information, queries and fragments go. Of what a server answered in XML
/// the code and the message stay: S3 repeats keys and tokens that it was asked with. Errors
/// of atio went through this already; it is for those of others, before they are shown.
///
/// ```
/// let text = "cannot read s3://key:secret@bucket/t?token=x: no such host";
/// assert_eq!(atio_core::redact(text), "cannot read s3://bucket/t no such host");
/// ```
pub fn redact(text: &str) -> Cow<'_, str> {
    let plain = without_answers(text);
    match without_credentials(plain.as_deref().unwrap_or(text)).or(plain) {
        Some(plain) => Cow::Owned(plain),
        None => Cow::Borrowed(text),
    }
}

/// None if there is no answer of a server in the text.
fn without_answers(text: &str) -> Option<String> {
    let mut plain = String::new();
    let mut rest = text;
    while let Some(start) = rest.find("<Error") {
        let (before, from) = rest.split_at(start);
        let (answer, after) = from.split_once("</Error>").unwrap_or((from, ""));
        plain += before.find("<?xml").map_or(before, |xml| &before[..xml]);
        let of = |tag: &str| {
            let (_, value) = answer.split_once(&format!("<{tag}>"))?;
            let (value, _) = value.split_once(&format!("</{tag}>"))?;
            Some(value)
        };
        let parts: Vec<_> = [of("Code"), of("Message")].into_iter().flatten().collect();
        plain += &parts.join(": ");
        rest = after;
    }
    (rest.len() < text.len()).then(|| plain + rest)
}

/// None if no URL in the text holds more than a place.
fn without_credentials(text: &str) -> Option<String> {
    let mut plain = String::new();
    let mut rest = text;
    while let Some(start) = rest.find("://") {
        let (before, from) = rest.split_at(start + 3);
        let from = &from[user_information(from)..];
        let ends = |c: char| c.is_whitespace() || "'\"`<>(){}".contains(c);
        let (url, after) = from.split_at(from.find(ends).unwrap_or(from.len()));
        let place = url.find(['?', '#']).map_or(url, |end| &url[..end]);
        let (authority, path) = place.split_at(place.find('/').unwrap_or(place.len()));
        let host = authority
            .rsplit_once('@')
            .map_or(authority, |(_, host)| host);
        plain.extend([before, host, path]);
        rest = after;
    }
    plain += rest;
    (plain != text).then_some(plain)
}

/// How many bytes at the beginning of what follows "://" are a user and a password that hold
/// what must not be in a URL as it is: a '/', a quote.
fn user_information(from: &str) -> usize {
    let word = from.split(char::is_whitespace).next().unwrap_or_default();
    let user = word.split('@').next().unwrap_or_default();
    let password = match user.split_once(':') {
        // An address of version 6 is full of colons, and a port is a number.
        Some((host, port)) if !host.starts_with('[') => {
            !port.starts_with(|c: char| c.is_ascii_digit())
        }
        _ => false,
    };
    match (password, word.rfind('@')) {
        (true, Some(at)) => at + 1,
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answer_of_a_server_is_cut_down_to_code_and_message() {
        for (text, plain) in [
            (
                "403: <?xml version=\"1.0\"?>\n<Error xmlns=\"x\"><Code>InvalidToken</Code><Message>The token is malformed.</Message><Token-0>SECRET</Token-0></Error> in the end",
                "403: InvalidToken: The token is malformed. in the end",
            ),
            ("<Error><AWSAccessKeyId>SECRET", ""),
            (
                "a <Error><Code>1</Code></Error> b <Error><Code>2</Code></Error> c",
                "a 1 b 2 c",
            ),
        ] {
            assert_eq!(redact(text), plain);
        }
    }

    #[test]
    fn urls_keep_their_place_alone() {
        for (text, plain) in [
            ("s3://k:SECRET@b/x", "s3://b/x"),
            ("'s3://SECRET@b' (s3://k:a@b@c/d)", "'s3://b' (s3://c/d)"),
            (
                "GET https://h:9/x?sig=SECRET failed",
                "GET https://h:9/x failed",
            ),
            ("s3://AKIA:SEC/RET@b/x: no", "s3://b/x: no"),
            ("(http://u:pa'SECRET@h/)", "(http://h/)"),
            ("http://u:SECRET@[::1]:9/x#SECRET", "http://[::1]:9/x"),
            ("https://h/<Error>SECRET", "https://h/"),
            ("a://?SECRET b://", "a:// b://"),
        ] {
            assert_eq!(redact(text), plain);
        }
    }

    #[test]
    fn what_holds_no_secret_stays_as_it_is() {
        for text in [
            "",
            "nothing of the kind",
            "mail a@b.c about s3://b/x@y",
            "file:///tmp/t and memory://test/a b",
            "://",
        ] {
            assert!(
                matches!(redact(text), Cow::Borrowed(same) if same == text),
                "{text}"
            );
        }
    }
}
