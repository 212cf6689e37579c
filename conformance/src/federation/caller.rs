//! HTTP/1.1 over TLS, written by hand: a hostile client sends what no library would, and reads
//! while it writes.

use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use rustls::ClientConfig;
use rustls_pki_types::ServerName;
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, split},
    net::{TcpSocket, TcpStream},
    time::{sleep, timeout},
};
use tokio_rustls::{TlsConnector, client::TlsStream};

/// Largest answer that is read, in bytes.
const MAX_ANSWER: usize = 16 * 1024 * 1024;

/// How a server is called.
#[derive(Debug, Clone)]
pub struct Caller {
    /// Where it listens.
    pub address: SocketAddr,
    /// The domain that its certificate has to prove.
    pub domain: String,
    /// The address that is called from.
    pub source: Option<IpAddr>,
    /// TLS.
    pub config: Arc<ClientConfig>,
    /// How long an answer may take.
    pub patience: Duration,
}

/// There was no answer: the connection was refused or ended, or nothing came in time.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Cut {
    /// No TCP connection.
    #[error("no connection: {0}")]
    Connect(String),
    /// TLS failed.
    #[error("TLS failed: {0}")]
    Tls(String),
    /// The connection ended before an answer was complete.
    #[error("the connection ended without an answer: {0}")]
    Ended(String),
    /// Nothing came in time.
    #[error("no answer in {0:?}")]
    Late(Duration),
}

/// An answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// The status.
    pub status: u16,
    /// `Content-Type`.
    pub media_type: String,
    /// `Retry-After`, in seconds.
    pub retry_after: Option<u64>,
    /// The body.
    pub body: Vec<u8>,
}

/// A part of a request.
#[derive(Debug, Clone)]
pub enum Piece {
    /// Bytes to be written.
    Bytes(Vec<u8>),
    /// A pause.
    Pause(Duration),
}

/// A request.
#[derive(Debug, Clone)]
pub struct Request<'a> {
    /// The method.
    pub method: &'a str,
    /// The path.
    pub path: &'a str,
    /// Further header lines.
    pub fields: Vec<(&'a str, String)>,
    /// The body.
    pub body: Vec<u8>,
}

impl<'a> Request<'a> {
    /// `GET path`.
    pub fn get(path: &'a str) -> Self {
        Self { method: "GET", path, fields: Vec::new(), body: Vec::new() }
    }

    /// `POST path` with a body of CBOR.
    pub fn post(path: &'a str, body: Vec<u8>) -> Self {
        let fields = vec![("content-type", "application/cbor".to_owned())];
        Self { method: "POST", path, fields, body }
    }

    /// Its head, with these fields beside its own.
    pub fn head(&self, domain: &str, more: &[(&str, String)]) -> Vec<u8> {
        let Self { method, path, fields, .. } = self;
        let mut head = format!("{method} {path} HTTP/1.1\r\nhost: {domain}\r\n");
        for (name, value) in fields.iter().chain(more) {
            head.extend([name, ": ", value, "\r\n"]);
        }
        head.push_str("\r\n");
        head.into_bytes()
    }

    fn bytes(&self, domain: &str, close: bool) -> Vec<u8> {
        let mut more = Vec::new();
        if self.method != "GET" || !self.body.is_empty() {
            more.push(("content-length", self.body.len().to_string()));
        }
        if close {
            more.push(("connection", "close".to_owned()));
        }
        [self.head(domain, &more), self.body.clone()].concat()
    }
}

impl Caller {
    /// A TCP connection.
    ///
    /// # Errors
    /// [`Cut::Connect`].
    pub async fn connect(&self) -> Result<TcpStream, Cut> {
        let told = |err: std::io::Error| Cut::Connect(err.to_string());
        let socket = if self.address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() };
        let socket = socket.map_err(told)?;
        if let Some(source) = self.source {
            socket.bind(SocketAddr::new(source, 0)).map_err(told)?;
        }
        let opening = timeout(self.patience, socket.connect(self.address)).await;
        let stream = opening.map_err(|_| Cut::Late(self.patience))?.map_err(told)?;
        stream.set_nodelay(true).map_err(told)?;
        Ok(stream)
    }

    /// A TLS connection. A server that minds the client's certificate says so later.
    ///
    /// # Errors
    /// [`Cut`].
    pub async fn open(&self) -> Result<Line, Cut> {
        let told = |err: &dyn core::fmt::Display| Cut::Tls(err.to_string());
        let name = ServerName::try_from(self.domain.clone()).map_err(|err| told(&err))?;
        let tcp = self.connect().await?;
        let connecting = TlsConnector::from(Arc::clone(&self.config)).connect(name, tcp);
        let opened = timeout(self.patience, connecting).await;
        let stream = opened.map_err(|_| Cut::Late(self.patience))?.map_err(|err| told(&err))?;
        Ok(Line { stream, read: Vec::new(), patience: self.patience, domain: self.domain.clone() })
    }

    /// One request on a connection of its own.
    ///
    /// # Errors
    /// [`Cut`].
    pub async fn send(&self, request: &Request<'_>) -> Result<Answer, Cut> {
        let mut line = self.open().await?;
        line.exchange(vec![Piece::Bytes(request.bytes(&self.domain, true))]).await
    }
}

