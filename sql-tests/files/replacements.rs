//! A target that a COPY replaces, for tests that stop it in the middle.

use super::*;
use crate::processes::job::Job;
use atio::Marker;

/// Children at a time: they mostly wait.
pub(super) const PARALLEL: usize = 4;

#[derive(Clone, Copy)]
pub(crate) struct Case {
    pub(crate) name: &'static str,
    pub(crate) options: &'static str,
    /// Of a statement that ends well, beside the target and its marker.
    beside: &'static [&'static str],
}

pub(crate) const CASES: [Case; 6] = [
    Case {
        name: "a.csv",
        options: "'atio.marker' 'true'",
        beside: &[],
    },
    Case {
        name: "a.csv",
        options: "'atio.backup' 'true', 'atio.marker' 'true'",
        beside: &[".a.csv.atio-backup", ".a.csv.atio-backup._SUCCESS"],
    },
    Case {
        name: "out",
        options: "'atio.if_exists' 'replace', 'atio.marker' 'true'",
        beside: &[],
    },
    Case {
        name: "out",
        options: "'atio.if_exists' 'replace', 'atio.backup' 'true', 'atio.marker' 'true'",
        beside: &[".out.atio-backup", ".out.atio-backup._SUCCESS"],
    },
    Case {
        name: "a.parquet",
        options: "'atio.durability' 'none'",
        beside: &[],
    },
    Case {
        name: "a.xlsx",
        options: "",
        beside: &[],
    },
];
const OLD: i64 = 50;
const OLDER: i64 = 40;
pub(super) const NEW: i64 = 2000;

impl Case {
    fn format(&self) -> &'static str {
        self.name
            .rsplit_once('.')
            .map_or("csv", |(_, ending)| ending)
    }

    pub(crate) fn has_marker(&self) -> bool {
        self.options.contains("marker")
    }

    pub(super) fn sql(&self, at: &Path, n: i64) -> String {
        let to = at.join(self.name);
        copy(
            &numbers(n),
            to.to_str().unwrap(),
            self.format(),
            self.options,
        )
    }

    /// The old target, with a backup of its own where the case has backups.
    pub(crate) async fn prepare(&self, at: &Path) {
        std::fs::create_dir_all(at.join("warehouse")).unwrap();
        let ctx = session(2);
        for n in [OLDER, OLD] {
            rows(&ctx, &self.sql(at, n)).await;
        }
    }

    pub(crate) fn job(&self, at: &Path) -> Job {
        Job::new(at, vec![self.sql(at, NEW)])
    }

    /// True if the new target is seen; it is one of the two, whole, and its marker, if there
    /// is one, is its own.
    pub(crate) async fn check(&self, at: &Path, what: &str) -> bool {
        let to = at.join(self.name);
        let text = to.to_str().unwrap();
        let said_now = read(text, self.format()).await;
        let new = said_now == said(NEW);
        assert!(new || said_now == said(OLD), "{what}: {said_now}");
        if let Some(marker) = Marker::read(&to).unwrap() {
            assert_eq!(marker.rows as i64, if new { NEW } else { OLD }, "{what}");
        }
        new
    }

    /// Passes if the next write cleans up, and a backup can be gone back to.
    pub(crate) async fn check_next(&self, at: &Path, new: bool, what: &str) {
        let ctx = session(2);
        rows(&ctx, &self.sql(at, 70)).await;
        let mut expected: Vec<_> = self.beside.iter().map(|name| (*name).to_owned()).collect();
        expected.extend([self.name.to_owned(), "warehouse".to_owned()]);
        expected.extend(
            self.has_marker()
                .then(|| format!(".{}._SUCCESS", self.name)),
        );
        // A backup of what has no marker has none.
        let found = names(at);
        expected.retain(|name| found.contains(name) || !name.ends_with("atio-backup._SUCCESS"));
        expected.sort();
        assert_eq!(found, expected, "{what}");
        assert_eq!(beside(at), Vec::<String>::new(), "{what}");
        if !self.beside.is_empty() {
            let to = at.join(self.name);
            let to = to.to_str().unwrap();
            rows(&ctx, &format!("SELECT * FROM atio_restore('{to}')")).await;
            let kept = if new { NEW } else { OLD };
            assert_eq!(read(to, self.format()).await, said(kept), "{what}");
        }
    }
}

/// What is staged beside the directory `at`.
fn beside(at: &Path) -> Vec<String> {
    let own = format!(".{}.atio-", at.file_name().unwrap().to_str().unwrap());
    let mut names = names(at.parent().unwrap());
    names.retain(|name| name.starts_with(&own));
    names
}
