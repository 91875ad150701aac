//! What a misspelt name may have meant.

/// True if at most two letters must be put in, left out or replaced to get `name`.
pub(crate) fn is_close(text: &str, name: &str) -> bool {
    let name: Vec<_> = name.chars().collect();
    // The distances between the letters of `text` so far and each beginning of `name`.
    let mut distances: Vec<_> = (0..=name.len()).collect();
    for (row, letter) in text.chars().enumerate() {
        let mut diagonal = row;
        let mut left = row + 1;
        for (distance, other) in distances.iter_mut().skip(1).zip(&name) {
            let replaced = diagonal + usize::from(letter != *other);
            diagonal = *distance;
            left = replaced.min(*distance + 1).min(left + 1);
            *distance = left;
        }
        if let Some(first) = distances.first_mut() {
            *first = row + 1;
        }
    }
    distances.last().is_some_and(|distance| *distance <= 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_letters_may_be_wrong() {
        assert!(is_close("abc", "abc") && is_close("", "ab") && is_close("ab", ""));
        assert!(is_close("kitten", "sitten") && !is_close("kitten", "sitting"));
        assert!(!is_close("", "abc"));
    }
}
