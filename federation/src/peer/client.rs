//! What is asked of peers: over kept connections, after discovery, to whoever proves the domain.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use bytes::Bytes;
use hyper::Method;
use posthouse_crypto::sign::SigningKey;
use posthouse_protocol::{
    federation::{
        cbor::CborError,
        document::SignedDocument,
        key_log::{SignedEntry, decode_log},
        keys::KeyId,
        limits,
        query::{
            EchoAnswer, Nonce, ProfileAnswer, ProfileOf, Query, Question, ResolveAnswer,
            groups::{GroupAnswer, GroupQuestion},
            keys::{BundlesAnswer, BundlesOf, DevicesAnswer, DevicesOf},
        },
        signed::Signed,
    },
    id::{AccountId, HandleName, ServerName},
    time::Clock,
};
use rand::{SeedableRng as _, rngs::StdRng};
use rand_core::CryptoRng;
use rustls::ClientConfig;
use tokio::time::timeout;
use uuid::Uuid;

use super::{
    dial::dial,
    pool::{Connection, IDLE, Pool},
    request::{Exchange, Failure, exchange},
};
use crate::{
    discovery::{Discovery, DiscoveryError},
    policy::{self, PolicyStore},
    ports::{Contacts, FetchError, KeySource, PostError, Transport},
    tls::{self, IdentityStore, TlsClock, TrustStore},
};

/// How long it may take to find a peer and to connect.
const CONNECT: Duration = Duration::from_secs(10);
/// How long an envelope's answer may take.
const ENVELOPE: Duration = Duration::from_secs(30);
/// How long a query's answer may take.
const QUERY: Duration = Duration::from_secs(10);
/// How long closing waits for requests that are under way.
const CLOSE: Duration = Duration::from_secs(10);

/// What the client works with.
pub struct PeerParts {
    /// Our name.
    pub own: ServerName,
    /// The key that signs queries.
    pub signing: SigningKey,
    /// Our certificate.
    pub identity: Arc<IdentityStore>,
    /// Whose certificates are believed.
    pub trust: Arc<TrustStore>,
    /// With whom we federate.
    pub policy: Arc<PolicyStore>,
    /// Where peers are.
    pub discovery: Arc<Discovery>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Who hears that a peer answers again, or from elsewhere.
    pub contacts: Arc<dyn Contacts>,
}

/// The way to peers.
pub struct PeerClient {
    parts: PeerParts,
    tls: Arc<ClientConfig>,
    pool: Arc<Pool>,
    rng: Mutex<StdRng>,
}

impl PeerClient {
    /// A client without connections. `rng` is drawn from once.
    ///
    /// # Errors
    /// [`rustls::Error`] if the algorithms do not fit together, which is a defect of this program.
    pub fn new(parts: PeerParts, rng: &mut impl CryptoRng) -> Result<Self, rustls::Error> {
        Self::resting(parts, rng, IDLE)
    }

    fn resting(
        parts: PeerParts,
        rng: &mut impl CryptoRng,
        idle: Duration,
    ) -> Result<Self, rustls::Error> {
        let clock = Arc::new(TlsClock::new(Arc::clone(&parts.clock)));
        let (identity, trust) = (Arc::clone(&parts.identity), Arc::clone(&parts.trust));
        let tls = Arc::new(tls::client_config(identity, trust, clock)?);
        Ok(Self { parts, tls, pool: Pool::new(idle), rng: Mutex::new(StdRng::from_rng(rng)) })
    }

    /// The peer's document, as it came: whether it is believed is decided against what is known of
    /// the peer.
    ///
    /// # Errors
    /// [`PostError`].
    pub async fn document(&self, peer: &ServerName) -> Result<SignedDocument, PostError> {
        let body = self.get(peer, "/federation/v1/server", limits::MAX_DOCUMENT).await?;
        SignedDocument::decode(&body).map_err(nonsense)
    }

    /// The peer's key log, as it came.
    ///
    /// # Errors
    /// [`PostError`].
    pub async fn key_log(&self, peer: &ServerName) -> Result<Vec<SignedEntry>, PostError> {
        let body = self.get(peer, "/federation/v1/keylog", limits::MAX_KEY_LOG_BYTES).await?;
        decode_log(&body).map_err(nonsense)
    }

