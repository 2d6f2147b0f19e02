//! Which programs are there, and which Debian package brings a missing one.

use std::env;
use std::fs;
use std::io;
use std::io::Write;
use std::os::unix::fs::chown;
use std::path::Path;
use std::path::PathBuf;

/// What a test or a benchmark needs beyond Rust.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Need {
    /// Dovecot with IMAP and LMTP.
    Dovecot,
    /// Postfix; it runs only as root.
    Postfix,
    /// mbsync, a program that benchmarks are compared with.
    Mbsync,
    /// PostgreSQL 15 or newer.
    Postgres,
    /// Schemathesis, which tests an interface by its description.
    Schemathesis,
    /// The generator of clients openapi-python-client.
    PythonClient,
    /// The generator of types openapi-typescript, with the compiler of TypeScript.
    TypeScript,
    /// Python 3.
    Python,
    /// The compiler of TypeScript, and the types of Node.js.
    NodeTypes,
    /// Chromium, and what leads it.
    Browser,
    /// The linter of Dockerfiles.
    Hadolint,
    /// The library that gives a process another time of day.
    Faketime,
}

/// Something that is not there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Missing {
    /// The program, as a person calls it.
    pub program: &'static str,
    /// What to do about it, as a command or a condition.
    pub remedy: &'static str,
}

/// What of `needs` is missing here, in the same order. Empty when all is there.
pub fn missing(needs: &[Need]) -> Vec<Missing> {
    needs.iter().filter_map(|need| missing_one(*need)).collect()
}

fn missing_one(need: Need) -> Option<Missing> {
    let (program, remedy) = match need {
        Need::Dovecot if program_path("dovecot").is_none() || !dovecot_speaks_imap_and_lmtp() => {
            ("dovecot", "apt-get install dovecot-imapd dovecot-lmtpd")
        }
        Need::Postfix if program_path("postfix").is_none() => {
            ("postfix", "apt-get install postfix")
        }
        Need::Postfix if !is_root() => ("postfix", "run as root"),
        Need::Mbsync if program_path("mbsync").is_none() => ("mbsync", "apt-get install isync"),
        Need::Postgres if postgres_programs().is_none() => {
            ("postgresql", "apt-get install postgresql")
        }
        // It refuses root.
        Need::Postgres if is_root() && user("postgres").is_none() => {
            ("a user postgres", "apt-get install postgresql")
        }
        Need::Schemathesis if !python_program("schemathesis").is_file() => {
            ("schemathesis", "make setup")
        }
        Need::PythonClient if !python_program("openapi-python-client").is_file() => {
            ("openapi-python-client", "make setup")
        }
        Need::TypeScript if !node_program("openapi-typescript").exists() => {
            ("openapi-typescript", "make setup")
        }
        Need::Python if program_path("python3").is_none() => ("python3", "apt-get install python3"),
        Need::NodeTypes
            if !node_modules().join("@types/node").is_dir() || !node_program("tsc").exists() =>
        {
            ("typescript and @types/node", "make setup")
        }
        Need::Browser if chromium().is_none() => ("chromium", "apt-get install chromium"),
        Need::Browser if !node_modules().join("playwright-core").is_dir() => {
            ("playwright-core", "make setup")
        }
        Need::Hadolint if !python_program("hadolint").is_file() => ("hadolint", "make setup"),
        Need::Faketime if faketime_library().is_none() => {
            ("libfaketime", "apt-get install faketime")
        }
        Need::Dovecot
        | Need::Postfix
        | Need::Mbsync
        | Need::Postgres
        | Need::Schemathesis
        | Need::PythonClient
        | Need::TypeScript
        | Need::Python
        | Need::NodeTypes
        | Need::Browser
        | Need::Hadolint
        | Need::Faketime => return None,
    };
    Some(Missing { program, remedy })
}

/// The library of [`Need::Faketime`].
fn faketime_library() -> Option<PathBuf> {
    let libraries = fs::read_dir("/usr/lib").ok()?;
    let library = |entry: fs::DirEntry| entry.path().join("faketime/libfaketime.so.1");
    libraries.filter_map(Result::ok).map(library).find(|file| file.is_file())
}

