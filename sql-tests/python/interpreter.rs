//! The Python that the tests run: found, or made once for all of them.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use serde_json::Value;

const REQUIREMENTS: &str = include_str!("requirements.txt");

/// An interpreter that can `import atio`, the published package.
pub(super) struct Python {
    program: PathBuf,
}

impl Python {
    /// Returns the interpreter, or `None` after it said on stderr why the test
    /// is skipped. A machine that sets `CI` has Python: there it fails instead.
    pub(super) fn find() -> Option<&'static Self> {
        static FOUND: OnceLock<Result<Python, String>> = OnceLock::new();
        match FOUND.get_or_init(|| Self::given().map_or_else(Self::install, Ok)) {
            Ok(python) => Some(python),
            Err(why) => {
                let ci = std::env::var_os("CI").is_some_and(|value| !value.is_empty());
                assert!(!ci, "CI must run the Python tests: {why}");
                // The macro's output would be captured, and a skip go unseen.
                writeln!(std::io::stderr(), "skipped: {why}").unwrap();
                None
            }
        }
    }

    /// The interpreter of `ATIO_TEST_PYTHON`: whoever names one means it.
    fn given() -> Option<Self> {
        let program = PathBuf::from(std::env::var_os("ATIO_TEST_PYTHON")?);
        if let Err(why) = check(&program) {
            panic!("ATIO_TEST_PYTHON is set, but: {why}");
        }
        Some(Self { program })
    }

    /// Makes a virtual environment, or takes the one an earlier run made.
    fn install() -> Result<Self, String> {
        let scratch = Path::new(env!("CARGO_TARGET_TMPDIR"));
        let home = scratch.join("python-venv-2.0.0");
        let program = home.join("bin/python");
        let marker = home.join("ok");

        // Tests may be processes of their own, where a OnceLock guards nothing.
        let lock = File::create(scratch.join("python-venv-2.0.0.lock"));
        let lock = lock.map_err(|e| format!("cannot lock the environment: {e}"))?;
        lock.lock()
            .map_err(|e| format!("cannot lock the environment: {e}"))?;

        // The marker holds what is installed, so other pins install anew.
        if fs::read_to_string(&marker).is_ok_and(|made| made == REQUIREMENTS) {
            return Ok(Self { program });
        }
        if home.exists() {
            fs::remove_dir_all(&home).map_err(|e| format!("cannot remove {home:?}: {e}"))?;
        }
        run(Command::new("python3").args(["-m", "venv"]).arg(&home))?;
        run(Command::new(&program)
            .args(["-m", "pip", "install", "--quiet", "-r"])
            .arg(script("requirements.txt")))?;
        check(&program)?;
        fs::write(&marker, REQUIREMENTS).map_err(|e| format!("cannot write {marker:?}: {e}"))?;
        Ok(Self { program })
    }

    /// Runs a script of this folder and returns what it printed as results.
    /// A script that ends badly, or prints another number of results than
    /// `expected`, fails the test: it has not answered.
    pub(super) fn script(
        &self,
        name: &str,
        args: &[&str],
        input: &str,
        expected: usize,
    ) -> Vec<Value> {
        let mut child = Command::new(&self.program)
            .arg(script(name))
            .args(args)
            // atio moves files out of the temporary directory by rename, which
            // works only on one file system.
            .env("TMPDIR", env!("CARGO_TARGET_TMPDIR"))
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .env("PYTHONIOENCODING", "utf-8")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        child
            .stdin
            .take()
            .unwrap()
            .write_all(input.as_bytes())
            .unwrap();
        let output = child.wait_with_output().unwrap();
        let printed = String::from_utf8_lossy(&output.stdout);
        let results: Vec<Value> = printed
            .lines()
            .filter_map(|line| line.strip_prefix("RESULT "))
            .map(|line| serde_json::from_str(line).unwrap())
            .collect();
        assert!(
            output.status.success() && results.len() == expected,
            "{name} {args:?} printed {} of {expected} results\n{printed}\n{}",
            results.len(),
            String::from_utf8_lossy(&output.stderr),
        );
        results
    }
}

/// The package, and no other version of it, is there and can be imported.
fn check(program: &Path) -> Result<(), String> {
    let code = "import atio, importlib.metadata as m; assert m.version('atio') == '2.0.0'";
    run(Command::new(program).args(["-c", code]))
}

fn script(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("sql-tests/python")
        .join(name)
}

fn run(command: &mut Command) -> Result<(), String> {
    match command.output() {
        Err(e) => Err(format!("cannot run {command:?}: {e}")),
        Ok(output) if output.status.success() => Ok(()),
        Ok(output) => Err(format!(
            "{command:?} failed ({}): {}",
            output.status,
            String::from_utf8_lossy(&output.stderr).trim(),
        )),
    }
}