    /// Which account has a handle at the peer.
    ///
    /// # Errors
    /// [`PostError`].
    pub async fn resolve(
        &self,
        peer: &ServerName,
        handle: &HandleName,
    ) -> Result<ResolveAnswer, PostError> {
        let body = self.ask(peer, "/federation/v1/query/resolve", handle.clone()).await?;
        ResolveAnswer::decode(&body).map_err(nonsense)
    }

    /// What an account's profile says at the peer.
    ///
    /// # Errors
    /// [`PostError`].
    pub async fn profile(
        &self,
        peer: &ServerName,
        account: Uuid,
    ) -> Result<ProfileAnswer, PostError> {
        let body = self.ask(peer, "/federation/v1/query/profile", ProfileOf(account)).await?;
        ProfileAnswer::decode(&body).map_err(nonsense)
    }

    /// Which devices an account of another server has: not checked.
    ///
    /// # Errors
    /// [`PostError`].
    pub async fn devices(&self, account: &AccountId) -> Result<DevicesAnswer, PostError> {
        let question = DevicesOf(account.uuid);
        let body = self.ask(&account.server, "/federation/v1/query/devices", question).await?;
        DevicesAnswer::decode(&body, account).map_err(nonsense)
    }

    /// What sessions with the devices of a peer's account begin with: not checked.
    ///
    /// # Errors
    /// [`PostError`].
    pub async fn bundles(
        &self,
        peer: &ServerName,
        question: BundlesOf,
    ) -> Result<BundlesAnswer, PostError> {
        let account = AccountId { uuid: question.account, server: peer.clone() };
        let body = self.ask(peer, "/federation/v1/query/bundle", question).await?;
        BundlesAnswer::decode(&body, &account).map_err(nonsense)
    }

    /// What the peer says about a group: not checked.
    ///
    /// # Errors
    /// [`PostError`].
    pub async fn group(
        &self,
        peer: &ServerName,
        question: GroupQuestion,
    ) -> Result<GroupAnswer, PostError> {
        let body = self.ask(peer, "/federation/v1/query/group", question).await?;
        GroupAnswer::decode(&body).map_err(nonsense)
    }

    /// The peer's signed answer to an echo with `nonce`: its signature and nonce are the caller's
    /// to check.
    ///
    /// # Errors
    /// [`PostError`].
    pub async fn echo(
        &self,
        peer: &ServerName,
        nonce: Nonce,
    ) -> Result<Signed<EchoAnswer>, PostError> {
        let body = self.ask(peer, "/federation/v1/echo", nonce).await?;
        Signed::decode(&body).map_err(nonsense)
    }

    /// Closes connections and waits, but not long, for requests that are under way.
    pub async fn close(&self) {
        drop(timeout(CLOSE, self.pool.close()).await);
    }

    async fn get(
        &self,
        peer: &ServerName,
        path: &'static str,
        most: usize,
    ) -> Result<Bytes, PostError> {
        let exchange = Exchange { method: Method::GET, path, body: Bytes::new(), most };
        self.request(peer, exchange, QUERY).await
    }

    async fn ask<Q: Question>(
        &self,
        peer: &ServerName,
        path: &'static str,
        question: Q,
    ) -> Result<Bytes, PostError> {
        let query = Query {
            origin: self.parts.own.clone(),
            destination: peer.clone(),
            created: self.parts.clock.now(),
            signing_key: KeyId([0; 8]),
            question,
        };
        let body = Signed::sign(query, &self.parts.signing).encode().into();
        let most = limits::MAX_QUERY;
        self.request(peer, Exchange { method: Method::POST, path, body, most }, QUERY).await
    }

