//! Real handshakes over loopback sockets, with certificates made for each test.

use std::time::Duration;

use posthouse_protocol::{id::ServerName, time::Timestamp};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, ExtendedKeyUsagePurpose, IsCa, KeyPair,
};
use rustls::{
    NamedGroup, RootCertStore,
    pki_types::{self, CertificateDer, PrivateKeyDer, UnixTime},
    time_provider::TimeProvider,
};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::{TlsAcceptor, TlsConnector};

use super::*;

/// 2026-01-01T00:00:00Z in seconds: what the tests call now.
pub(crate) const NOW: u64 = 1_767_225_600;
const DAY: i64 = 24 * 3_600;

#[derive(Debug)]
pub(crate) struct Fixed;

impl TimeProvider for Fixed {
    fn current_time(&self) -> Option<UnixTime> {
        Some(UnixTime::since_unix_epoch(Duration::from_secs(NOW)))
    }
}

pub(crate) struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    pub(crate) fn new() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    pub(crate) fn roots(&self) -> RootCertStore {
        let mut roots = RootCertStore::empty();
        roots.add(self.0.der().clone()).unwrap();
        roots
    }

    pub(crate) fn trust(&self) -> Trust {
        Trust { public: self.roots(), ..Trust::default() }
    }

    pub(crate) fn issue(
        &self,
        leaf: &Leaf<'_>,
    ) -> (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>) {
        let key = KeyPair::generate().unwrap();
        let certificate = leaf.params().signed_by(&key, &self.0).unwrap();
        (vec![certificate.der().clone()], PrivateKeyDer::Pkcs8(key.serialize_der().into()))
    }
}

/// A certificate to be made.
pub(crate) struct Leaf<'a> {
    pub(crate) names: &'a [&'a str],
    pub(crate) purposes: &'a [ExtendedKeyUsagePurpose],
    /// From and until when, in days from now.
    pub(crate) days: (i64, i64),
}

impl Leaf<'_> {
    fn params(&self) -> CertificateParams {
        let names: Vec<String> = self.names.iter().map(|name| (*name).to_owned()).collect();
        let mut params = CertificateParams::new(names).unwrap();
        params.extended_key_usages = self.purposes.to_vec();
        let at = |days: i64| {
            rcgen::date_time_ymd(1970, 1, 1)
                + Duration::from_secs(NOW.saturating_add_signed(days * DAY))
        };
        (params.not_before, params.not_after) = (at(self.days.0), at(self.days.1));
        params
    }
}

