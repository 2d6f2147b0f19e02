//! `cargo xtask kill-loop`: the proof that nothing is lost or repeated, with large figures.

use crate::arguments::Arguments;
use crate::terminal;
use crate::workspace;
use anyhow::Result;
use anyhow::bail;
use anyhow::ensure;
use postroom_testkit::DatabaseLoop;
use postroom_testkit::KillLoop;
use postroom_testkit::Need;
use postroom_testkit::missing;

/// Builds the binary and runs the loop.
///
/// # Errors
///
/// When a message is lost, repeated or different.
pub fn run(arguments: &mut Arguments) -> Result<()> {
    match arguments.option("--database", "sqlite".to_owned())?.as_str() {
        "sqlite" => sqlite(arguments),
        "postgres" => postgres(arguments),
        other => bail!("--database is sqlite or postgres, not {other}"),
    }
}

/// The same with a database that fails too, while mail is received and sent.
fn postgres(arguments: &mut Arguments) -> Result<()> {
    let plan = DatabaseLoop {
        count: arguments.option("--count", 10_000)?,
        sent: arguments.option("--sent", 200)?,
        kills: arguments.option("--kills", 50)?,
        restarts: arguments.option("--restarts", 20)?,
        cut_offs: arguments.option("--cut-offs", 10)?,
        kind: arguments.option("--kind", 'a')?,
        seed: arguments.option("--seed", 1)?,
    };
    let binary = arguments.option("--binary", String::new())?;
    arguments.end()?;
    let missing = missing(&[Need::Dovecot, Need::Postfix, Need::Postgres]);
    ensure!(missing.is_empty(), "missing: {missing:?}");
    let binary = workspace::release_or(&binary)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let result = runtime.block_on(plan.run(&binary))?;
    terminal::say(&format!(
        "{} kills, {} restarts of PostgreSQL, all connections ended {} times ({} of them);\n\
         {} of these faults while messages were still to come;\n\
         exactly {} messages, each sha256-equal to what FETCH gives;\n\
         {} of {} messages sent, each once; {} say that they may have been; {:.1} s",
        plan.kills,
        plan.restarts,
        plan.cut_offs,
        result.connections_ended,
        result.faults_during_load,
        plan.count,
        result.sent,
        plan.sent,
        result.uncertain,
        result.took.as_secs_f64()
    ));
    Ok(())
}

fn sqlite(arguments: &mut Arguments) -> Result<()> {
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