/// The environment of a process whose clock is wrong by so many hours. Empty without
/// [`Need::Faketime`].
pub(crate) fn wrong_clock(hours: i32) -> Vec<(String, String)> {
    let Some(library) = faketime_library() else { return vec![] };
    let library = library.display().to_string();
    // The clock that measures how long something takes goes on as it is.
    let variables = [
        ("LD_PRELOAD", library),
        ("FAKETIME", format!("{hours:+}h")),
        ("FAKETIME_DONT_FAKE_MONOTONIC", "1".to_owned()),
    ];
    variables.map(|(name, value)| (name.to_owned(), value)).into()
}

/// Where `make setup` puts the Python program of that name.
pub fn python_program(name: &str) -> PathBuf {
    test_programs().join("python/bin").join(name)
}

/// Where `make setup` puts the Node.js program of that name.
pub fn node_program(name: &str) -> PathBuf {
    node_modules().join(".bin").join(name)
}

/// Where `make setup` puts the modules of Node.js.
pub fn node_modules() -> PathBuf {
    test_programs().join("node/node_modules")
}

/// Chromium, or a browser that is made of it.
pub fn chromium() -> Option<PathBuf> {
    ["chromium", "chromium-browser", "google-chrome"].into_iter().find_map(program_path)
}

/// The directory of the programs that only tests need.
fn test_programs() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/tools")
}

/// Whether all of `needs` are there. If not, says so in one visible line per missing program, even
/// when the test harness captures output; the caller then returns.
pub fn require(needs: &[Need]) -> bool {
    let missing = missing(needs);
    for Missing { program, remedy } in &missing {
        skipped(&format!("needs {program} ({remedy})"));
    }
    missing.is_empty()
}

/// Says in a visible line that the test that calls this is passed over, and why.
pub fn skipped(why: &str) {
    let thread = std::thread::current();
    let test = thread.name().unwrap_or("a test");
    // Not println!: the harness swallows that for tests that pass.
    let line = format!("SKIPPED {test}: {why}\n");
    let _ = std::io::stdout().lock().write_all(line.as_bytes());
}

/// Where `program` is: in PATH or in the places for system programs that PATH may lack.
pub(crate) fn program_path(program: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    let system = ["/usr/sbin", "/usr/local/sbin", "/sbin"].map(PathBuf::from);
    env::split_paths(&path).chain(system).map(|at| at.join(program)).find(|at| at.is_file())
}

/// Where the programs of the newest PostgreSQL are that is new enough.
pub(crate) fn postgres_programs() -> Option<PathBuf> {
    let versions = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let version = |at: &std::fs::DirEntry| at.file_name().to_str()?.parse::<u32>().ok();
    let newest = versions.filter_map(|at| Some((version(&at)?, at.path().join("bin"))));
    let newest = newest.filter(|(version, bin)| *version >= 15 && bin.join("initdb").is_file());
    // Elsewhere than on Debian they are in PATH.
    let (_, bin) = newest.max().or_else(|| {
        let initdb = program_path("initdb")?;
        Some((0, initdb.parent()?.to_owned()))
    })?;
    bin.join("postgres").is_file().then_some(bin)
}

/// The user of this name.
pub(crate) fn user(name: &str) -> Option<Owner> {
    let users = std::fs::read_to_string("/etc/passwd").ok()?;
    let line = users.lines().find(|line| line.split(':').next() == Some(name))?;
    let mut ids = line.split(':').skip(2);
    Some(Owner { uid: ids.next()?.parse().ok()?, gid: ids.next()?.parse().ok()? })
}

/// Whether this process runs as root.
pub(crate) fn is_root() -> bool {
    owner_of("/proc/self").is_some_and(|owner| owner.uid == 0)
}

/// User and group that own a file.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Owner {
    pub uid: u32,
    pub gid: u32,
}

impl Owner {
    /// Gives `path` to them.
    ///
    /// # Errors
    ///
    /// When this process may not do that.
    pub(crate) fn take(self, path: impl AsRef<Path>) -> io::Result<()> {
        chown(path, Some(self.uid), Some(self.gid))
    }
}

/// User and group that own `path`.
pub(crate) fn owner_of(path: impl AsRef<Path>) -> Option<Owner> {
    use std::os::unix::fs::MetadataExt;
    let metadata = std::fs::metadata(path).ok()?;
    Some(Owner { uid: metadata.uid(), gid: metadata.gid() })
}

fn dovecot_speaks_imap_and_lmtp() -> bool {
    let directory = Path::new("/usr/lib/dovecot");
    // Elsewhere than on Debian the place is another. Then the start itself will tell.
    !directory.is_dir() || ["imap", "lmtp"].iter().all(|name| directory.join(name).is_file())
}
