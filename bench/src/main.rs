//! `posthouse-bench`: loads a homeserver from a process of its own and measures what that costs.
//!
//! Every figure is measured while it runs; docs/benchmarks.md says what each one means.

mod args;

mod clock;

mod failure;

mod process;

mod machine;

mod metrics;

mod target;

mod users;

mod frame;

mod latency;

mod pairs;

mod idle;

mod offline;

mod killed;

mod report;

use std::process::ExitCode;

use clap::Parser as _;

use args::{Args, Scenario};
use failure::Failure;
use report::{Console, Report};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let args = Args::parse();
    let console = Console { json: args.json };
    let mut runtime = if args.workers == 1 {
        tokio::runtime::Builder::new_current_thread()
    } else {
        let mut builder = tokio::runtime::Builder::new_multi_thread();
        builder.worker_threads(args.workers.into());
        builder
    };
    let outcome = runtime
        .enable_all()
        .build()
        .map_err(Failure::Runtime)
        .and_then(|runtime| runtime.block_on(run(&args)));
    match outcome {
        Ok(report) => {
            console.report(&report);
            if report.is_sound() { ExitCode::SUCCESS } else { ExitCode::from(2) }
        }
        Err(failure) => {
            Console::failure(&failure);
            ExitCode::FAILURE
        }
    }
}

async fn run(args: &Args) -> Result<Report, Failure> {
    rlimit::increase_nofile_limit(u64::MAX).map_err(Failure::Limits)?;
    let machine = machine::probe(&args.target.dir).await?;
    let mut target = target::Target::prepare(&args.target).await?;
    let figures = match &args.scenario {
        Scenario::Pairs(options) => pairs::run(&target, options).await?,
        Scenario::Idle(options) => idle::run(&mut target, options).await?,
        Scenario::Offline(options) => offline::run(&mut target, options).await?,
        Scenario::Killed(options) => killed::run(&mut target, options).await?,
    };
    Ok(Report { machine, server: target.describe(), figures })
}
