//! Clients of the server: requests, and a socket by an independent WebSocket implementation.

use std::{future::poll_fn, sync::Arc, time::Duration};

use futures_util::{SinkExt as _, StreamExt as _};
use http_body_util::{BodyExt as _, Full};
use hyper::{HeaderMap, Request, StatusCode, body::Bytes};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    net::TcpStream,
    time::{Instant, sleep, timeout},
};
use tokio_rustls::TlsConnector;
use tokio_tungstenite::{
    WebSocketStream, client_async,
    tungstenite::{
        self, Message, client::IntoClientRequest as _, protocol::frame::coding::CloseCode,
    },
};

use super::{TestServer, User};

/// How long anything may take before a test fails.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);

/// Waits until `condition` holds.
pub(crate) async fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !condition() {
        assert!(Instant::now() < deadline, "in vain: {what}");
        sleep(Duration::from_millis(2)).await;
    }
}

/// A connection's bytes, in the clear or not.
pub(crate) trait Bytestream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Bytestream for T {}

/// An answer to a request.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|err| panic!("{err}: {self:?}"))
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    /// The code, if it is a problem document that is as it must be.
    pub(crate) fn problem(&self) -> String {
        assert_eq!(self.header("content-type"), "application/problem+json", "{self:?}");
        let problem = self.json();
        let code = problem["code"].as_str().unwrap();
        assert_eq!(problem["type"], format!("urn:posthouse:problem:{code}"));
        assert_eq!(problem["status"], self.status.as_u16());
        assert!(problem["title"].is_string() && problem["detail"].is_string());
        code.into()
    }
}

impl TestServer {
    /// A new connection.
    pub(crate) async fn dial(&self) -> Box<dyn Bytestream> {
        let tcp = TcpStream::connect(self.address).await.unwrap();
        tcp.set_nodelay(true).unwrap();
        let Some(tls) = &self.tls else { return Box::new(tcp) };
        let name = "localhost".try_into().unwrap();
        Box::new(TlsConnector::from(tls.clone()).connect(name, tcp).await.unwrap())
    }

    /// Sends a request on a connection of its own.
    pub(crate) async fn send(&self, request: Request<Full<Bytes>>) -> Answer {
        let io = TokioIo::new(self.dial().await);
        let (mut sender, connection) = hyper::client::conn::http1::handshake(io).await.unwrap();
        let driver = tokio::spawn(connection);
        poll_fn(|cx| sender.poll_ready(cx)).await.unwrap();
        let answer = async {
            let response = sender.send_request(request).await.unwrap();
            let (parts, body) = response.into_parts();
            let body = body.collect().await.unwrap().to_bytes();
            Answer { status: parts.status, headers: parts.headers, body }
        };
        let answer = timeout(PATIENCE, answer).await.expect("an answer");
        driver.abort();
        answer
    }

    /// Sends a request with a JSON body, or none if `body` is empty.
    pub(crate) async fn call(
        &self,
        method: &str,
        path: &str,
        user: Option<&User>,
        body: &str,
    ) -> Answer {
        let mut request = Request::builder().method(method).uri(path).header("host", "localhost");
        if let Some(user) = user {
            request = request.header("authorization", format!("Bearer {}", user.token));
        }
        if !body.is_empty() {
            request = request.header("content-type", "application/json");
        }
        self.send(request.body(Full::from(body.to_owned())).unwrap()).await
    }

    /// Opens a socket for `user`.
    pub(crate) async fn connect(&self, user: &User) -> Socket {
        self.try_connect("/v1/connect", Some(user), None).await.expect("a socket")
    }

    /// Opens a socket, or gives the status of the refusal.
    pub(crate) async fn try_connect(
        &self,
        path: &str,
        user: Option<&User>,
        subprotocol: Option<&str>,
    ) -> Result<Socket, u16> {
        let mut request = format!("ws://localhost{path}").into_client_request().unwrap();
        if let Some(user) = user {
            let value = format!("Bearer {}", user.token).parse().unwrap();
            request.headers_mut().insert("authorization", value);
        }
        if let Some(subprotocol) = subprotocol {
            let value = subprotocol.parse().unwrap();
            request.headers_mut().insert("sec-websocket-protocol", value);
        }
        match timeout(PATIENCE, client_async(request, self.dial().await)).await.unwrap() {
            Ok((stream, response)) => {
                let subprotocol = response.headers().get("sec-websocket-protocol");
                let subprotocol = subprotocol.map(|v| v.to_str().unwrap().to_owned());
                Ok(Socket { stream, subprotocol })
            }
            Err(tungstenite::Error::Http(response)) => Err(response.status().as_u16()),
            Err(other) => panic!("{other}"),
        }
    }
}

