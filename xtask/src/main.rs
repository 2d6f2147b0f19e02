//! Tools of this repository. `cargo xtask` lists them.
#![expect(clippy::indexing_slicing, reason = "a JSON value answers null for a missing key")]

mod terminal;
mod workspace;

mod arguments;
mod bench;
mod bridge_loop;
mod failover;
mod fuzz;
mod kill_loop;
mod planted;
mod simulate;
mod test;
mod tidy;
mod token_loop;

use crate::arguments::Arguments;
use anyhow::Result;
use std::process::ExitCode;

const HELP: &str = "\
cargo xtask CHORE

  tidy                        check what rustfmt and clippy cannot: layers, headers, names, ..
  test [--fuzz-seconds N]     all tests, then each fuzz target for N seconds; one closing line
  test --planted [WORD]       proves that tests find faults that are planted on purpose
  fuzz [NAME] [--seconds N]   one fuzz target, or all, for N seconds each (default 60)
  token-loop [--accounts N] [--refreshes N] [--kills N] [--grace-seconds N] [--seed N]
             [--mechanism xoauth2|oauthbearer] [--database sqlite|postgres] [--binary FILE]
                              tokens that live 2 s are replaced while mail flows, and Postroom is
                              killed just after answers of their provider
  kill-loop [--kills N] [--count N] [--seed N]
                              kill Postroom again and again while it loads a mailbox
  kill-loop --database postgres [--restarts N] [--cut-offs N] [--sent N]
                              the same on PostgreSQL, which is restarted too, while mail is sent
  bridge-loop [--language python|typescript] [--database sqlite|postgres] [--mailboxes N]
              [--count N] [--arriving N] [--answered N] [--kills N] [--seed N] [--binary FILE]
                              kill Postroom and a bridge of examples/ again and again while
                              mailboxes load: each message becomes one ticket
  failover [--takeovers N] [--restarts N] [--count N] [--sent N] [--seed N] [--binary FILE]
                              two nodes on one PostgreSQL: the active one is killed, paused, cut
                              off or stopped again and again, while mail arrives and is sent;
                              one clock is an hour slow and one an hour fast
  simulate [--seeds N] [--first N] [--threads N] [--log]
                              the engine in simulated time with seeded faults (default 100 seeds)
  simulate --planted [WORD]   proves that the simulator finds faults that are planted on purpose
  bench receive [--count N] [--runs N] [--kind a|b|c|t] [--binary FILE]
                              Postroom and mbsync on the same mailbox, in turns
  bench receive --database postgres
                              Postroom on PostgreSQL and on SQLite, in turns
  bench api [--rows N] [--accounts N] [--seconds N] [--database sqlite|postgres]
            [--pocketbase FILE] [--binary FILE]
                              REST on both databases, beside the statements alone and others
  bench news [--subscribers N] [--rate N] [--seconds N] [--database sqlite|postgres]
             [--binary FILE]  how soon many subscribers with different filters are told of changes
  bench mime [FILE..]         the parser and two others on the same messages
  bench large                 memory that a message of 100 MB in a file takes
  bench memory                memory of IMAP connections
  oracle                      compare the parser with independent ones
";

fn main() -> ExitCode {
    let mut arguments = Arguments::from_command_line();
    match run(&mut arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            terminal::complain(&format!("{error:#}"));
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &mut Arguments) -> Result<()> {
    let chore = arguments.word().unwrap_or_default();
    match chore.as_str() {
        "tidy" => tidy::run(),
        "test" => test::run(arguments),
        "fuzz" => fuzz::run(arguments),
        "token-loop" => token_loop::run(arguments),
        "kill-loop" => kill_loop::run(arguments),
        "bridge-loop" => bridge_loop::run(arguments),
        "failover" => failover::run(arguments),
        "simulate" => simulate::run(arguments),
        "bench" => bench::run(arguments),
        "oracle" => bench::example("postroom-mime", "oracle", arguments),
        "" | "help" | "--help" | "-h" => {
            terminal::say(HELP.trim_end());
            Ok(())
        }
        unknown => anyhow::bail!("there is no chore `{unknown}`\n\n{HELP}"),
    }
}
