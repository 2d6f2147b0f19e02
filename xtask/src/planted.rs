//! Faults that are planted on purpose into a copy of the sources. They prove that the simulator and
//! the tests find what they are there for.

mod faults;
mod faults_of_tokens;

use crate::planted::faults::Finder;
use crate::planted::faults::PLANTED;
use crate::planted::faults::PlantedFault;
use crate::planted::faults_of_tokens::PLANTED_OF_TOKENS;
use crate::terminal;
use crate::workspace;
use anyhow::Context;
use anyhow::Result;
use anyhow::bail;
use anyhow::ensure;
use std::fs;
use std::io::BufRead;
use std::io::BufReader;
use std::path::PathBuf;
use std::process::Command;
use std::process::Stdio;

/// How many seeds may pass before a planted fault is found.
const PLANTED_SEEDS: &str = "100";
/// The build profile of simulations, and the directory of what it builds.
pub const PROFILE: &str = "simulation";

/// All faults.
fn planted() -> impl Iterator<Item = &'static PlantedFault> {
    PLANTED.iter().chain(PLANTED_OF_TOKENS)
}

/// Plants each fault that the simulator must find, or those whose names contain `which`.
///
/// # Errors
///
/// When one is not found, or cannot be planted.
pub fn by_simulator(which: Option<&str>) -> Result<()> {
    let copy = FaultyCopy::of_sources()?;
    let mut sound = None;
    each(&copy, which, |fault| {
        if !matches!(fault.finder, Finder::Simulator) {
            return Ok(None);
        }
        let sound = match &sound {
            Some(sound) => sound,
            None => sound.insert(copy.simulator()?),
        };
        copy.plant(fault)?;
        let faulty = copy.simulator()?;
        ensure!(faulty != *sound, "{}: the build does not contain the fault", fault.name);
        copy.first_failure().map(Some)
    })
}

/// Plants each fault that a test must find, or those whose names contain `which`.
///
/// # Errors
///
/// When one is not found, or cannot be planted.
pub fn by_tests(which: Option<&str>) -> Result<()> {
    let copy = FaultyCopy::of_sources()?;
    each(&copy, which, |fault| {
        let Finder::Test { package, target, test } = fault.finder else {
            return Ok(None);
        };
        copy.plant(fault)?;
        let mut arguments = vec!["test", "--quiet", "--package", package];
        arguments.extend(target);
        let built = copy.cargo().args(&arguments).arg("--no-run").status()?;
        ensure!(built.success(), "{}: the faulty sources do not compile", fault.name);
        let ran = copy.cargo().args(&arguments).arg(test).output()?;
        let output = String::from_utf8_lossy(&ran.stdout);
        let has_failed = output.lines().any(|line| line.starts_with("test result: FAILED"));
        Ok(Some(has_failed.then(|| format!("{package}: {test}"))))
    })
}

/// Runs `find` for each fault, and says what it gives. Its answers: `None`, the fault is not for
/// it; `Some(None)`, the fault was not found.
fn each(
    copy: &FaultyCopy,
    which: Option<&str>,
    mut find: impl FnMut(&PlantedFault) -> Result<Option<Option<String>>>,
) -> Result<()> {
    let (mut found, mut missed) = (0, vec![]);
    for fault in planted().filter(|fault| which.is_none_or(|which| fault.name.contains(which))) {
        match find(fault)? {
            None => continue,
            Some(Some(failure)) => {
                found += 1;
                terminal::say(&format!("found: {}\n  {failure}", fault.name));
            }
            Some(None) => {
                terminal::say(&format!("NOT FOUND: {}", fault.name));
                missed.push(fault.name);
            }
        }
        copy.refresh()?;
    }
    ensure!(missed.is_empty(), "{found} found, not found: {}", missed.join("; "));
    ensure!(found > 0, "no planted fault has such a name");
    terminal::say(&format!("{found} planted faults, and all were found"));
    Ok(())
}

/// A copy of the sources, with a target directory of its own. In a shared one cargo would take what
/// was built from the sound sources, because both copies have the same packages.
struct FaultyCopy {
    sources: PathBuf,
    target: PathBuf,
}

impl FaultyCopy {
    fn of_sources() -> Result<Self> {
        let directory = workspace::target().join("planted");
        let copy = Self { sources: directory.join("sources"), target: directory.join("target") };
        copy.refresh()?;
        Ok(copy)
    }

