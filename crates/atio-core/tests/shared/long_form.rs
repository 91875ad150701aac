//! The short and the long form of the tests: a few cases of each kind, or all of them.

#![cfg(test)]

/// True where `ATIO_LONG=1` asks for the long form: every step, and larger numbers.
pub(crate) fn long() -> bool {
    std::env::var_os("ATIO_LONG").is_some_and(|value| value == "1")
}

/// At most `most` of `all`, evenly spread, with the first and the last.
pub(crate) fn sample(all: usize, most: usize) -> Vec<usize> {
    if all <= most {
        return (0..all).collect();
    }
    (0..most)
        .map(|at| at * (all - 1) / (most - 1).max(1))
        .collect()
}
