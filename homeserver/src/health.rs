//! Questions to the operator's listener of a running server, and `posthouse health`, which asks
//! whether it is ready.

use std::{net::SocketAddr, time::Duration};

use http_body_util::{BodyExt, Empty, Limited};
use hyper::{Request, StatusCode, body::Bytes, client::conn::http1};
use hyper_util::rt::TokioIo;
use tokio::{net::TcpStream, runtime::Runtime, time::timeout};

use crate::{
    config::Config,
    console::Console,
    failure::{Exit, Failure},
};

/// Largest answer, in bytes.
const MAX_ANSWER: usize = 1 << 20;
/// How long the server may take to say that it is ready.
const READY_PATIENCE: Duration = Duration::from_secs(5);

/// Asks whether the server with these settings takes clients.
///
/// # Errors
/// It does not, or nobody answers.
pub fn ask(config: &Config, console: Console) -> Result<(), Failure> {
    let Some(operator) = config.operator else {
        return Err(Failure::new(
            Exit::Config,
            "This server cannot be asked: operator.listen is \"off\".",
            "Set operator.listen to an address, such as \"127.0.0.1:8450\".",
        ));
    };
    let runtime = Runtime::new().map_err(|err| {
        let advice = "Check the limits of the process (ulimit -u).";
        Failure::new(Exit::Other, format!("Threads cannot be started: {err}."), advice)
    })?;
    match runtime.block_on(get(operator, "/readyz", READY_PATIENCE)) {
        Some((StatusCode::OK, _)) => {
            console.line(format_args!("{} is ready", config.domain));
            Ok(())
        }
        Some((_, body)) => Err(Failure::new(
            Exit::Other,
            format!("{} is not ready: {}.", config.domain, String::from_utf8_lossy(&body).trim()),
            "The server's log says more. It is ready again by itself once the reason is gone.",
        )),
        None => Err(Failure::new(
            Exit::Network,
            format!("No server answers at {operator} (operator.listen)."),
            "Start it with `posthouse serve`, with the same settings.",
        )),
    }
}

/// `GET path` of the listener at `address`: the status and the body. `None` if nobody answers in
/// time, or with something else than HTTP.
pub(crate) async fn get(
    address: SocketAddr,
    path: &str,
    patience: Duration,
) -> Option<(StatusCode, Bytes)> {
    let asking = async {
        let stream = TcpStream::connect(address).await.ok()?;
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.ok()?;
        tokio::spawn(connection);
        let request = Request::get(path)
            .header("host", address.to_string())
            .body(Empty::<Bytes>::new())
            .ok()?;
        let answer = sender.send_request(request).await.ok()?;
        let status = answer.status();
        let body = Limited::new(answer.into_body(), MAX_ANSWER).collect().await.ok()?;
        Some((status, body.to_bytes()))
    };
    timeout(patience, asking).await.ok().flatten()
}
