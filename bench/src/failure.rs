//! Why a run could not be made.

use std::{io, path::PathBuf};

/// A run that ended without figures.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    #[error(
        "say which server to load: --spawn BINARY (with --tls, --across, --database), or --url URL (with \
         --ca, --pid, --metrics)"
    )]
    NoTarget,
    #[error("this needs two regions that were started for the run: --spawn BINARY --across")]
    NotAcross,
    #[error("no port is free: {0}")]
    Port(io::Error),
    #[error("--pid says which process's memory is measured")]
    NoProcess,
    #[error("the limit of open files cannot be raised: {0}")]
    Limits(io::Error),
    #[error("the runtime cannot be started: {0}")]
    Runtime(io::Error),
    #[error("{path} cannot be read: {source}")]
    Read { path: PathBuf, source: io::Error },
    #[error("{path} cannot be written: {source}")]
    Write { path: PathBuf, source: io::Error },
    #[error("{path} says something unexpected")]
    Odd { path: PathBuf },
    #[error("{binary} cannot be run: {source}")]
    Run { binary: PathBuf, source: io::Error },
    #[error("{binary} {what}: {said}")]
    Server { binary: PathBuf, what: &'static str, said: String },
    #[error("not the address of a client API: {0}")]
    Address(#[from] posthouse_client::EndpointError),
    #[error("{0}")]
    Client(#[from] posthouse_client::Error),
    #[error("a part of the load generator failed: {0}")]
    Task(#[from] tokio::task::JoinError),
    #[error("{what} within {seconds} s")]
    TooSlow { what: String, seconds: u64 },
    #[error("the server refused a message: {code}: {message}")]
    Refused { code: String, message: String },
    #[error("no message was delivered while it was measured")]
    Nothing,
}
