//! One request over one connection: bounded in bytes and in time, whatever the peer does.

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::{
    Method, Request, Response, StatusCode,
    body::Incoming,
    client::conn::http1,
    header::{CONTENT_TYPE, HOST, HeaderMap, HeaderValue, RETRY_AFTER},
};
use hyper_util::rt::TokioIo;
use posthouse_protocol::{
    federation::refusal::{Refusal, RefusalCode},
    id::ServerName,
};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

use crate::ports::PostError;

/// Most header fields of an answer.
const MAX_HEADERS: usize = 64;
/// Most bytes of an answer's head.
const MAX_HEAD: usize = 16 * 1024;
/// Most bytes of a refusal.
const MAX_REFUSAL: usize = 4 * 1024;
/// The type of all bodies.
const CBOR: HeaderValue = HeaderValue::from_static("application/cbor");

/// The end of a connection that requests go into.
pub(crate) type Sending = http1::SendRequest<Full<Bytes>>;
/// The part of a connection that has to be driven for requests to be answered.
pub(crate) type Driving = http1::Connection<TokioIo<TlsStream<TcpStream>>, Full<Bytes>>;

/// Speaks HTTP/1.1 on a connection.
///
/// # Errors
/// [`hyper::Error`] if the connection is broken already.
pub(crate) async fn open(stream: TlsStream<TcpStream>) -> Result<(Sending, Driving), hyper::Error> {
    http1::Builder::new()
        .max_headers(MAX_HEADERS)
        .max_header_size(MAX_HEAD)
        .handshake(TokioIo::new(stream))
        .await
}

/// A request and what its answer may be.
#[derive(Debug, Clone)]
pub(crate) struct Exchange {
    pub(crate) method: Method,
    pub(crate) path: &'static str,
    pub(crate) body: Bytes,
    /// Most bytes of the answer.
    pub(crate) most: usize,
}

/// Why an exchange came to nothing.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The connection broke before there was an answer: over a fresh one it might go well.
    Broken(String),
    /// The peer answered.
    Answered(PostError),
}

/// Sends a request and reads the answer.
pub(crate) async fn exchange(
    sending: &mut Sending,
    peer: &ServerName,
    exchange: &Exchange,
) -> Result<Bytes, Failure> {
    sending.ready().await.map_err(|err| Failure::Broken(reason(&err)))?;
    let request = Request::builder()
        .method(&exchange.method)
        .uri(exchange.path)
        .header(HOST, peer.as_str())
        .header(CONTENT_TYPE, CBOR)
        .body(Full::new(exchange.body.clone()))
        .map_err(|err| Failure::Answered(PostError::Unreachable(err.to_string())))?;
    let response =
        sending.send_request(request).await.map_err(|err| Failure::Broken(reason(&err)))?;
    read(response, exchange.most).await.map_err(Failure::Answered)
}

async fn read(response: Response<Incoming>, most: usize) -> Result<Bytes, PostError> {
    let (head, body) = response.into_parts();
    let is_cbor = head.headers.get(CONTENT_TYPE) == Some(&CBOR);
    let most = if head.status == StatusCode::OK { most } else { MAX_REFUSAL };
    let body = Limited::new(body, most).collect().await;
    if head.status != StatusCode::OK {
        let body = body.map(http_body_util::Collected::to_bytes).unwrap_or_default();
        return Err(refusal(head.status, &head.headers, &body));
    }
    if !is_cbor {
        return Err(PostError::Unreadable("it is no application/cbor".to_owned()));
    }
    Ok(body.map_err(|err| PostError::Unreadable(err.to_string()))?.to_bytes())
}

/// What a status other than 200 says. Without a readable refusal only "later" can be believed.
fn refusal(status: StatusCode, headers: &HeaderMap, body: &[u8]) -> PostError {
    let header = headers.get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse().ok());
    if let Ok(mut refusal) = Refusal::decode(body)
        && refusal.code.status() == status.as_u16()
    {
        refusal.retry_after = refusal.retry_after.or(header);
        return refusal.into();
    }
    let code = match status {
        StatusCode::TOO_MANY_REQUESTS => RefusalCode::RateLimited,
        StatusCode::SERVICE_UNAVAILABLE => RefusalCode::Overloaded,
        _ => return PostError::Unreachable(format!("the answer is {status} without a reason")),
    };
    let mut refusal = Refusal::new(code, format!("the answer is {status}"));
    refusal.retry_after = header;
    refusal.into()
}

/// An error with what caused it: hyper tells the cause only so.
fn reason(err: &hyper::Error) -> String {
    match std::error::Error::source(err) {
        Some(source) => format!("{err}: {source}"),
        None => err.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(status: u16, retry_after: Option<&'static str>, body: &[u8]) -> PostError {
        let mut headers = HeaderMap::new();
        if let Some(value) = retry_after {
            headers.insert(RETRY_AFTER, HeaderValue::from_static(value));
        }
        refusal(StatusCode::from_u16(status).unwrap(), &headers, body)
    }

    #[test]
    fn a_refusal_counts_only_with_its_status() {
        let denied = Refusal::new(RefusalCode::Denied, "no").encode();
        let PostError::Refused(refusal) = said(403, None, &denied) else { panic!() };
        assert_eq!(refusal.code, RefusalCode::Denied);
        assert!(matches!(said(400, None, &denied), PostError::Unreachable(_)));
        assert!(matches!(said(502, None, b"<html>"), PostError::Unreachable(_)));
        // A proxy's 400 must not make the sender take its envelope apart.
        assert!(matches!(said(400, None, b""), PostError::Unreachable(_)));
    }

    #[test]
    fn later_is_believed_without_a_reason() {
        for (status, code) in [(429, RefusalCode::RateLimited), (503, RefusalCode::Overloaded)] {
            let PostError::Refused(refusal) = said(status, Some("7"), b"") else { panic!() };
            assert_eq!((refusal.code, refusal.retry_after), (code, Some(7)));
            let PostError::Refused(refusal) = said(status, Some("Tue"), b"") else { panic!() };
            assert_eq!(refusal.retry_after, None);
        }
    }
}
