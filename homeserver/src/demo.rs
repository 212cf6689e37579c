//! `posthouse demo`: a region on loopback that anyone can watch at work, with no other set-up. It
//! uses what an operator and a client would: the binary's own `init` and `serve`, in processes of
//! their own, and the public client API.

mod person;
mod process;
mod story;

use tempfile::TempDir;
use tokio::{runtime::Runtime, signal};

use crate::{
    console::Console,
    failure::{Exit, Failure},
};
use process::Server;

/// The region of the demo.
const DOMAIN: &str = "north.test";

/// Runs the demo. With `once` it ends when the story is told; else it serves until Ctrl-C.
///
/// # Errors
/// A [`Failure`] that says which step did not show what it should.
pub fn run(once: bool, console: Console) -> Result<(), Failure> {
    let runtime = Runtime::new()
        .map_err(|err| failed(format!("The threads of the demo cannot be started: {err}.")))?;
    runtime.block_on(async {
        tokio::select! {
            outcome = show(once, console) => outcome,
            _ = signal::ctrl_c() => Ok(()),
        }
    })
}

async fn show(once: bool, console: Console) -> Result<(), Failure> {
    // Removed when the demo ends; the server's process is ended before.
    let dir = TempDir::with_prefix("posthouse-demo-")
        .map_err(|err| failed(format!("No directory for the demo can be made: {err}.")))?;
    let mut server = Server::create(DOMAIN, dir.path()).await?;
    let people = story::tell(&mut server, console).await?;
    if once {
        return Ok(());
    }
    console.text(format_args!(
        "\nThe region serves until Ctrl-C. Attach a client of your own:\n  \
         curl --cacert {ca} --connect-to {DOMAIN}:{port}:{address} https://{DOMAIN}:{port}/v1/capabilities\n  \
         log in as {ada} or {ben} with the password {password:?}: POST /v1/sessions\n  \
         (docs/spec/rest.md and docs/spec/client-socket.md have the rest)\n",
        ca = server.authority().display(),
        port = server.address().port(),
        address = server.address(),
        ada = people.0,
        ben = people.1,
        password = person::PASSWORD,
    ));
    server.ended().await
}

/// A failure of the demo itself.
fn failed(fact: impl Into<String>) -> Failure {
    Failure::new(
        Exit::Other,
        fact,
        "The demo needs a directory for temporary files (TMPDIR) and ports on 127.0.0.1.",
    )
}