    /// Copies what git knows or would add. Files that are as they were keep their time, so that
    /// cargo builds only what a fault has changed.
    fn refresh(&self) -> Result<()> {
        let mut git = Command::new("git");
        git.current_dir(workspace::root());
        let words = ["ls-files", "--cached", "--others", "--exclude-standard"];
        let listed = git.args(words).output()?;
        let said = String::from_utf8_lossy(&listed.stderr);
        ensure!(listed.status.success(), "git ls-files: {said}");
        for file in String::from_utf8(listed.stdout)?.lines() {
            let (from, to) = (workspace::root().join(file), self.sources.join(file));
            let Ok(bytes) = fs::read(&from) else {
                continue;
            };
            if fs::read(&to).is_ok_and(|there| there == bytes) {
                continue;
            }
            fs::create_dir_all(to.parent().context("a file without a directory")?)?;
            fs::write(&to, bytes).with_context(|| format!("writing {}", to.display()))?;
        }
        Ok(())
    }

    fn plant(&self, fault: &PlantedFault) -> Result<()> {
        let file = self.sources.join(fault.file);
        let faulty = with_fault(&fs::read_to_string(&file)?, fault)?;
        fs::write(file, faulty)?;
        Ok(())
    }

    fn cargo(&self) -> Command {
        let mut cargo = workspace::cargo();
        cargo.current_dir(&self.sources).env("CARGO_TARGET_DIR", &self.target);
        cargo
    }

    /// Builds the simulator; gives its bytes.
    fn simulator(&self) -> Result<Vec<u8>> {
        let arguments = ["--quiet", "--profile", PROFILE, "--package", "postroom-simulator"];
        let built = self.cargo().arg("build").args(arguments).status()?;
        ensure!(built.success(), "the simulator of the copied sources does not compile");
        Ok(fs::read(self.binary())?)
    }

    fn binary(&self) -> PathBuf {
        self.target.join(PROFILE).join("postroom-simulator")
    }

    /// Simulates seeds until one fails.
    fn first_failure(&self) -> Result<Option<String>> {
        let mut simulator = Command::new(self.binary());
        simulator.args(["--seeds", PLANTED_SEEDS]).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut running = simulator.spawn()?;
        let output = running.stdout.take().context("the simulator has no output")?;
        for line in BufReader::new(output).lines() {
            let line = line?;
            if line.contains("FAILED") {
                running.kill()?;
                running.wait()?;
                return Ok(Some(line));
            }
        }
        match running.wait()?.success() {
            true => Ok(None),
            false => bail!("the simulator failed and named no seed"),
        }
    }
}

/// The source with the fault.
fn with_fault(source: &str, fault: &PlantedFault) -> Result<String> {
    let count = source.matches(fault.sound).count();
    let (name, file, sound) = (fault.name, fault.file, fault.sound);
    ensure!(
        count == 1,
        "the fault `{name}` cannot be planted, because {file} has `{sound}` {count} times, not \
         once: change the fault with the source"
    );
    ensure!(sound != fault.faulty, "the fault `{name}` changes nothing");
    Ok(source.replace(sound, fault.faulty))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_fault_can_be_planted_in_the_present_sources() {
        let mut errors = vec![];
        for fault in planted() {
            let source = fs::read_to_string(workspace::root().join(fault.file)).unwrap();
            errors.extend(with_fault(&source, fault).err().map(|error| error.to_string()));
            if let Finder::Test { package, test, .. } = fault.finder {
                let name = test.rsplit("::").next().unwrap();
                let crates = workspace::root().join("crates").join(package);
                let mut files = vec![crates];
                let mut is_there = false;
                while let Some(path) = files.pop() {
                    if path.is_dir() {
                        files.extend(fs::read_dir(path).unwrap().map(|one| one.unwrap().path()));
                    } else if path.extension().is_some_and(|extension| extension == "rs") {
                        let text = fs::read_to_string(path).unwrap();
                        is_there |= text.contains(&format!("fn {name}("));
                    }
                }
                let missing = format!("{package} has no test `{name}` for `{}`", fault.name);
                errors.extend((!is_there).then_some(missing));
            }
        }
        assert!(errors.is_empty(), "{errors:#?}");
    }
}