/// A device's socket.
pub(crate) struct Socket {
    pub(crate) stream: WebSocketStream<Box<dyn Bytestream>>,
    pub(crate) subprotocol: Option<String>,
}

impl Socket {
    pub(crate) async fn send(&mut self, text: impl Into<String>) {
        self.stream.send(Message::text(text.into())).await.unwrap();
    }

    pub(crate) async fn send_message(&mut self, message: Message) {
        self.stream.send(message).await.unwrap();
    }

    /// Puts a frame into the write buffer.
    pub(crate) async fn feed(&mut self, text: impl Into<String>) {
        self.stream.feed(Message::text(text.into())).await.unwrap();
    }

    /// The next message.
    pub(crate) async fn message(&mut self) -> Message {
        let next = timeout(PATIENCE, self.stream.next()).await.expect("a message");
        next.expect("an open socket").unwrap()
    }

    /// The next text frame; pings are answered by the library.
    pub(crate) async fn text(&mut self) -> String {
        loop {
            match self.message().await {
                Message::Text(text) => return text.to_string(),
                Message::Ping(_) | Message::Pong(_) => {}
                other => panic!("{other:?}"),
            }
        }
    }

    /// The next text frame, as JSON.
    pub(crate) async fn json(&mut self) -> Value {
        serde_json::from_str(&self.text().await).unwrap()
    }

    /// The next frame, which must be an error.
    pub(crate) async fn error(&mut self) -> Value {
        let frame = self.json().await;
        assert_eq!(frame["type"], "error", "{frame}");
        frame
    }

    /// Reads until the socket closes: the close code and reason.
    pub(crate) async fn closed(&mut self) -> (u16, String) {
        loop {
            match self.message().await {
                Message::Close(Some(frame)) => {
                    let code = match frame.code {
                        CloseCode::Library(code) => code,
                        other => other.into(),
                    };
                    return (code, frame.reason.to_string());
                }
                Message::Close(None) => return (1005, String::new()),
                _ => {}
            }
        }
    }

    /// Whether the connection is answered.
    pub(crate) async fn is_alive(&mut self) -> bool {
        self.send(r#"{"type":"ping","ref":"alive"}"#).await;
        loop {
            let frame = self.json().await;
            if frame["type"] == "pong" && frame["ref"] == "alive" {
                return true;
            }
        }
    }
}

/// A connection that is kept for several requests.
pub(crate) struct KeepAlive {
    sender: hyper::client::conn::http1::SendRequest<Full<Bytes>>,
    _driver: tokio::task::JoinHandle<()>,
}

impl TestServer {
    pub(crate) async fn keep_alive(&self) -> KeepAlive {
        let io = TokioIo::new(self.dial().await);
        let (sender, connection) = hyper::client::conn::http1::handshake(io).await.unwrap();
        KeepAlive { sender, _driver: tokio::spawn(async { drop(connection.await) }) }
    }
}

impl KeepAlive {
    pub(crate) async fn get(&mut self, path: &str) -> (u16, Value) {
        poll_fn(|cx| self.sender.poll_ready(cx)).await.unwrap();
        let request = Request::get(path).header("host", "localhost");
        let request = request.body(Full::default()).unwrap();
        let response = timeout(PATIENCE, self.sender.send_request(request)).await.unwrap().unwrap();
        let status = response.status().as_u16();
        let body = response.into_body().collect().await.unwrap().to_bytes();
        (status, serde_json::from_slice(&body).unwrap())
    }
}

/// Opens a socket by hand and leaves it alone.
pub(crate) async fn open(
    address: &str,
    trust: Option<&Arc<rustls::ClientConfig>>,
    token: &str,
) -> Box<dyn Bytestream> {
    let tcp = TcpStream::connect(address).await.unwrap();
    let mut stream: Box<dyn Bytestream> = match trust {
        None => Box::new(tcp),
        Some(trust) => {
            let name = "localhost".try_into().unwrap();
            Box::new(TlsConnector::from(trust.clone()).connect(name, tcp).await.unwrap())
        }
    };
    let request = format!(
        "GET /v1/connect HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {token}\r\n\
         connection: upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\n\
         sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = vec![0; 12];
    stream.read_exact(&mut answer).await.unwrap();
    assert_eq!(answer, b"HTTP/1.1 101");
    stream
}
