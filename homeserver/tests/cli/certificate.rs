//! TLS on the client listener, and the certificate's replacement while it runs.

use std::{
    fs,
    io::{Read, Write},
    net::TcpStream,
    sync::Arc,
};

use rustls::{
    ClientConfig, ClientConnection, NamedGroup, ProtocolVersion, RootCertStore, StreamOwned,
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, pem::PemObject},
    version::{TLS12, TLS13},
};

use super::harness::{DOMAIN, PATIENCE, Region, Server, parse, run};

struct Reached {
    certificate: CertificateDer<'static>,
    version: ProtocolVersion,
    group: NamedGroup,
    answer: (u16, String),
}

/// Asks for the capabilities as a client that trusts the region's authority.
fn reach(
    region: &Region,
    server: &Server,
    versions: &[&'static rustls::SupportedProtocolVersion],
) -> Reached {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(region.path("keys/ca.pem")).unwrap()).unwrap();
    let config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_protocol_versions(versions)
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let name = DOMAIN.try_into().unwrap();
    let connection = ClientConnection::new(Arc::new(config), name).unwrap();
    let tcp = TcpStream::connect(server.address("client")).unwrap();
    tcp.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut stream = StreamOwned::new(connection, tcp);
    let request = "GET /v1/capabilities HTTP/1.1\r\nHost: eu.example\r\nConnection: close\r\n\r\n";
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let connection = &stream.conn;
    Reached {
        certificate: connection.peer_certificates().unwrap()[0].clone(),
        version: connection.protocol_version().unwrap(),
        group: connection.negotiated_key_exchange_group().unwrap().name(),
        answer: parse(&answer),
    }
}

#[test]
fn clients_that_trust_the_authority_are_served() {
    let region = Region::new();
    let server = region.serve(&[]);
    let new = reach(&region, &server, &[&TLS13, &TLS12]);
    assert_eq!(new.version, ProtocolVersion::TLSv1_3);
    assert_eq!(new.group, NamedGroup::X25519MLKEM768);
    assert_eq!(new.answer.0, 200);
    assert!(new.answer.1.contains("\"server_name\":\"eu.example\""), "{}", new.answer.1);
    let old = reach(&region, &server, &[&TLS12]);
    assert_eq!(old.version, ProtocolVersion::TLSv1_2);
    assert_eq!(old.answer.0, 200);
}

#[test]
fn a_renewed_certificate_is_taken_on_a_hang_up_and_a_bad_one_is_not() {
    let region = Region::new();
    let server = region.serve(&[]);
    let first = reach(&region, &server, &[&TLS13]).certificate;
    let renewed = run(region.command(&["certificate", "renew"]));
    assert!(renewed.done().contains("Renewed"), "{}", renewed.out);
    server.signal("HUP");
    server.wait_for_log("the certificate was read again");
    let second = reach(&region, &server, &[&TLS13]).certificate;
    assert_ne!(first, second);
    fs::write(region.path("keys/server.pem"), "damaged").unwrap();
    server.signal("HUP");
    server.wait_for_log("the old one stays in use");
    assert_eq!(reach(&region, &server, &[&TLS13]).certificate, second);
}

#[test]
fn only_the_authority_of_init_can_renew() {
    let region = Region::with(&["--certificate", "none"]);
    run(region.command(&["certificate", "renew"])).failed(2, &["client.tls is false"]);
    let region = Region::with(&["--certificate", "request"]);
    let said = run(region.command(&["certificate", "renew"]));
    said.failed(3, &["ca.key", "is missing", "ask the authority that issued them"]);
}
