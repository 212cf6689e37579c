//! `posthouse-chat`: the terminal client of Posthouse.
//!
//! Everything that it knows of messages it asks of the SDK (`posthouse-client`). The scriptable
//! commands are in `command`, the full screen is in `screen`; docs/chat.md says what they print and how they end.

mod args;

mod ended;

mod failure;

mod secret;

mod text;

mod qr;

mod profile;

mod output;

mod names;

mod mention;

mod session;

mod talk;

mod command;

mod screen;

use std::process::ExitCode;

use clap::Parser as _;

use args::Args;
use failure::{Exit, Failure};
use output::Output;

/// Runs the program that the command line asks for.
pub fn main() -> ExitCode {
    let args = Args::parse();
    let output = Output::new(args.json);
    let outcome = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .map_err(|err| {
            let fact = format!("The program's threads cannot be started: {err}.");
            Failure::new(Exit::Other, fact, "Check the limits of the process (ulimit -u).")
        })
        .and_then(|runtime| runtime.block_on(command::run(args, output)));
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            output.failure(&failure);
            failure.exit().into()
        }
    }
}
