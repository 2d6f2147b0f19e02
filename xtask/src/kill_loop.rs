//! `cargo xtask kill-loop`: the proof that nothing is lost or repeated, with large figures.

use crate::arguments::Arguments;
use crate::terminal;
use crate::workspace;
use anyhow::Result;
use anyhow::ensure;
use postroom_testkit::KillLoop;
use postroom_testkit::Need;
use postroom_testkit::missing;

/// Builds the binary and runs the loop.
///
/// # Errors
///
/// When a message is lost, repeated or different.
pub fn run(arguments: &mut Arguments) -> Result<()> {
    let plan = KillLoop {
        count: arguments.option("--count", 10_000)?,
        kills: arguments.option("--kills", 50)?,
        kind: arguments.option("--kind", 'a')?,
        seed: arguments.option("--seed", 1)?,
    };
    arguments.end()?;
    let missing = missing(&[Need::Dovecot]);
    ensure!(missing.is_empty(), "missing: {missing:?}");
    let binary = workspace::release_binary()?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let result = runtime.block_on(plan.run(&binary))?;
    terminal::say(&format!(
        "{} kills, {} of them while messages were still to come, {} starts in between;\n\
         exactly {} messages, each sha256-equal to what FETCH gives; {:.1} s",
        plan.kills,
        result.kills_during_load,
        result.starts_in_between,
        plan.count,
        result.took.as_secs_f64()
    ));
    Ok(())
}
