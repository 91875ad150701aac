//! The documents of the project, as pages: one for each thing that atio does, then the reasons.

pub use atio_core::docs::format;

/// Makes a page of a document. Its links go to files of the repository; here, where the first
/// definition of a link counts, they go to the other pages.
macro_rules! page {
    ($name:ident, $document:literal) => {
        #[doc = "[tables]: self::tables"]
        #[doc = "[features]: self::tables#cargo-features"]
        #[doc = "[files]: self::files"]
        #[doc = "[streams]: self::streams"]
        #[doc = "[databases]: self::databases"]
        #[doc = "[stores]: self::stores"]
        #[doc = "[catalog]: self::catalog"]
        #[doc = "[shell]: self::shell"]
        #[doc = "[measured]: self::measured"]
        #[doc = "[reasons]: self::design"]
        #[doc = "[format]: self::format"]
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