/// What public authorities issue: for servers only.
pub(crate) fn public<'a>(names: &'a [&'a str]) -> Leaf<'a> {
    Leaf { names, purposes: &[ExtendedKeyUsagePurpose::ServerAuth], days: (-1, 30) }
}

pub(crate) fn name(text: &str) -> ServerName {
    ServerName::parse(text).unwrap()
}

pub(crate) fn identity(domain: &str, authority: &Authority, leaf: &Leaf<'_>) -> Arc<IdentityStore> {
    let (chain, key) = authority.issue(leaf);
    Arc::new(IdentityStore::new(Identity::new(&name(domain), chain, key).unwrap()))
}

/// What each end thinks of a handshake from north to `wanted` (which is served by south's identity).
struct Met {
    client: Result<Option<NamedGroup>, String>,
    server: Result<PeerNames, String>,
}

async fn meet(client: (ClientConfig, &str), server: ServerConfig, trust: &Trust) -> Met {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let accept = async {
        let (socket, _) = listener.accept().await.unwrap();
        let stream = TlsAcceptor::from(Arc::new(server)).accept(socket).await;
        let stream = stream.map_err(|err| err.to_string())?;
        let certificates = stream.get_ref().1.peer_certificates().unwrap_or_default().to_vec();
        let algorithms = provider().signature_verification_algorithms;
        let (leaf, rest) = certificates.split_first().ok_or("no certificate")?;
        let now = Fixed.current_time().unwrap();
        trust.names(leaf, rest, algorithms.all, now).map_err(|err| err.to_string())
    };
    let connect = async {
        use tokio::io::AsyncReadExt;
        let socket = TcpStream::connect(address).await.unwrap();
        let domain = pki_types::ServerName::try_from(client.1.to_owned()).unwrap();
        let stream = TlsConnector::from(Arc::new(client.0)).connect(domain, socket).await;
        let mut stream = stream.map_err(|err| err.to_string())?;
        let group = stream.get_ref().1.negotiated_key_exchange_group();
        let group = group.map(rustls::crypto::SupportedKxGroup::name);
        // In TLS 1.3 the client learns only now whether its certificate was taken.
        match stream.read(&mut [0; 1]).await {
            Err(err) if err.to_string().contains("alert") => Err(err.to_string()),
            _ => Ok(group),
        }
    };
    let (server, client) = tokio::join!(accept, connect);
    Met { client, server }
}

fn configs(
    north: &Arc<IdentityStore>,
    south: &Arc<IdentityStore>,
    trust: &Trust,
) -> (ClientConfig, ServerConfig) {
    let store = Arc::new(TrustStore::new(trust.clone()));
    let client = client_config(Arc::clone(north), Arc::clone(&store), Arc::new(Fixed)).unwrap();
    let server = server_config(Arc::clone(south), store, Arc::new(Fixed)).unwrap();
    (client, server)
}

#[tokio::test]
async fn server_certificates_prove_both_ends_over_the_hybrid_exchange() {
    let authority = Authority::new();
    let north = identity("north.test", &authority, &public(&["north.test"]));
    let south = identity("south.test", &authority, &public(&["south.test"]));
    let trust = authority.trust();
    let (client, server) = configs(&north, &south, &trust);
    let met = meet((client, "south.test"), server, &trust).await;
    assert_eq!(met.client, Ok(Some(NamedGroup::X25519MLKEM768)));
    assert_eq!(met.server.unwrap().as_slice(), [name("north.test")]);
}

#[tokio::test]
async fn another_name_expiry_and_strangers_are_refused_in_both_directions() {
    let authority = Authority::new();
    let stranger = Authority::new();
    let trust = authority.trust();
    let good_north = identity("north.test", &authority, &public(&["north.test"]));
    let good_south = identity("south.test", &authority, &public(&["south.test"]));
    let expired = |names| Leaf { days: (-30, -1), ..public(names) };
    let future = |names| Leaf { days: (1, 30), ..public(names) };
    for (bad_leaf, issuer, reason) in [
        (expired(&["south.test"]), &authority, "xpired"),
        (future(&["south.test"]), &authority, "NotValidYet"),
        (public(&["south.test"]), &stranger, "UnknownIssuer"),
    ] {
        let bad = identity("south.test", issuer, &bad_leaf);
        let (client, server) = configs(&good_north, &bad, &trust);
        let met = meet((client, "south.test"), server, &trust).await;
        let err = met.client.unwrap_err().replace(' ', "");
        assert!(err.contains(reason) || err.to_lowercase().contains("notvalidyet"), "{err}");
        let (client, server) = configs(&bad, &good_south, &trust);
        let met = meet((client, "south.test"), server, &trust).await;
        assert!(met.server.is_err() && met.client.is_err(), "as a client too: {reason}");
    }
    let (client, server) = configs(&good_north, &good_south, &trust);
    let met = meet((client, "other.test"), server, &trust).await;
    assert!(met.client.is_err(), "the host may be right, the domain is not");
}

#[tokio::test]
async fn a_private_authority_vouches_for_its_names_only() {
    let authority = Authority::new();
    let names = Some([name("north.test"), name("south.test")].into());
    let private = PrivateAuthority { roots: authority.roots(), names };
    let trust = Trust { private: vec![private], ..Trust::default() };
    let north = identity("north.test", &authority, &public(&["north.test", "bank.test"]));
    let south = identity("south.test", &authority, &public(&["south.test"]));
    let (client, server) = configs(&north, &south, &trust);
    let met = meet((client, "south.test"), server, &trust).await;
    assert_eq!(met.server.unwrap().as_slice(), [name("north.test")], "not the bank");
    let bank = identity("bank.test", &authority, &public(&["bank.test"]));
    let (client, server) = configs(&bank, &south, &trust);
    assert!(meet((client, "south.test"), server, &trust).await.server.is_err());
    let (client, server) = configs(&north, &bank, &trust);
    assert!(meet((client, "bank.test"), server, &trust).await.client.is_err());
}

#[tokio::test]
async fn pins_take_the_place_of_authorities_for_their_names() {
    let (authority, other) = (Authority::new(), Authority::new());
    let (chain, key) = other.issue(&public(&["north.test"]));
    let pin = spki_digest(&chain[0]).unwrap();
    let pinned = Identity::new(&name("north.test"), chain, key).unwrap();
    let pinned = Arc::new(IdentityStore::new(pinned));
    let south = identity("south.test", &authority, &public(&["south.test"]));
    let trust = Trust { pins: [(name("north.test"), vec![pin])].into(), ..authority.trust() };
    let (client, server) = configs(&pinned, &south, &trust);
    assert!(meet((client, "south.test"), server, &trust).await.server.is_ok());
    // The trusted authority may not replace a pinned key.
    let issued = identity("north.test", &authority, &public(&["north.test"]));
    let (client, server) = configs(&issued, &south, &trust);
    assert!(meet((client, "south.test"), server, &trust).await.server.is_err());
}

#[tokio::test]
async fn without_a_certificate_or_with_an_old_protocol_nobody_enters() {
    let authority = Authority::new();
    let south = identity("south.test", &authority, &public(&["south.test"]));
    let trust = authority.trust();
    let (_, server) = configs(&south, &south, &trust);
    let anonymous = ClientConfig::builder_with_provider(Arc::new(provider()))
        .with_protocol_versions(&[&TLS13])
        .unwrap()
        .with_root_certificates(authority.roots())
        .with_no_client_auth();
    let met = meet((anonymous, "south.test"), server.clone(), &trust).await;
    assert!(met.server.is_err());
    let old = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_protocol_versions(&[&rustls::version::TLS12])
        .unwrap()
        .with_root_certificates(authority.roots())
        .with_client_cert_resolver(south);
    let met = meet((old, "south.test"), server, &trust).await;
    assert!(met.server.is_err() && met.client.is_err());
}

#[tokio::test]
async fn a_new_certificate_counts_from_the_next_handshake() {
    let authority = Authority::new();
    let north = identity("north.test", &authority, &public(&["north.test"]));
    let south =
        identity("south.test", &authority, &Leaf { days: (-9, -1), ..public(&["south.test"]) });
    let trust = authority.trust();
    let (client, server) = configs(&north, &south, &trust);
    assert!(meet((client.clone(), "south.test"), server.clone(), &trust).await.client.is_err());
    let (chain, key) = authority.issue(&public(&["south.test"]));
    let fresh = Identity::new(&name("south.test"), chain, key).unwrap();
    assert_eq!(fresh.expires(), Timestamp((NOW + 30 * 24 * 3_600) * 1_000));
    south.replace(fresh);
    assert!(meet((client, "south.test"), server, &trust).await.client.is_ok());
}

#[test]
fn an_identity_must_fit_its_domain_and_key() {
    let authority = Authority::new();
    let (chain, key) = authority.issue(&public(&["north.test", "*.wild.test"]));
    let other = Identity::new(&name("south.test"), chain.clone(), key.clone_key());
    assert!(matches!(other, Err(IdentityError::OtherName(_))));
    let wild = Identity::new(&name("a.wild.test"), chain.clone(), key);
    assert!(matches!(wild, Err(IdentityError::OtherName(_))), "wildcards name no server");
    let (_, strange_key) = authority.issue(&public(&["north.test"]));
    let torn = Identity::new(&name("north.test"), chain, strange_key);
    assert!(matches!(torn, Err(IdentityError::Key(_))));
}

/// Serves handshakes as `south` for as long as the test runs.
async fn serve(server: ServerConfig) -> std::net::SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let acceptor = TlsAcceptor::from(Arc::new(server));
        while let Ok((socket, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                use tokio::io::AsyncReadExt;
                if let Ok(mut stream) = acceptor.accept(socket).await {
                    let _ = stream.read(&mut [0; 1]).await;
                }
            });
        }
    });
    address
}