/// A connection that is open.
#[derive(Debug)]
pub struct Line {
    stream: TlsStream<TcpStream>,
    read: Vec<u8>,
    patience: Duration,
    domain: String,
}

impl Line {
    /// A request; the connection stays open, if the server wishes.
    ///
    /// # Errors
    /// [`Cut`].
    pub async fn send(&mut self, request: &Request<'_>) -> Result<Answer, Cut> {
        let bytes = request.bytes(&self.domain, false);
        self.exchange(vec![Piece::Bytes(bytes)]).await
    }

    /// Writes pieces and reads an answer at the same time. What cannot be written any more is left:
    /// the answer may be there already.
    ///
    /// # Errors
    /// [`Cut`].
    pub async fn exchange(
        &mut self,
        pieces: impl IntoIterator<Item = Piece>,
    ) -> Result<Answer, Cut> {
        let Self { stream, read, patience, .. } = self;
        let (mut reader, mut writer) = split(stream);
        let reading = timeout(*patience, read_answer(&mut reader, read));
        let writing = async {
            for piece in pieces {
                match piece {
                    Piece::Pause(pause) => sleep(pause).await,
                    Piece::Bytes(bytes) => write(&mut writer, &bytes).await?,
                }
            }
            Ok::<_, std::io::Error>(())
        };
        tokio::pin!(reading, writing);
        let told = |answer: Result<_, _>| answer.unwrap_or(Err(Cut::Late(*patience)));
        tokio::select! {
            biased;
            answer = &mut reading => told(answer),
            written = &mut writing => match (reading.await, written) {
                (Ok(Err(Cut::Ended(end))), Err(err)) => Err(Cut::Ended(format!("{end}; {err}"))),
                (answer, _) => told(answer),
            },
        }
    }
}

async fn write(stream: &mut (impl AsyncWrite + Unpin), bytes: &[u8]) -> std::io::Result<()> {
    stream.write_all(bytes).await?;
    stream.flush().await
}

async fn read_answer(
    stream: &mut (impl AsyncRead + Unpin),
    read: &mut Vec<u8>,
) -> Result<Answer, Cut> {
    let ended = |why: &str| Cut::Ended(why.to_owned());
    let end = loop {
        if let Some(end) = find(read, b"\r\n\r\n") {
            break end + 4;
        }
        more(stream, read).await?;
    };
    let head: Vec<u8> = read.drain(..end).collect();
    let head = String::from_utf8(head).map_err(|_| ended("a head that is no text"))?;
    let mut lines = head.split("\r\n");
    let status = lines.next().and_then(|line| line.split(' ').nth(1)?.parse().ok());
    let status = status.ok_or_else(|| ended("no status line"))?;
    let fields: Vec<_> = lines.filter_map(|line| line.split_once(':')).collect();
    let field = |wanted: &str| {
        let found = fields.iter().find(|(name, _)| name.eq_ignore_ascii_case(wanted));
        found.map(|(_, value)| value.trim())
    };
    let length = field("content-length").and_then(|value| value.parse::<usize>().ok());
    let chunked = field("transfer-encoding").is_some_and(|value| value.contains("chunked"));
    let body = match length {
        Some(length) if length > MAX_ANSWER => return Err(ended("an answer of no sound size")),
        Some(length) => {
            while read.len() < length {
                more(stream, read).await?;
            }
            read.drain(..length).collect()
        }
        None if chunked => read_chunks(stream, read).await?,
        None => {
            while more(stream, read).await.is_ok() && read.len() < MAX_ANSWER {}
            std::mem::take(read)
        }
    };
    Ok(Answer {
        status,
        media_type: field("content-type").unwrap_or_default().to_owned(),
        retry_after: field("retry-after").and_then(|value| value.parse().ok()),
        body,
    })
}

async fn read_chunks(
    stream: &mut (impl AsyncRead + Unpin),
    read: &mut Vec<u8>,
) -> Result<Vec<u8>, Cut> {
    let mut body = Vec::new();
    loop {
        let end = loop {
            if let Some(end) = find(read, b"\r\n") {
                break end;
            }
            more(stream, read).await?;
        };
        let line: Vec<u8> = read.drain(..end + 2).collect();
        let size = core::str::from_utf8(&line).ok().and_then(|line| line.trim().split(';').next());
        let size = size.and_then(|size| usize::from_str_radix(size.trim(), 16).ok());
        let size = size.filter(|size| *size <= MAX_ANSWER && body.len() <= MAX_ANSWER);
        let size = size.ok_or_else(|| Cut::Ended("a chunk of no sound size".into()))?;
        while read.len() < size + 2 {
            more(stream, read).await?;
        }
        body.extend(read.drain(..size));
        read.drain(..2);
        if size == 0 {
            return Ok(body);
        }
    }
}

async fn more(stream: &mut (impl AsyncRead + Unpin), read: &mut Vec<u8>) -> Result<(), Cut> {
    let got = stream.read_buf(read).await.map_err(|err| Cut::Ended(err.to_string()))?;
    if got == 0 { Err(Cut::Ended("closed".into())) } else { Ok(()) }
}

fn find(text: &[u8], part: &[u8]) -> Option<usize> {
    text.windows(part.len()).position(|window| window == part)
}
