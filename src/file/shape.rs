//! What is written: one file, or a directory of several.

/// What is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shape {
    File,
    Folder,
}

impl Shape {
    pub(super) fn noun(self) -> &'static str {
        match self {
            Self::File => "file",
            Self::Folder => "directory",
        }
    }
}
