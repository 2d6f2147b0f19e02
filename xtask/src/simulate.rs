//! `cargo xtask simulate`: many seeds through the engine simulator.

use crate::arguments::Arguments;
use crate::workspace;
use anyhow::Result;
use anyhow::ensure;

/// Builds the simulator and hands it what stands on the command line.
///
/// # Errors
///
/// When a promise does not hold.
pub fn run(arguments: &mut Arguments) -> Result<()> {
    let mut simulator = workspace::cargo();
    simulator.args(["run", "--quiet", "--package", "postroom-simulator", "--"]);
    let status = simulator.args(arguments.rest()).status()?;
    ensure!(status.success(), "the simulation failed");
    Ok(())
}
