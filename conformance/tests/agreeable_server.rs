//! No check passes for nothing: against a server that says yes to everything and does nothing, all
//! of them fail. (A check that passed here could not fail anywhere.)

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use posthouse_conformance::{client_api, http::Endpoint, server::Server};
    use tokio::{
        io::{AsyncReadExt as _, AsyncWriteExt as _},
        net::{TcpListener, TcpStream},
    };

    /// What it answers to everything: enough to be taken for a server, with people who log in.
    const YES: &str = r#"{
        "server_name": "yes.example", "registration": "open", "software": "Yes",
        "account_id": "01890a5d-ac96-774b-bcce-b302099a8057@yes.example", "handle": "yes",
        "device_id": "01890a5d-ac96-774b-bcce-b302099a8057", "device": 1,
        "session_id": "01890a5d-ac96-774b-bcce-b302099a8057", "access_token": "yes",
        "refresh_token": "yes", "ticket": "yes", "message_id": "yes", "status": "sent",
        "messages": [], "events": [], "has_more": false, "next_cursor": "c0"
    }"#;

    /// What such a server really does.
    const TRUE_HERE: &[&str] = &["a server that runs says so"];

    #[tokio::test]
    async fn an_agreeable_server_passes_nothing() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let serving = tokio::spawn(serve(listener));
        let outcomes = run(address).await;
        serving.abort();
        assert!(outcomes.len() > 50, "{}", outcomes.len());
        for (statement, passed) in outcomes {
            assert_eq!(passed, TRUE_HERE.contains(&statement), "{statement}");
        }
    }

    async fn run(address: SocketAddr) -> Vec<(&'static str, bool)> {
        let endpoint = Endpoint::parse(&format!("http://{address}")).unwrap();
        let server = Server::discover(endpoint, None, 7).await.unwrap();
        let mut outcomes = Vec::new();
        for group in client_api::groups() {
            group.run(&server, None, &mut outcomes).await;
        }
        outcomes.iter().map(|one| (one.statement, one.word() == "passed")).collect()
    }

    async fn serve(listener: TcpListener) {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            tokio::spawn(agree(stream));
        }
    }

    /// Opens every socket and closes it, and answers every request with the same text.
    async fn agree(mut stream: TcpStream) {
        let mut head = [0; 4096];
        let Ok(length) = stream.peek(&mut head).await else { return };
        if head[..length].starts_with(b"GET /v1/connect ") || contains(&head[..length], b"?ticket=")
        {
            if let Ok(mut socket) = tokio_tungstenite::accept_async(stream).await {
                drop(socket.close(None).await);
            }
            return;
        }
        // One read is enough: the suite's small requests come in one piece, and what the large
        // ones still send is not needed.
        drop(stream.read(&mut head).await);
        let length = YES.len();
        let answer = format!(
            "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\
             connection: close\r\n\r\n{YES}"
        );
        drop(stream.write_all(answer.as_bytes()).await);
        let mut rest = Vec::new();
        drop(stream.read_to_end(&mut rest).await);
    }

    fn contains(text: &[u8], part: &[u8]) -> bool {
        text.windows(part.len()).any(|window| window == part)
    }
}
