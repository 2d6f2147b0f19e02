//! `cargo xtask bridge-loop`: the proof that whoever follows the feed has each message exactly
//! once, with large figures.

use crate::arguments::Arguments;
use crate::terminal;
use crate::workspace;
use anyhow::Context;
use anyhow::Result;
use anyhow::bail;
use anyhow::ensure;
use postroom_testkit::BridgeLanguage;
use postroom_testkit::BridgeLoop;
use postroom_testkit::Need;
use postroom_testkit::Postgres;
use postroom_testkit::PostgresOptions;
use postroom_testkit::missing;

/// The name of the database.
const DATABASE: &str = "bridge";

/// Builds the binary and runs the loop.
///
/// # Errors
///
/// When a message is missing, repeated or different, or an answer is sent twice.
pub fn run(arguments: &mut Arguments) -> Result<()> {
    let language = arguments.option("--language", "python".to_owned())?;
    let mut plan = BridgeLoop {
        language: BridgeLanguage::of(&language).context("--language is python or typescript")?,
        mailboxes: arguments.option("--mailboxes", 3)?,
        count: arguments.option("--count", 20_000)?,
        arriving: arguments.option("--arriving", 2_000)?,
        answered: arguments.option("--answered", 200)?,
        kills: arguments.option("--kills", 200)?,
        seed: arguments.option("--seed", 1)?,
        database: None,
    };
    ensure!(plan.arriving <= plan.count, "--arriving is more than --count");
    let database = arguments.option("--database", "sqlite".to_owned())?;
    let binary = arguments.option("--binary", String::new())?;
    arguments.end()?;
    let is_postgres = match database.as_str() {
        "sqlite" => false,
        "postgres" => true,
        other => bail!("--database is sqlite or postgres, not {other}"),
    };
    let needs = [Some(plan.language.need()), is_postgres.then_some(Need::Postgres)];
    let missing = missing(&needs.into_iter().flatten().collect::<Vec<_>>());
    ensure!(missing.is_empty(), "missing: {missing:?}");
    let binary = workspace::release_or(&binary)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let result = runtime.block_on(async {
        let durable = PostgresOptions { is_durable: true, ..PostgresOptions::default() };
        let postgres = if is_postgres { Some(Postgres::start(&durable)?) } else { None };
        if let Some(postgres) = &postgres {
            postgres.database_create(DATABASE).await?;
            plan.database = Some(postgres.url(DATABASE));
        }
        plan.run(&binary).await
    })?;
    terminal::say(&format!(
        "{language} on {database}, seed {}: {} kills of Postroom and {} of the bridge, {} of these \
         while tickets were still to come;\n\
         exactly {} messages of {} mailboxes, each with exactly one ticket;\n\
         {} answers arrived once, {} say that they may have; {:.1} s",
        plan.seed,
        result.postroom_kills,
        result.bridge_kills,
        result.kills_in_between,
        plan.mailboxes * plan.count,
        plan.mailboxes,
        result.answered,
        result.uncertain,
        result.took.as_secs_f64()
    ));
    Ok(())
}
