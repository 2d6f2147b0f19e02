//! A bridge of `examples/` as a process of its own: started, killed, and asked what it has.

use crate::packages::Need;
use crate::packages::node_program;
use crate::postroom::Postroom;
use crate::process::Process;
use crate::process::private_directory;
use anyhow::Context;
use anyhow::Result;
use anyhow::ensure;
use serde_json::Value;
use std::ffi::OsString;
use std::fs;
use std::fs::OpenOptions;
use std::io::BufRead;
use std::io::BufReader;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::path::PathBuf;
use std::process::ChildStdout;
use std::process::Command;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;
use tempfile::TempDir;

/// What a bridge is written in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BridgeLanguage {
    /// `examples/helpdesk_bridge.py`.
    Python,
    /// `examples/helpdesk_bridge.mts`.
    TypeScript,
}

impl BridgeLanguage {
    /// What it needs.
    pub fn need(self) -> Need {
        match self {
            Self::Python => Need::Python,
            Self::TypeScript => Need::NodeTypes,
        }
    }

    /// The language of this name, in small letters.
    pub fn of(name: &str) -> Option<Self> {
        match name {
            "python" => Some(Self::Python),
            "typescript" => Some(Self::TypeScript),
            _ => None,
        }
    }
}

/// What a bridge said last.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct BridgeCounts {
    /// How many tickets it has.
    pub tickets: usize,
    /// How many answers it has not handed over.
    pub due: usize,
}

/// A bridge with a database of its own, running or stopped.
pub(crate) struct Bridge {
    process: Option<Process>,
    program: PathBuf,
    script: OsString,
    /// Where its Postroom is.
    postroom: String,
    counts: Arc<Mutex<BridgeCounts>>,
    directory: TempDir,
}

impl Bridge {
    /// Builds the bridge, which does not run yet. `postroom`: where its Postroom is.
    pub(crate) fn new(language: BridgeLanguage, postroom: &str) -> Result<Self> {
        let directory = private_directory("postroom-bridge-")?;
        let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples");
        let (program, script) = match language {
            BridgeLanguage::Python => ("python3", examples.join("helpdesk_bridge.py")),
            BridgeLanguage::TypeScript => ("node", compiled(&examples, directory.path())?),
        };
        Ok(Self {
            process: None,
            program: program.into(),
            script: script.into(),
            postroom: postroom.to_owned(),
            counts: Arc::default(),
            directory,
        })
    }

    /// Starts it on what it has. It must be stopped.
    pub(crate) fn start(&mut self) -> Result<()> {
        ensure!(self.process.is_none(), "it is running already");
        let at = self.directory.path();
        let log = OpenOptions::new().create(true).append(true).open(at.join("log"))?;
        let mut command = self.command();
        command.stdout(Stdio::piped()).stderr(log);
        let mut process = Process::start(&mut command, at)?;
        follow(process.take_output().context("no standard output")?, &self.counts);
        self.process = Some(process);
        Ok(())
    }

    /// Ends it at once, as a crash would (SIGKILL).
    pub(crate) fn kill(&mut self) -> Result<()> {
        self.process.take().context("it is not running")?.kill()
    }

    /// What it said last, of all its starts. An error if it has ended by itself.
    pub(crate) fn counts(&mut self) -> Result<BridgeCounts> {
        let ended = self.process.as_mut().map(Process::ended).transpose()?.flatten();
        ensure!(ended.is_none(), "the bridge has ended by itself:\n{}", self.log());
        Ok(*locked(&self.counts))
    }

    /// All its tickets. It must be stopped.
    pub(crate) fn tickets(&self) -> Result<Vec<Value>> {
        ensure!(self.process.is_none(), "it is running");
        let ran = self.command().arg("tickets").output()?;
        ensure!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
        let lines = ran.stdout.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
        lines.map(|line| Ok(serde_json::from_slice(line)?)).collect()
    }

    /// What it complained about so far.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.directory.path().join("log")).unwrap_or_default()
    }

    fn command(&self) -> Command {
        let mut command = Command::new(&self.program);
        command.arg(&self.script).current_dir(self.directory.path());
        command.env("HELPDESK", "helpdesk").env("POSTROOM", &self.postroom);
        command.env("POSTROOM_ADMIN_TOKEN", Postroom::TOKEN);
        command
    }
}

/// The bridge in TypeScript, compiled in a directory.
fn compiled(examples: &Path, directory: &Path) -> Result<PathBuf> {
    let tsc = node_program("tsc");
    let modules = tsc.parent().and_then(Path::parent).context("no place of modules")?;
    symlink(modules.canonicalize()?, directory.join("node_modules"))?;
    fs::copy(examples.join("helpdesk_bridge.mts"), directory.join("helpdesk_bridge.mts"))?;
    let mut compile = Command::new(tsc);
    // As the example says.
    compile.args(["--strict", "--module", "nodenext", "--target", "es2022", "--types", "node"]);
    let ran = compile.arg("helpdesk_bridge.mts").current_dir(directory).output()?;
    ensure!(ran.status.success(), "tsc: {}", String::from_utf8_lossy(&ran.stdout));
    Ok(directory.join("helpdesk_bridge.mjs"))
}

/// Reads lines such as `12 tickets, 3 answers due` until the bridge ends.
fn follow(output: ChildStdout, counts: &Arc<Mutex<BridgeCounts>>) {
    let counts = Arc::clone(counts);
    std::thread::spawn(move || {
        for line in BufReader::new(output).lines().map_while(Result::ok) {
            let mut numbers = line.split(' ').filter_map(|word| word.parse().ok());
            if let (Some(tickets), Some(due)) = (numbers.next(), numbers.next()) {
                *locked(&counts) = BridgeCounts { tickets, due };
            }
        }
    });
}

fn locked(counts: &Mutex<BridgeCounts>) -> MutexGuard<'_, BridgeCounts> {
    counts.lock().unwrap_or_else(PoisonError::into_inner)
}