#[tokio::test]
async fn dialing_passes_over_dead_silent_and_foreign_hosts() {
    use crate::{
        discovery::Target,
        peer::{DialError, dial},
    };
    let authority = Authority::new();
    let north = identity("north.test", &authority, &public(&["north.test"]));
    let south = identity("south.test", &authority, &public(&["south.test"]));
    let east = identity("east.test", &authority, &public(&["east.test"]));
    let trust = authority.trust();
    let (client, server) = configs(&north, &south, &trust);
    let client = Arc::new(client);
    let good = serve(server).await;
    let foreign = serve(configs(&north, &east, &trust).1).await;
    // One that nobody listens at, and one that accepts and says nothing.
    let dead = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let target = |address: std::net::SocketAddr| Target {
        host: "h.test".to_owned(),
        port: address.port(),
        addresses: vec![address],
    };
    let silent_address = silent.local_addr().unwrap();
    let targets = [dead, silent_address, foreign, good].map(target);
    let dialed = dial(&name("south.test"), &targets, &client).await.unwrap();
    assert_eq!(dialed.address, good);
    let refused = dial(&name("south.test"), &[dead, foreign].map(target), &client).await;
    assert!(matches!(refused, Err(DialError::NotProved(_))), "{refused:?}");
    let refused = dial(&name("south.test"), &[target(dead)], &client).await;
    assert!(matches!(refused, Err(DialError::Closed(_))), "{refused:?}");
    let none = dial(&name("south.test"), &[], &client).await;
    assert_eq!(none.map(drop), Err(DialError::NoAddress));
}
