//! Against a real TLS server on loopback, found through the lying DNS server.

use std::sync::{
    Mutex,
    atomic::{AtomicUsize, Ordering::SeqCst},
};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
};
use tokio_rustls::TlsAcceptor;

use super::*;
use crate::{
    discovery::tests::{Lying, Says, name},
    testing::Hands,
    tls::tests::{Authority, public},
};

/// A Web server for several names, and the DNS that names them.
struct Web {
    dns: Lying,
    port: u16,
    answer: Arc<Mutex<Vec<u8>>>,
    hosts: Arc<Mutex<Vec<String>>>,
    asked: Arc<AtomicUsize>,
    authority: Authority,
}

impl Web {
    async fn new() -> Self {
        let authority = Authority::new();
        let (chain, key) = authority.issue(&public(&["eu.test", "www.eu.test"]));
        let config = rustls::ServerConfig::builder_with_provider(Arc::new(
            rustls::crypto::aws_lc_rs::default_provider(),
        ))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let answer = Arc::new(Mutex::new(Vec::new()));
        let (hosts, asked) = (Arc::new(Mutex::new(Vec::new())), Arc::new(AtomicUsize::new(0)));
        let (answers, seen, count) = (Arc::clone(&answer), Arc::clone(&hosts), Arc::clone(&asked));
        tokio::spawn(async move {
            while let Ok((tcp, _)) = listener.accept().await {
                count.fetch_add(1, SeqCst);
                let Ok(mut stream) = acceptor.accept(tcp).await else { continue };
                let mut request = vec![0; 4_096];
                let read = stream.read(&mut request).await.unwrap();
                let text = String::from_utf8_lossy(&request[..read]).to_ascii_lowercase();
                let path = text.split(' ').nth(1).unwrap();
                let host = text.split("host: ").nth(1).unwrap().split("\r\n").next().unwrap();
                seen.lock().unwrap().push(format!("{host}{path}"));
                let mut answer = answers.lock().unwrap().clone();
                if path == "/moved" {
                    answer = http("200 OK", "", b"moved here");
                }
                let _ = stream.write_all(&answer).await;
                let _ = stream.shutdown().await;
            }
        });
        let dns = Lying::new().await;
        for host in ["eu.test", "www.eu.test", "other.test"] {
            dns.zone.host(host, "127.0.0.1");
        }
        Self { dns, port, answer, hosts, asked, authority }
    }

    fn source(&self, addresses: AddressPolicy) -> WebWellKnown {
        let (roots, dns) = (self.authority.roots(), self.dns.client());
        WebWellKnown::new(roots, dns, addresses, Hands::new()).unwrap().at_port(self.port)
    }

    async fn fetch(&self, domain: &str, answer: Vec<u8>) -> Result<Vec<u8>, WellKnownError> {
        *self.answer.lock().unwrap() = answer;
        self.source(AddressPolicy::Any).fetch(&name(domain)).await
    }
}

fn http(status: &str, headers: &str, body: &[u8]) -> Vec<u8> {
    let length = body.len();
    let head = format!("HTTP/1.1 {status}\r\n{headers}content-length: {length}\r\n\r\n");
    [head.as_bytes(), body].concat()
}

fn moved(to: &str) -> Vec<u8> {
    http("302 Found", &format!("location: {to}\r\n"), b"")
}

const ABSENT: Result<Vec<u8>, WellKnownError> = Err(WellKnownError::Absent);
const UNAVAILABLE: Result<Vec<u8>, WellKnownError> = Err(WellKnownError::Unavailable);

#[tokio::test]
async fn documents_are_fetched_within_bounds() {
    let web = Web::new().await;
    let document = b"{\"federation\":\"fed.eu.test\"}".to_vec();
    assert_eq!(web.fetch("eu.test", http("200 OK", "", &document)).await, Ok(document));
    let asked = format!("eu.test:{}{PATH}", web.port);
    assert_eq!(*web.hosts.lock().unwrap(), [asked]);
    let large = vec![b' '; limits::MAX_WELL_KNOWN + 1];
    assert_eq!(web.fetch("eu.test", http("200 OK", "", &large)).await, ABSENT);
    assert_eq!(web.fetch("eu.test", http("404 Not Found", "", b"no")).await, ABSENT);
    assert_eq!(web.fetch("eu.test", http("500 Oops", "", b"")).await, UNAVAILABLE);
    assert_eq!(web.fetch("eu.test", b"HTTP/1.1 200".to_vec()).await, UNAVAILABLE);
}

#[tokio::test]
async fn redirects_stay_within_https_and_end() {
    let web = Web::new().await;
    let port = web.port;
    for to in ["/moved".to_owned(), format!("https://www.eu.test:{port}/moved")] {
        assert_eq!(web.fetch("eu.test", moved(&to)).await, Ok(b"moved here".to_vec()), "{to}");
    }
    for to in [
        format!("http://www.eu.test:{port}/moved"),
        "https://www.eu.test/moved".to_owned(),
        format!("https://127.0.0.1:{port}/moved"),
        format!("https://a@www.eu.test:{port}/moved"),
        format!("https://other.test:{port}/moved"),
        format!("https://gone.test:{port}/moved"),
        String::new(),
    ] {
        assert_eq!(web.fetch("eu.test", moved(&to)).await, ABSENT, "{to}");
    }
    web.asked.store(0, SeqCst);
    assert_eq!(web.fetch("eu.test", moved("/again")).await, ABSENT);
    assert_eq!(web.asked.load(SeqCst), 1 + MAX_REDIRECTS);
}

#[tokio::test]
async fn private_addresses_are_not_called() {
    let web = Web::new().await;
    let source = web.source(AddressPolicy::PublicOnly);
    assert_eq!(source.fetch(&name("eu.test")).await, ABSENT);
    assert_eq!(web.asked.load(SeqCst), 0);
}

#[tokio::test]
async fn absence_is_told_from_failure() {
    let web = Web::new().await;
    assert_eq!(web.fetch("nowhere.test", Vec::new()).await, ABSENT, "no such name");
    assert_eq!(web.fetch("other.test", Vec::new()).await, ABSENT, "not its certificate");
    let closed = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().port();
    let source = web.source(AddressPolicy::Any).at_port(closed);
    assert_eq!(source.fetch(&name("eu.test")).await, ABSENT, "nobody serves the Web there");
    web.dns.zone.set("eu.test", Says::ServFail);
    assert_eq!(web.fetch("eu.test", Vec::new()).await, UNAVAILABLE, "DNS is down");
}
