//! The `posthouse` binary.

use std::process::ExitCode;

use mimalloc::MiMalloc;

/// Many small, short-lived buffers on several threads: what this allocator is good at.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

fn main() -> ExitCode {
    posthouse_homeserver::cli::main()
}
