//! A small authoritative DNS server over UDP (RFC 1035) with the records of a few regions: for
//! demonstrations and tests, where no other DNS knows their names.

use std::{
    collections::BTreeMap,
    io,
    net::{IpAddr, SocketAddr},
};

use hickory_resolver::proto::{
    op::{Message, MessageType, OpCode, ResponseCode},
    rr::{
        Name, RData, Record, RecordType,
        rdata::{A, AAAA, SRV},
    },
};
use posthouse_protocol::id::ServerName;
use tokio::net::UdpSocket;

/// How long answers hold, in seconds.
const TTL: u32 = 60;
/// Largest question that is read, in bytes (RFC 1035 §4.2.1).
const MAX_QUESTION: usize = 512;

/// Where regions are.
#[derive(Debug, Clone, Default)]
pub struct Zone(BTreeMap<ServerName, SocketAddr>);

impl Zone {
    /// The regions with the addresses of their federation listeners.
    pub fn new(regions: impl IntoIterator<Item = (ServerName, SocketAddr)>) -> Self {
        Self(regions.into_iter().collect())
    }

    /// Answers questions that come to `socket`, until it is dropped or fails.
    ///
    /// # Errors
    /// [`io::Error`] of the socket.
    pub async fn serve(self, socket: UdpSocket) -> io::Result<()> {
        let mut buffer = [0; MAX_QUESTION];
        loop {
            let (length, from) = socket.recv_from(&mut buffer).await?;
            let question = buffer.get(..length).unwrap_or_default();
            if let Some(answer) = self.answer(question) {
                // Whoever does not get it asks again.
                _ = socket.send_to(&answer, from).await;
            }
        }
    }

    fn answer(&self, question: &[u8]) -> Option<Vec<u8>> {
        let asked = Message::from_vec(question).ok()?;
        let query = asked.queries.first()?;
        let mut answer = Message::response(asked.metadata.id, OpCode::Query);
        answer.metadata.message_type = MessageType::Response;
        answer.metadata.authoritative = true;
        answer.metadata.recursion_desired = asked.metadata.recursion_desired;
        // The resolver was told to ask us for everything, as it asks a recursive server.
        answer.metadata.recursion_available = true;
        answer.add_query(query.clone());
        let name = query.name().to_ascii().to_ascii_lowercase();
        match self.records(name.trim_end_matches('.'), query.query_type()) {
            Some(records) => {
                for data in records {
                    answer.add_answer(Record::from_rdata(query.name().clone(), TTL, data));
                }
            }
            None => answer.metadata.response_code = ResponseCode::NXDomain,
        }
        answer.to_vec().ok()
    }

    /// The records of a name; `None` if there is no such name.
    fn records(&self, name: &str, kind: RecordType) -> Option<Vec<RData>> {
        let (label, domain) = match name.strip_prefix("_posthouse._tcp.") {
            Some(domain) => ("service", domain),
            None => match name.strip_prefix("posthouse.") {
                Some(domain) => ("host", domain),
                None => ("domain", name),
            },
        };
        let address = self.0.get(&ServerName::parse(domain).ok()?)?;
        Some(match (label, kind, address.ip()) {
            ("service", RecordType::SRV, _) => {
                let mut host = Name::from_ascii(format!("posthouse.{domain}")).ok()?;
                host.set_fqdn(true);
                vec![RData::SRV(SRV::new(0, 0, address.port(), host))]
            }
            ("host", RecordType::A, IpAddr::V4(ip)) => vec![RData::A(A(ip))],
            ("host", RecordType::AAAA, IpAddr::V6(ip)) => vec![RData::AAAA(AAAA(ip))],
            _ => Vec::new(),
        })
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::discovery::{Dns, DnsConfig, DnsError};

    /// The crate's own resolver finds the regions, and nothing else.
    #[tokio::test]
    async fn regions_are_found() {
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let servers = vec![socket.local_addr().unwrap()];
        let region = ServerName::parse("north.test").unwrap();
        let zone = Zone::new([(region, "127.0.0.1:7443".parse().unwrap())]);
        let serving = tokio::spawn(zone.serve(socket));
        let config = DnsConfig { servers, timeout: Duration::from_secs(2), attempts: 2 };
        let dns = Dns::new(&config).unwrap();
        let found = dns.services("_posthouse._tcp.north.test").await.unwrap();
        let service = found.records.first().unwrap();
        assert_eq!((service.host.as_str(), service.port), ("posthouse.north.test", 7443));
        let hosts = dns.addresses("posthouse.north.test").await.unwrap();
        assert_eq!(hosts.records, ["127.0.0.1".parse::<IpAddr>().unwrap()]);
        let none = dns.services("_posthouse._tcp.east.test").await;
        assert!(matches!(none, Err(DnsError::NoName(_))), "{none:?}");
        serving.abort();
    }
}
