//! Setting the stage from the command line.

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::{Arc, Mutex, atomic::AtomicU64},
    time::Duration,
};

use tokio::task::JoinHandle;

use super::{
    caller::{Caller, Request},
    keys::Document,
    peer::Peer,
    receiving::MINUTE,
    site::{Site, bind},
    stage::{Pace, Roles, Stage},
    tls::{self, Authority},
};
use crate::{person::Person, server::Server};

/// When the first entries of the peers' logs were made, in milliseconds: the same in every run, since
/// a subject keeps what it has seen.
const MADE: u64 = 1_700_000_000_000;
/// How long an answer of the subject may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// What a run needs.
#[derive(Debug)]
pub struct Plan {
    /// The subject's domain.
    pub subject: String,
    /// Its federation listener.
    pub federation: SocketAddr,
    /// Where the peers listen.
    pub listen: SocketAddr,
    /// The domain that the peers' names lie below.
    pub domain: String,
    /// The authority of the test federation, and its key (PEM).
    pub authority: (String, String),
    /// The seed of names, ids and keys of this run.
    pub seed: u64,
    /// Milliseconds since 1970.
    pub clock: fn() -> u64,
    /// Times.
    pub pace: Pace,
}

/// The names of the peers below a domain, in the order of [`Roles`].
pub fn names(domain: &str) -> [String; 6] {
    ["honest", "witness", "hostile", "forger", "keys", "expired"]
        .map(|role| format!("{role}.{domain}"))
}

/// Sets the stage: fetches the subject's document, starts the peers' listener, registers two
/// people.
///
/// # Errors
/// A sentence.
pub async fn prepare(plan: Plan, server: Server) -> Result<(Stage, JoinHandle<()>), String> {
    let (certificate, key) = &plan.authority;
    let authority = Authority::from_pem(certificate, key)?;
    let run = (plan.clock)();
    let peer = |(place, name): (usize, String)| {
        // The keys of the fifth change in a run; the key that retires has to retire now.
        let made = if place == 4 { run.saturating_sub(60_000) } else { MADE };
        let mut peer = Peer::new(&name, made, &authority)?;
        if place == 1 {
            // The witness is served although it knows nothing that is optional.
            peer.features.clear();
        }
        Ok(Arc::new(peer))
    };
    let peers: Result<Vec<_>, String> =
        names(&plan.domain).into_iter().enumerate().map(peer).collect();
    let peers: [Arc<Peer>; 6] = peers?.try_into().map_err(|_| "there are not six peers")?;
    let [honest, witness, hostile, forger, keys, expired] = peers;
    let roles = Roles { honest, witness, hostile, forger, keys, expired };
    let versions = &[&rustls::version::TLS13];
    let caller = Caller {
        address: plan.federation,
        domain: plan.subject.clone(),
        source: None,
        config: tls::client(&authority, Some(&roles.honest.credential), versions)?,
        patience: PATIENCE,
    };
    let answer = caller.send(&Request::get("/federation/v1/server")).await;
    let answer = answer.map_err(|cut| format!("the subject's document: {cut}"))?;
    let subject = Document::read(&answer.body).map_err(|err| {
        format!("the subject's document is answered {} and is {err}", answer.status)
    })?;
    let credentials = roles.all().map(|peer| (Arc::clone(peer), peer.name.clone()));
    let config = tls::server(
        &authority,
        credentials.iter().map(|(peer, name)| (name.as_str(), &peer.credential)),
    )?;
    let site = Site {
        peers: roles.all().into_iter().map(Arc::clone).collect(),
        subject: subject.clone(),
        clock: plan.clock,
        minute: MINUTE,
    };
    let listener = bind(plan.listen).await?;
    let serving = tokio::spawn(Arc::new(site).serve(listener, config));
    let mut people = Vec::new();
    for _ in 0..2 {
        let person = Person::register(&server).await;
        people.push(person.map_err(|failure| format!("nobody can register: {failure}"))?);
    }
    let quiet = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 2));
    let stage = Stage {
        server,
        subject,
        caller,
        quiet_source: (plan.federation.ip() == Ipv4Addr::LOCALHOST).then_some(quiet),
        authority,
        stranger: Authority::fresh()?,
        roles,
        people,
        pace: plan.pace,
        clock: plan.clock,
        seed: plan.seed,
        drawn: AtomicU64::new(0),
        numbers: Mutex::default(),
        local: Mutex::default(),
    };
    Ok((stage, serving))
}
