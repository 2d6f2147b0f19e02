//! `cargo xtask simulate`: many seeds through the engine simulator.

use crate::arguments::Arguments;
use crate::planted;
use crate::workspace;
use anyhow::Result;
use anyhow::ensure;

/// Builds the simulator and hands it what stands on the command line. With `--planted`, plants
/// faults that it must find.
///
/// # Errors
///
/// When a promise does not hold, or a planted fault is not found.
pub fn run(arguments: &mut Arguments) -> Result<()> {
    let rest = arguments.rest();
    if rest.first().is_some_and(|word| word == "--planted") {
        return planted::by_simulator(rest.get(1).map(String::as_str));
    }
    let mut simulator = workspace::cargo();
    simulator.args(["run", "--quiet", "--profile", planted::PROFILE]);
    simulator.args(["--package", "postroom-simulator", "--"]);
    let status = simulator.args(rest).status()?;
    ensure!(status.success(), "the simulation failed");
    Ok(())
}