    /// One exchange: over a kept connection if there is one, and then once more over a fresh one
    /// if the kept one turns out to be dead; else over a fresh one.
    async fn request(
        &self,
        peer: &ServerName,
        request: Exchange,
        patience: Duration,
    ) -> Result<Bytes, PostError> {
        if !self.parts.policy.current().allows(peer) {
            return Err(policy::denial().into());
        }
        let places = self.pool.places(peer);
        let late = |_| PostError::Unreachable("too many requests to the peer wait".to_owned());
        let place = timeout(CONNECT, places.acquire()).await.map_err(late)?;
        let _place = place.map_err(|err| PostError::Unreachable(err.to_string()))?;
        let answer = match self.pool.take(peer) {
            Some(kept) => match self.attempt(peer, kept, &request, patience).await {
                Err(Failure::Broken(_)) => None,
                answered => Some(answered),
            },
            None => None,
        };
        let answer = match answer {
            Some(answer) => answer,
            None => match self.connect(peer).await {
                Ok(fresh) => self.attempt(peer, fresh, &request, patience).await,
                Err(err) => Err(Failure::Answered(err)),
            },
        };
        let answer = answer.map_err(|failure| match failure {
            Failure::Broken(reason) => PostError::Unreachable(reason),
            Failure::Answered(err) => err,
        });
        if matches!(answer, Err(PostError::Unreachable(_) | PostError::NoSuchName)) {
            self.pool.failed(peer);
        }
        answer
    }

    async fn attempt(
        &self,
        peer: &ServerName,
        mut connection: Connection,
        request: &Exchange,
        patience: Duration,
    ) -> Result<Bytes, Failure> {
        let exchanged = timeout(patience, exchange(&mut connection.sending, peer, request)).await;
        let late = || Failure::Answered(PostError::Unreachable("the peer does not answer".into()));
        let answer = exchanged.map_err(|_| late())?;
        if matches!(answer, Ok(_) | Err(Failure::Answered(PostError::Refused(_)))) {
            let life = self.pool.succeeded(peer, connection.address);
            self.pool.keep(peer, connection);
            if life {
                self.parts.contacts.heard(peer);
            }
        }
        answer
    }

    async fn connect(&self, peer: &ServerName) -> Result<Connection, PostError> {
        let unreachable = |reason: String| PostError::Unreachable(reason);
        let connecting = async {
            let mut rng = self.rng();
            let found = self.parts.discovery.find(peer, self.parts.clock.now(), &mut rng).await;
            let found = found.map_err(|err| match err {
                DiscoveryError::NoSuchName => PostError::NoSuchName,
                err => unreachable(err.to_string()),
            })?;
            let dialed = dial(peer, &found.discovered.targets, &self.tls).await;
            dialed.map_err(|err| {
                self.parts.discovery.doubt(peer);
                unreachable(err.to_string())
            })
        };
        let late = |_| {
            self.parts.discovery.doubt(peer);
            unreachable("finding the peer and connecting took too long".to_owned())
        };
        let dialed = timeout(CONNECT, connecting).await.map_err(late)??;
        let adopted = self.pool.adopt(peer, dialed).await;
        adopted.ok_or_else(|| unreachable("there are too many connections to peers".to_owned()))
    }

    /// A generator for one use, so that nobody waits for anybody.
    fn rng(&self) -> StdRng {
        // The generator has no state that a panic could leave half changed.
        StdRng::from_rng(&mut *self.rng.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

#[async_trait]
impl Transport for PeerClient {
    async fn post(&self, peer: &ServerName, envelope: Vec<u8>) -> Result<Vec<u8>, PostError> {
        let exchange = Exchange {
            method: Method::POST,
            path: "/federation/v1/envelopes",
            body: envelope.into(),
            most: limits::MAX_RECEIPT,
        };
        self.request(peer, exchange, ENVELOPE).await.map(Vec::from)
    }
}

#[async_trait]
impl KeySource for PeerClient {
    async fn document(&self, peer: &ServerName) -> Result<Vec<u8>, FetchError> {
        let body = self.get(peer, "/federation/v1/server", limits::MAX_DOCUMENT).await;
        body.map(Vec::from).map_err(not_fetched)
    }

    async fn key_log(&self, peer: &ServerName) -> Result<Vec<u8>, FetchError> {
        let body = self.get(peer, "/federation/v1/keylog", limits::MAX_KEY_LOG_BYTES).await;
        body.map(Vec::from).map_err(not_fetched)
    }
}

fn not_fetched(err: PostError) -> FetchError {
    match err {
        PostError::NoSuchName => FetchError::NoSuchName,
        err => FetchError::Unreachable(err.to_string()),
    }
}

fn nonsense(err: CborError) -> PostError {
    PostError::Unreadable(format!("it is not what was asked for: {err}"))
}

#[cfg(test)]
mod tests;
