//! What an idle socket costs in memory, everything in the process included but the homeserver
//! behind the ports.

#[cfg(test)]
#[cfg(target_os = "linux")]
#[expect(dead_code, unused_imports, reason = "the knobs are for the other tests")]
#[path = "edge/support.rs"]
mod support;

#[cfg(test)]
#[cfg(target_os = "linux")]
mod tests {
    use std::{
        io::{BufRead as _, Write as _},
        process::{Child, Command, Stdio},
        time::Duration,
    };

    use base64::{Engine as _, engine::general_purpose::STANDARD};
    use tokio::runtime::{Builder, Runtime};

    use crate::support::{Bytestream, TestServer, client::open, config, eventually, server::trust};

    /// Enough for the cost of one to stand out from everything else.
    const SOCKETS: usize = 3_000;
    /// The budget of one, in bytes.
    const PLAIN: usize = 6 * 1024;
    const TLS: usize = 12 * 1024;

    /// Resident memory in bytes, as the kernel counts it.
    fn resident() -> usize {
        let status = std::fs::read_to_string("/proc/self/status").unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        line.trim().trim_end_matches(" kB").parse::<usize>().unwrap() * 1024
    }

    fn runtime() -> Runtime {
        Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap()
    }

    /// Another process that opens the sockets, so that only the server's side is measured.
    fn holder(address: &str, certificate: &str, tokens: &[String]) -> Child {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--ignored", "--exact", "tests::the_other_side", "--nocapture"])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let stdin = child.stdin.as_mut().unwrap();
        writeln!(stdin, "{address}\n{certificate}\n{}", tokens.join(",")).unwrap();
        child
    }

    async fn cost(is_tls: bool) -> usize {
        let mut config = config();
        config.max_connections_per_address = SOCKETS + 10;
        // No ping comes between.
        config.ping_interval = Duration::from_hours(1);
        let server = if is_tls {
            TestServer::over_tls(config).await
        } else {
            TestServer::with(config).await
        };
        let users: Vec<_> = (0..SOCKETS + 10).map(|_| server.home.user()).collect();
        let tokens: Vec<_> = users.iter().map(|user| user.token.clone()).collect();
        let certificate =
            server.certificate.as_ref().map_or_else(String::new, |c| STANDARD.encode(&c.der));
        let counters = server.edge.counters();
        let hold = |tokens: &[String]| holder(&server.address.to_string(), &certificate, tokens);
        // Buffers and caches that all share are not the cost of one.
        let mut few = hold(&tokens[SOCKETS..]);
        eventually("the first are open", || counters.frames_out.get() == 10).await;
        let before = resident();
        let mut many = hold(&tokens[..SOCKETS]);
        let total = SOCKETS as u64 + 10;
        eventually("all are open", || counters.frames_out.get() == total).await;
        let after = resident();
        for child in [&mut few, &mut many] {
            child.kill().unwrap();
            child.wait().unwrap();
        }
        (after - before) / SOCKETS
    }

    #[test]
    fn an_idle_socket_is_small() {
        let plain = runtime().block_on(cost(false));
        println!("an idle socket takes {plain} bytes");
        let tls = runtime().block_on(cost(true));
        println!("an idle socket over TLS takes {tls} bytes");
        assert!(plain <= PLAIN && tls <= TLS, "{plain} {tls}");
    }

    /// Opens the sockets that its standard input names and holds them until it is killed.
    #[test]
    #[ignore = "the other process of the measurement"]
    fn the_other_side() {
        let mut lines = std::io::stdin().lock().lines().map_while(Result::ok);
        let (Some(address), Some(certificate), Some(tokens)) =
            (lines.next(), lines.next(), lines.next())
        else {
            return;
        };
        let certificate = STANDARD.decode(certificate).unwrap();
        let trust = (!certificate.is_empty()).then(|| trust(certificate.into()));
        runtime().block_on(async {
            let mut held: Vec<Box<dyn Bytestream>> = Vec::new();
            for token in tokens.split(',') {
                held.push(open(&address, trust.as_ref(), token).await);
            }
            std::future::pending::<()>().await;
        });
    }
}
