//! `cargo xtask token-loop`: the proof that tokens which are replaced cost no mail, with large
//! figures.

use crate::arguments::Arguments;
use crate::terminal;
use crate::workspace;
use anyhow::Context;
use anyhow::Result;
use anyhow::bail;
use anyhow::ensure;
use postroom_testkit::Need;
use postroom_testkit::Postgres;
use postroom_testkit::PostgresOptions;
use postroom_testkit::TokenLoop;
use postroom_testkit::TokenMechanism;
use postroom_testkit::missing;
use std::time::Duration;

/// The name of the database.
const DATABASE: &str = "tokens";

/// Builds the binary and runs the loop.
///
/// # Errors
///
/// When a message is lost or repeated, or an account fails without saying why.
pub fn run(arguments: &mut Arguments) -> Result<()> {
    let mechanism = arguments.option("--mechanism", "xoauth2".to_owned())?;
    let of = TokenMechanism::of(&mechanism);
    let mut plan = TokenLoop {
        accounts: arguments.option("--accounts", 5)?,
        refreshes: arguments.option("--refreshes", 1_000)?,
        kills: arguments.option("--kills", 200)?,
        grace: Duration::from_secs(arguments.option("--grace-seconds", 0)?),
        mechanism: of.context("--mechanism is xoauth2 or oauthbearer")?,
        seed: arguments.option("--seed", 1)?,
        database: None,
    };
    let database = arguments.option("--database", "sqlite".to_owned())?;
    let binary = arguments.option("--binary", String::new())?;
    arguments.end()?;
    let postgres = match database.as_str() {
        "postgres" => Some(Need::Postgres),
        "sqlite" => None,
        other => bail!("--database is sqlite or postgres, not {other}"),
    };
    let needs: Vec<_> = [Need::Dovecot, Need::Postfix].into_iter().chain(postgres).collect();
    let missing = missing(&needs);
    ensure!(missing.is_empty(), "missing: {missing:?}");
    let binary = workspace::release_or(&binary)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let result = runtime.block_on(async {
        let durable = PostgresOptions { is_durable: true, ..PostgresOptions::default() };
        let postgres = postgres.map(|_| Postgres::start(&durable)).transpose()?;
        if let Some(postgres) = &postgres {
            postgres.database_create(DATABASE).await?;
            plan.database = Some(postgres.url(DATABASE));
        }
        plan.run(&binary).await
    })?;
    terminal::say(&format!(
        "{mechanism} on {database}, seed {}: {} tokens that live 2 s, given to {} accounts while \
         mail flows; no account failed, and no message took more than {:.1} s to arrive;\n\
         {} kills just after an answer of the provider: {} times an account said that the answer \
         was lost, and got a new consent; {} times the provider took the former token again;\n\
         exactly {} messages received; {} sent once, {} say that they may have been; {:.1} s",
        plan.seed,
        result.refreshes,
        plan.accounts,
        result.slowest.as_secs_f64(),
        result.kills,
        result.consents,
        result.taken_again,
        result.received,
        result.sent,
        result.uncertain,
        result.took.as_secs_f64()
    ));
    Ok(())
}
