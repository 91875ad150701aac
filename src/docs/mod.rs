//! The documents of the project, as pages: one for each thing that atio does, then the reasons.

pub use atio_core::docs::format;

/// Makes a page of a document. Its links go to files of the repository; here, where the first
/// definition of a link counts, they go to the other pages.
macro_rules! page {
    ($name:ident, $document:literal) => {
        #[doc = "[tables]: super::tables"]
        #[doc = "[features]: super::tables#cargo-features"]
        #[doc = "[files]: super::files"]
        #[doc = "[streams]: super::streams"]
        #[doc = "[databases]: super::databases"]
        #[doc = "[stores]: super::stores"]
        #[doc = "[catalog]: super::catalog"]
        #[doc = "[shell]: super::shell"]
        #[doc = "[measured]: super::measured"]
        #[doc = "[reasons]: super::design"]
        #[doc = "[format]: super::format"]
        #[doc = include_str!($document)]
        pub mod $name {}
    };
}

page!(tables, "tables.md");
page!(files, "files.md");
page!(streams, "streams.md");
page!(databases, "databases.md");
page!(stores, "stores.md");
page!(catalog, "catalog.md");
page!(shell, "shell.md");
page!(measured, "measured.md");
page!(design, "design.md");
