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

/// One call. Its answer is compared with the published document.
pub(crate) async fn exchange(
    at: SocketAddr,
    method: &str,
    path: &str,
    token: Option<&Secret>,
    body: Option<Value>,
) -> Answer {
    let body = body.map(|body| body.to_string());
    let token = token.map(|token| format!("authorization: Bearer {}\r\n", token.0));
    let (head, body, status) = whole(at, method, path, body.as_deref(), token.as_deref()).await;
    let retry_after = head.lines().find_map(|line| line.strip_prefix("retry-after: "));
    let retry_after = retry_after.map(|seconds| seconds.parse().unwrap());
    let body = match body.as_str() {
        "" => Value::Null,
        // A page for people.
        text if text.starts_with('<') => Value::from(text),
        text => serde_json::from_str(text).unwrap(),
    };
    let answer = Answer { status, body, retry_after };
    super::contract::check(method, path, &answer);
    answer
}

/// One call with these header fields: head, body and status of the answer.
pub(crate) async fn whole(
    at: SocketAddr,
    method: &str,
    path: &str,
    body: Option<&str>,
    fields: Option<&str>,
) -> (String, String, u16) {
    let mut stream = TcpStream::connect(at).await.unwrap();
    let kind = body.map(|body| {
        format!("content-type: application/json\r\ncontent-length: {}\r\n", body.len())
    });
    let request = [
        &format!("{method} {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n"),
        fields.unwrap_or_default(),
        kind.as_deref().unwrap_or_default(),
        "\r\n",
        body.unwrap_or_default(),
    ]
    .concat();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    (head.to_owned(), body.to_owned(), status)
}
