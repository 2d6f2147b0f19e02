//! `cargo xtask failover`: the proof that a take-over loses and repeats nothing, with large
//! figures.

use crate::arguments::Arguments;
use crate::terminal;
use crate::workspace;
use anyhow::Result;
use anyhow::ensure;
use postroom_testkit::FailoverLoop;
use postroom_testkit::Need;
use postroom_testkit::missing;

/// Builds the binary and runs the loop.
///
/// # Errors
///
/// When a message is lost, repeated or different, or a node that is not active writes.
pub fn run(arguments: &mut Arguments) -> Result<()> {
    let takeovers = arguments.option("--takeovers", 300)?;
    let plan = FailoverLoop {
        takeovers,
        count: arguments.option("--count", 20_000)?,
        sent: arguments.option("--sent", 5_000)?,
        restarts: arguments.option("--restarts", 20)?,
        seed: arguments.option("--seed", 1)?,
    };
    let binary = arguments.option("--binary", String::new())?;
    arguments.end()?;
    let missing = missing(&[Need::Dovecot, Need::Postgres, Need::Faketime]);
    ensure!(missing.is_empty(), "missing: {missing:?}");
    let binary = workspace::release_or(&binary)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let result = runtime.block_on(plan.run(&binary))?;
    let longest = |all: &[std::time::Duration]| all.last().map_or(0.0, |it| it.as_secs_f64());
    terminal::say(&format!(
        "{} take-overs from a node that was killed, paused or cut off: median {:.1} s, longest \
         {:.1} s;\n{} from one that was stopped: longest {:.1} s; {} restarts of PostgreSQL;\n\
         exactly {} messages received, each sha256-equal to what FETCH gives: 0 lost, 0 double;\n\
         {} of {} messages sent, each once; {} say that they may have been;\n\
         deposed writes: {} of {}; {:.1} s",
        result.lost.len(),
        result.median().as_secs_f64(),
        longest(&result.lost),
        result.handed_over.len(),
        longest(&result.handed_over),
        plan.restarts,
        plan.count,
        result.sent,
        plan.sent,
        result.uncertain,
        result.deposed_writes,
        result.engine_writes,
        result.took.as_secs_f64()
    ));
    Ok(())
}
