//! The `posthouse-chat` binary.

use std::process::ExitCode;

fn main() -> ExitCode {
    posthouse_client_terminal::main()
}
