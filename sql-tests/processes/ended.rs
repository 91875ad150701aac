//! What a child said until it ended.

/// All that a child said, and how it ended.
pub(crate) struct Ended {
    pub(crate) said: Vec<String>,
    pub(crate) killed: bool,
}

impl Ended {
    /// True if the statement with this number was acknowledged.
    pub(crate) fn done(&self, number: usize) -> bool {
        self.said.contains(&format!("done {number}"))
    }

    /// The most memory that it had, in KiB; it must have come to its end.
    pub(crate) fn peak(&self) -> u64 {
        let said = self.said.iter().find_map(|line| line.strip_prefix("peak "));
        said.unwrap().parse().unwrap()
    }

    /// The steps that it took.
    pub(crate) fn steps(&self) -> Vec<String> {
        let steps = self
            .said
            .iter()
            .find_map(|line| line.strip_prefix("steps "));
        steps.unwrap().split(' ').map(str::to_owned).collect()
    }

    /// How often it warned with these words.
    pub(crate) fn warned(&self, words: &str) -> usize {
        let warned = |line: &&String| line.starts_with("warned ") && line.contains(words);
        self.said.iter().filter(warned).count()
    }

    /// How the statement with this number failed, beginning with the kind of the error.
    pub(crate) fn failure(&self, number: usize) -> &str {
        let failed = format!("failed {number} ");
        let said = self.said.iter().find_map(|line| line.strip_prefix(&failed));
        said.unwrap_or_else(|| panic!("statement {number} did not fail: {:?}", self.said))
    }
}
