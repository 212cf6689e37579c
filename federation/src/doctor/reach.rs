//! The stages up to a connection that proves the domain.

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use posthouse_protocol::id::ServerName;
use rand_core::Rng;
use rustls::pki_types;
use tokio::{
    net::TcpStream,
    task::JoinSet,
    time::{Instant, timeout},
};
use tokio_rustls::{TlsConnector, client::TlsStream};

use super::{DoctorParts, Finding, Notes, certificate};
use crate::{
    discovery::{DiscoveryError, Source},
    tls::{Seen, TlsClock, examining_config},
};

/// How long a connection may take, and then its handshake.
const PATIENCE: Duration = Duration::from_secs(10);
/// Most addresses that are tried.
const MAX_ADDRESSES: usize = 16;

/// From the domain to addresses.
pub(super) async fn dns(
    parts: &DoctorParts,
    peer: &ServerName,
    rng: &mut (impl Rng + Send),
) -> Finding<Vec<SocketAddr>> {
    let mut notes = Notes::default();
    let found = match parts.discovery.look(peer, rng).await {
        Ok(found) => found,
        Err(err) => {
            notes.fact("reason", &err);
            return notes.failed(advice(&err, peer));
        }
    };
    notes.fact(
        "found_by",
        match found.source {
            Source::Override => "our own override",
            Source::Srv => "SRV records",
            Source::WellKnown => "the well-known document",
            Source::Fallback => "the domain itself, at the default port",
        },
    );
    let mut addresses = Vec::new();
    for target in found.targets {
        let list: Vec<_> = target.addresses.iter().map(ToString::to_string).collect();
        notes.fact(format!("{}:{}", target.host, target.port), list.join(", "));
        addresses.extend(target.addresses);
    }
    addresses.truncate(MAX_ADDRESSES);
    notes.done(addresses)
}

fn advice(err: &DiscoveryError, peer: &ServerName) -> String {
    match err {
        DiscoveryError::Forbidden => format!(
            "Allow private addresses, or set an override for {peer}, if it is meant to be in our own network."
        ),
        DiscoveryError::NotOffered => {
            format!("{peer} says in DNS that it offers no federation: ask its operator.")
        }
        DiscoveryError::NoSuchName => {
            format!("Check the spelling of {peer}; if it is right, ask its operator for the DNS records.")
        }
        DiscoveryError::Unavailable => {
            "Check that our DNS servers answer; if they do, those of the peer or its Web server do not."
                .to_owned()
        }
    }
}

/// Whether something listens.
pub(super) async fn tcp(addresses: Vec<SocketAddr>) -> Finding<Vec<(SocketAddr, TcpStream)>> {
    let mut notes = Notes::default();
    let mut attempts = JoinSet::new();
    for (order, address) in addresses.into_iter().enumerate() {
        attempts.spawn(async move {
            let started = Instant::now();
            let late = |_| Err(io::Error::new(io::ErrorKind::TimedOut, "no answer"));
            let connected = timeout(PATIENCE, TcpStream::connect(address)).await;
            (order, address, connected.unwrap_or_else(late), started.elapsed())
        });
    }
    let mut results = attempts.join_all().await;
    results.sort_by_key(|(order, ..)| *order);
    let (mut sockets, mut refused) = (Vec::new(), true);
    for (_, address, connected, elapsed) in results {
        match connected {
            Ok(socket) => {
                notes.fact(address, format!("connected in {} ms", elapsed.as_millis()));
                sockets.push((address, socket));
            }
            Err(err) => {
                refused &= err.kind() == io::ErrorKind::ConnectionRefused;
                notes.fact(address, format!("{err} after {} ms", elapsed.as_millis()));
                notes.warn(format!(
                    "Ask the peer's operator about {address}: it is named, but nobody answers there."
                ));
            }
        }
    }
    if !sockets.is_empty() {
        return notes.done(sockets);
    }
    notes.failed(if refused {
        "The hosts are there, but nothing listens at the port: ask the peer's operator whether the server runs."
    } else {
        "No host answers: check our own way to the Internet and outgoing firewall, then ask the peer's operator."
    })
}

/// Which of them proves the domain; the first that does goes on.
pub(super) async fn tls(
    parts: &DoctorParts,
    peer: &ServerName,
    sockets: Vec<(SocketAddr, TcpStream)>,
) -> Finding<TlsStream<TcpStream>> {
    let mut notes = Notes::default();
    let now = parts.clock.now();
    let own = certificate::days_until(parts.identity.current().expires(), now);
    notes.fact("own_certificate_days_left", own);
    let mut proved: Option<TlsStream<TcpStream>> = None;
    let mut told = false;
    for (address, socket) in sockets {
        let seen = Seen::default();
        match shake_hands(parts, peer, socket, &seen).await {
            Ok(stream) => {
                notes.fact(address, "proves the domain");
                if proved.is_none() {
                    if let Some(leaf) = seen.leaf() {
                        let days = certificate::note(&mut notes, &leaf, now);
                        if days.is_some_and(|days| days < certificate::WARN_DAYS) {
                            notes.warn(
                                "Tell the peer's operator that the certificate expires soon.",
                            );
                        }
                    }
                    proved = Some(stream);
                }
            }
            Err(reason) => {
                notes.fact(address, reason);
                notes.warn(format!(
                    "Tell the peer's operator that {address} does not prove the domain."
                ));
                // One bad certificate is enough to see what is wrong.
                if let Some(leaf) = seen.leaf().filter(|_| proved.is_none() && !told) {
                    certificate::note(&mut notes, &leaf, now);
                    told = true;
                }
            }
        }
    }
    if own < certificate::WARN_DAYS {
        notes.warn("Renew our own certificate: peers will not accept it once it has expired.");
    }
    match proved {
        Some(stream) => notes.done(stream),
        None => notes.failed(format!(
            "The peer needs a certificate for exactly {peer}, in its time, from an authority that we believe."
        )),
    }
}

async fn shake_hands(
    parts: &DoctorParts,
    peer: &ServerName,
    socket: TcpStream,
    seen: &Seen,
) -> Result<TlsStream<TcpStream>, String> {
    let clock = Arc::new(TlsClock::new(Arc::clone(&parts.clock)));
    let (identity, trust) = (Arc::clone(&parts.identity), Arc::clone(&parts.trust));
    let config = examining_config(identity, trust, clock, seen.clone());
    let config = config.map_err(|err| err.to_string())?;
    let name = pki_types::ServerName::try_from(peer.as_str().to_owned());
    let name = name.map_err(|err| err.to_string())?;
    let connecting = TlsConnector::from(Arc::new(config)).connect(name, socket);
    let connected = timeout(PATIENCE, connecting).await;
    connected.map_err(|_| "the handshake took too long".to_owned())?.map_err(|err| err.to_string())
}
