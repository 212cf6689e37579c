//! The transport against small servers of its own, over real sockets and TLS.

#[cfg(test)]
mod tests {
    use std::{future::Future, sync::Arc, time::Duration};

    use futures_util::{SinkExt, StreamExt};
    use posthouse_client::{Api, Connection, Connector, Endpoint, Error, Event, MAX_QUEUED, Trust};
    use posthouse_protocol::{cursor::Cursor, frame::ClientFrame, rest::Secret};
    use rcgen::{CertifiedKey, generate_simple_self_signed};
    use rustls_pki_types::PrivateKeyDer;
    use tokio::{
        io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
        net::{TcpListener, TcpStream},
        task::JoinHandle,
    };
    use tokio_rustls::TlsAcceptor;
    use tokio_tungstenite::{
        WebSocketStream, accept_hdr_async,
        tungstenite::{
            Message,
            handshake::server::{ErrorResponse, Request, Response},
            protocol::CloseFrame,
        },
    };

    /// No test takes longer than this, whatever goes wrong.
    async fn bounded<T>(test: impl Future<Output = T>) -> T {
        tokio::time::timeout(Duration::from_secs(20), test).await.expect("a test within 20 s")
    }

    fn access() -> Secret {
        Secret("token".into())
    }

    async fn listen() -> (TcpListener, u16) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        (listener, port)
    }

    fn plain(port: u16) -> Connector {
        let endpoint = Endpoint::parse(&format!("http://127.0.0.1:{port}")).unwrap();
        Connector::new(endpoint, Trust::System).unwrap()
    }

    /// The server's side of the handshake: it insists on the token and the subprotocol.
    #[expect(
        clippy::result_large_err,
        clippy::unnecessary_wraps,
        reason = "the signature that the library asks for"
    )]
    fn check(request: &Request, mut response: Response) -> Result<Response, ErrorResponse> {
        let header = |name: &str| request.headers().get(name).unwrap().to_str().unwrap();
        assert_eq!(request.uri().path(), "/v1/connect");
        assert_eq!(header("authorization"), "Bearer token");
        let protocol = header("sec-websocket-protocol").parse().unwrap();
        response.headers_mut().insert("sec-websocket-protocol", protocol);
        Ok(response)
    }

    async fn accept<S: AsyncRead + AsyncWrite + Unpin>(stream: S) -> WebSocketStream<S> {
        accept_hdr_async(stream, check).await.unwrap()
    }

    /// Serves one connection: a backlog's end, a pong for a ping, and a close with a code.
    async fn serve_one<S: AsyncRead + AsyncWrite + Unpin>(stream: S) {
        let mut socket = accept(stream).await;
        socket.send(Message::text(r#"{"type":"caught_up","cursor":"c3"}"#)).await.unwrap();
        let ping = socket.next().await.unwrap().unwrap();
        assert_eq!(ping.to_text().unwrap(), r#"{"type":"ping","ref":"p1"}"#);
        socket.send(Message::text(r#"{"type":"pong","ref":"p1"}"#)).await.unwrap();
        let close = CloseFrame { code: 4001.into(), reason: "replaced".into() };
        socket.close(Some(close)).await.unwrap();
        while socket.next().await.is_some_and(|message| message.is_ok()) {}
    }

    async fn talk(mut connection: Connection) {
        let event = connection.next().await.unwrap();
        assert_eq!(event, Event::CaughtUp { cursor: Cursor(3) });
        connection.send(&ClientFrame::Ping(Some("p1".into()))).await.unwrap();
        assert_eq!(connection.next().await.unwrap(), Event::Pong(Some("p1".into())));
        for _ in 0..2 {
            let Err(Error::Closed(closed)) = connection.next().await else { panic!("closed") };
            assert_eq!((closed.code, closed.reason.as_str()), (4001, "replaced"));
            assert!(!closed.may_reconnect());
        }
        assert!(connection.queue(&ClientFrame::Ping(None)).is_err());
    }

    #[tokio::test]
    async fn speaks_in_the_clear() {
        bounded(async {
            let (listener, port) = listen().await;
            let server: JoinHandle<()> =
                tokio::spawn(async move { serve_one(listener.accept().await.unwrap().0).await });
            talk(Connection::open(&plain(port), &access()).await.unwrap()).await;
            server.await.unwrap();
        })
        .await;
    }

    // Elsewhere a machine has 127.0.0.1 alone, not the whole network.
    #[cfg(target_os = "linux")]
    #[tokio::test]
    async fn connects_from_the_wanted_address() {
        bounded(async {
            let (listener, port) = listen().await;
            let source = "127.1.2.3".parse().unwrap();
            let server = tokio::spawn(async move {
                let (tcp, peer) = listener.accept().await.unwrap();
                assert_eq!(peer.ip(), source);
                serve_one(tcp).await;
            });
            let connector = plain(port).from_source(source);
            talk(Connection::open(&connector, &access()).await.unwrap()).await;
            server.await.unwrap();
        })
        .await;
    }

    #[tokio::test]
    async fn speaks_tls_with_a_private_authority_and_trusts_no_other() {
        bounded(async {
            let CertifiedKey { cert, signing_key } =
                generate_simple_self_signed(["eu.example".to_owned()]).unwrap();
            let key = PrivateKeyDer::try_from(signing_key.serialize_der()).unwrap();
            let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
            let config = rustls::ServerConfig::builder_with_provider(provider)
                .with_safe_default_protocol_versions()
                .unwrap()
                .with_no_client_auth()
                .with_single_cert(vec![cert.der().clone()], key)
                .unwrap();
            let acceptor = TlsAcceptor::from(Arc::new(config));
            let (listener, port) = listen().await;
            let server = tokio::spawn(async move {
                let (refused, _) = listener.accept().await.unwrap();
                assert!(acceptor.accept(refused).await.is_err());
                let (tcp, _) = listener.accept().await.unwrap();
                serve_one(acceptor.accept(tcp).await.unwrap()).await;
            });
            let endpoint = Endpoint::parse(&format!("https://eu.example:{port}")).unwrap();
            let other = generate_simple_self_signed(["eu.example".to_owned()]).unwrap().cert.pem();
            let address = ([127, 0, 0, 1], port).into();
            let stranger =
                Connector::new(endpoint.clone(), Trust::Pem(other.as_bytes())).unwrap().at(address);
            let refused = Connection::open(&stranger, &access()).await.unwrap_err();
            assert!(matches!(refused, Error::Unreachable { .. }), "{refused}");
            let pem = cert.pem();
            let connector =
                Connector::new(endpoint, Trust::Pem(pem.as_bytes())).unwrap().at(address);
            talk(Connection::open(&connector, &access()).await.unwrap()).await;
            server.await.unwrap();
        })
        .await;
    }

    /// The server writes more than the sockets hold before it reads; the client has as much to
    /// write. Whoever only wrote would wait for ever.
    #[tokio::test]
    async fn reads_while_it_cannot_write() {
        const FRAMES: usize = 64;
        bounded(async {
            let (listener, port) = listen().await;
            let text = "x".repeat(60 * 1024);
            let sent = text.clone();
            let server = tokio::spawn(async move {
                let mut socket = accept(listener.accept().await.unwrap().0).await;
                for _ in 0..4 * FRAMES {
                    socket.send(Message::text(sent.clone())).await.unwrap();
                }
                for _ in 0..FRAMES {
                    assert_eq!(socket.next().await.unwrap().unwrap().len(), sent.len());
                }
                socket.close(None).await.unwrap();
                while socket.next().await.is_some_and(|message| message.is_ok()) {}
            });
            let mut connection = Connection::open(&plain(port), &access()).await.unwrap();
            for _ in 0..FRAMES {
                connection.queue_text(text.clone()).unwrap();
            }
            for _ in 0..4 * FRAMES {
                assert_eq!(connection.next_text().await.unwrap().len(), text.len());
            }
            assert!(matches!(connection.next_text().await, Err(Error::Closed(_))));
            server.await.unwrap();
        })
        .await;
    }

    #[tokio::test]
    async fn what_waits_to_be_written_is_bounded() {
        bounded(async {
            let (listener, port) = listen().await;
            let server = tokio::spawn(async move {
                let socket = accept(listener.accept().await.unwrap().0).await;
                std::future::pending::<()>().await;
                drop(socket);
            });
            let mut connection = Connection::open(&plain(port), &access()).await.unwrap();
            let text = "x".repeat(1024 * 1024);
            let queued =
                (0..64).take_while(|_| connection.queue_text(text.clone()).is_ok()).count();
            // The sockets' own buffers hold some more.
            assert!((MAX_QUEUED / text.len() - 1..32).contains(&queued), "{queued}");
            server.abort();
        })
        .await;
    }

    /// Answers every request on one connection with the given head and body.
    async fn answer_with(mut tcp: TcpStream, head: &str, body: &str) {
        let mut request = Vec::new();
        while !request.windows(4).any(|end| end == b"\r\n\r\n") {
            assert_ne!(tcp.read_buf(&mut request).await.unwrap(), 0);
        }
        let length = body.len();
        let answer = format!("HTTP/1.1 {head}\r\ncontent-length: {length}\r\n\r\n{body}");
        tcp.write_all(answer.as_bytes()).await.unwrap();
        tcp.shutdown().await.unwrap();
    }

    #[tokio::test]
    async fn refusals_are_problems() {
        let problem = r#"{"type":"urn:posthouse:problem:rate_limited","title":"Too many requests",
            "status":429,"code":"rate_limited","detail":"wait a little","retry_after":7}"#;
        bounded(async {
            let (listener, port) = listen().await;
            let server = tokio::spawn(async move {
                for (head, body) in [
                    ("429 Too Many Requests", problem),
                    ("429 Too Many Requests", problem),
                    ("502 Bad Gateway", "<html>"),
                    ("200 OK", "<html>"),
                ] {
                    answer_with(listener.accept().await.unwrap().0, head, body).await;
                }
            });
            let refused = Connection::open(&plain(port), &access()).await.unwrap_err();
            assert_eq!(refused.code(), Some("rate_limited"), "{refused}");
            let api = Api::new(plain(port));
            let refused = api.capabilities().await.unwrap_err();
            assert!(refused.is_transient());
            let Error::Refused(document) = refused else { panic!("{refused}") };
            assert_eq!((document.status, document.retry_after), (429, Some(7)));
            let gateway = api.capabilities().await.unwrap_err();
            let Error::Refused(document) = gateway else { panic!("{gateway}") };
            assert_eq!((document.status, document.kind.as_str()), (502, "about:blank"));
            assert!(matches!(api.capabilities().await, Err(Error::Unexpected(_))));
            server.await.unwrap();
            assert!(matches!(api.capabilities().await, Err(Error::Unreachable { .. })));
        })
        .await;
    }
}
