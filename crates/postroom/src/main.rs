//! Postroom: one binary that exchanges email between mail servers and a data model.
//!
//! ```text
//!   cli ──► serve:    configuration ──► store, engine, api ──► until a signal
//!       ──► redecompose: store, engine ──► the present parser over stored messages
//!       ──► backup, restore, verify: store ──► a file with all of it, and back
//!       ──► rotate-key: store ──► another master key
//!       ──► move: store ──► all of it in another database
//!       ──► sandbox:  a mail server to try integrations against
//!       ──► demo:     both, and a client that shows the main job step by step
//! ```
//! The only place with `anyhow`, arguments and the environment.
#![warn(unreachable_pub)]

mod secrets;

mod blobs;

mod feed;
mod instance_arguments;
mod rest;

mod config;

mod sandbox_help;

mod command_help;

mod database_arguments;

mod key_arguments;

mod cli;

mod logging;

mod key_command;

mod dialing;

mod data;

mod setup;

mod standby;

mod listen_address;

mod interfaces;

mod rest_addresses;

mod admin_token;

mod running;

mod serve;

mod redecompose;

mod backup;

mod rotate_key;

mod moving;

mod sandbox;

mod demo;

use clap::Parser;
use std::process::ExitCode;

/// This allocator gives memory back after a burst. The system's allocator keeps it in each thread's
/// arena.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// The exit code for wrong arguments, the same as clap's.
const WRONG_ARGUMENTS: u8 = 2;

fn main() -> ExitCode {
    let arguments = match cli::Cli::try_parse() {
        Ok(arguments) => arguments,
        // With `--log-json`, even a wrong argument is reported as JSON.
        Err(error) if error.use_stderr() && cli::asks_for_json(std::env::args_os()) => {
            logging::complain(true, &error.to_string());
            return ExitCode::from(WRONG_ARGUMENTS);
        }
        Err(error) => error.exit(),
    };
    let json = arguments.logs_json();
    if json {
        logging::tell_faults_as_json();
    }
    match run(arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // The causes in words, without the numbers of the system.
            let causes: Vec<_> = error.chain().map(postroom_net::cause).collect();
            logging::complain(json, &causes.join(": "));
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: cli::Cli) -> anyhow::Result<()> {
    secrets::keep_inside()?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        match arguments.command {
            cli::CliCommand::Serve(arguments) => Box::pin(serve::run(*arguments)).await,
            cli::CliCommand::Redecompose(arguments) => Box::pin(redecompose::run(arguments)).await,
            cli::CliCommand::Backup(arguments) => Box::pin(backup::backup(arguments)).await,
            cli::CliCommand::Restore(arguments) => Box::pin(backup::restore(arguments)).await,
            cli::CliCommand::Verify(arguments) => Box::pin(backup::verify(arguments)).await,
            cli::CliCommand::RotateKey(arguments) => Box::pin(rotate_key::run(arguments)).await,
            cli::CliCommand::Move(arguments) => Box::pin(moving::run(arguments)).await,
            cli::CliCommand::Sandbox(arguments) => Box::pin(sandbox::run(arguments)).await,
            cli::CliCommand::Demo(arguments) => Box::pin(demo::run(arguments)).await,
        }
    })
}
