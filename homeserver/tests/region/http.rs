//! Plain HTTP to a server of a test.

use std::net::SocketAddr;

use posthouse_protocol::rest::Secret;
use serde_json::Value;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

/// An answer: its status, and its body if it has one.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: Value,
    pub(crate) retry_after: Option<u32>,
}

impl Answer {
    pub(crate) fn code(&self) -> &str {
        self.body["code"].as_str().unwrap_or_default()
    }
}

/// One call.
pub(crate) async fn exchange(
    at: SocketAddr,
    method: &str,
    path: &str,
    token: Option<&Secret>,
    body: Option<Value>,
) -> Answer {
    let mut stream = TcpStream::connect(at).await.unwrap();
    let body = body.map(|body| body.to_string());
    let token = token.map(|token| format!("authorization: Bearer {}\r\n", token.0));
    let kind = body.as_ref().map(|body| {
        format!("content-type: application/json\r\ncontent-length: {}\r\n", body.len())
    });
    let request = [
        format!("{method} {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n"),
        token.unwrap_or_default(),
        kind.unwrap_or_default(),
        "\r\n".to_owned(),
        body.unwrap_or_default(),
    ]
    .concat();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    let retry_after = head.lines().find_map(|line| line.strip_prefix("retry-after: "));
    let retry_after = retry_after.map(|seconds| seconds.parse().unwrap());
    let body = if body.is_empty() { Value::Null } else { serde_json::from_str(body).unwrap() };
    Answer { status, body, retry_after }
}
