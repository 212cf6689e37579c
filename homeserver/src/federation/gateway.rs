//! Other regions, for the decisions of this one.

use std::{
    collections::{HashMap, HashSet},
    hash::Hash,
    sync::{Arc, Mutex, PoisonError},
};

use async_trait::async_trait;
use posthouse_federation::{
    engine::ephemeral::Ephemeral, outbox::Supervisor, peer::PeerClient, policy::PolicyStore,
    ports::PostError,
};
use posthouse_protocol::{
    federation::{
        query::{
            groups::{GroupAnswer, GroupQuestion},
            keys::{BundlesAnswer, BundlesOf, DevicesAnswer},
        },
        refusal::RefusalCode,
        stream::Lane,
    },
    id::{AccountId, Handle, HandleName, ServerName},
    problem::{Code, Rejection},
    rest::Profile,
    time::{Clock, Timestamp},
};
use posthouse_storage::peers::{Peers, RememberedHandle};

use super::Observer;
use crate::{accounts::store_failed, people::RemoteProfiles, regions::Regions};

/// Most handles, and most regions, that are kept in memory; a full memory is emptied.
const MAX_CACHED: usize = 100_000;

/// What the gateway stands on.
pub struct GatewayParts {
    /// Whom this region speaks with.
    pub policy: Arc<PolicyStore>,
    /// The workers.
    pub supervisor: Arc<Supervisor>,
    /// The way to peers.
    pub client: Arc<PeerClient>,
    /// What is known of them.
    pub peers: Arc<dyn Peers>,
    /// Who knows which regions do not answer.
    pub observer: Arc<Observer>,
    /// The time.
    pub clock: Arc<dyn Clock>,
}

/// Other regions.
pub struct Gateway {
    parts: GatewayParts,
    handles: Mutex<HashMap<(ServerName, HandleName), RememberedHandle>>,
    known: Mutex<HashSet<ServerName>>,
    profiles: RemoteProfiles,
}

impl Gateway {
    /// Speaks through `parts`.
    pub fn new(parts: GatewayParts) -> Self {
        let (handles, known) = (Mutex::default(), Mutex::default());
        Self { parts, handles, known, profiles: RemoteProfiles::default() }
    }

    async fn remembered(
        &self,
        server: &ServerName,
        name: &HandleName,
    ) -> Result<Option<RememberedHandle>, Rejection> {
        let key = (server.clone(), name.clone());
        let cached = self.handles().get(&key).copied();
        if cached.is_some() {
            return Ok(cached);
        }
        let found = self.parts.peers.remembered_handle(server, name).await;
        let found = found.map_err(|err| store_failed(&err))?;
        if let Some(found) = found {
            let mut handles = self.handles();
            make_room(&mut handles);
            handles.insert(key, found);
        }
        Ok(found)
    }

    async fn ask(
        &self,
        server: &ServerName,
        name: &HandleName,
        now: Timestamp,
    ) -> Result<RememberedHandle, Rejection> {
        let answer = self.parts.client.resolve(server, name).await.map_err(|err| {
            let mut rejection = not_asked(server, err);
            if rejection.code == Code::RegionUnreachable {
                rejection.detail = format!(
                    "{server} cannot be asked who {name} is; an account id can be written to"
                )
                .into();
            }
            rejection
        })?;
        let until = now.plus_millis(u64::from(answer.remember_for.min(86_400)) * 1_000);
        let remembered = RememberedHandle { account: answer.account, until };
        // Without it the region is asked again, and cannot be asked while it is away.
        if let Err(err) = self.parts.peers.remember_handle(server, name, remembered).await {
            tracing::warn!(error = %err, "a handle could not be remembered");
        }
        let mut handles = self.handles();
        make_room(&mut handles);
        handles.insert((server.clone(), name.clone()), remembered);
        Ok(remembered)
    }

    fn handles(
        &self,
    ) -> std::sync::MutexGuard<'_, HashMap<(ServerName, HandleName), RememberedHandle>> {
        self.handles.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl Regions for Gateway {
    fn admits(&self, server: &ServerName) -> Result<(), Rejection> {
        if self.parts.policy.current().allows(server) {
            return Ok(());
        }
        let detail = format!("this region does not speak with {server}");
        Err(Rejection::new(Code::RegionUnreachable, detail))
    }

    async fn knows(&self, server: &ServerName) -> Result<bool, Rejection> {
        let cached = self.known.lock().unwrap_or_else(PoisonError::into_inner).contains(server);
        if cached {
            return Ok(true);
        }
        let head = self.parts.peers.key_head(server).await.map_err(|err| store_failed(&err))?;
        if head.is_none() {
            return Ok(false);
        }
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= MAX_CACHED {
            known.clear();
        }
        known.insert(server.clone());
        Ok(true)
    }

    async fn resolve(&self, handle: &Handle) -> Result<AccountId, Rejection> {
        let (server, name) = (&handle.server, &handle.name);
        let now = self.parts.clock.now();
        let known = self.remembered(server, name).await?;
        let fresh = known.filter(|known| now < known.until);
        let answer = match fresh {
            Some(fresh) => fresh,
            None => match self.ask(server, name, now).await {
                Ok(answer) => answer,
                // Handles are never given to somebody else, so that what was once true still is.
                Err(rejection) => known.filter(|known| known.account.is_some()).ok_or(rejection)?,
            },
        };
        let uuid = answer.account;
        let uuid =
            uuid.ok_or_else(|| Rejection::new(Code::UnknownUser, "that region has no such user"))?;
        Ok(AccountId { uuid, server: server.clone() })
    }

    async fn profile(&self, account: &AccountId) -> Result<Profile, Rejection> {
        self.admits(&account.server)?;
        let now = self.parts.clock.now();
        let remembered = self.profiles.remembered(account, now);
        if let Some((profile, true)) = remembered {
            return Ok(profile);
        }
        match self.parts.client.profile(&account.server, account.uuid).await {
            Ok(answer) => self.profiles.learn(account, answer, now),
            Err(err) => {
                let rejection = not_asked(&account.server, err);
                // An old one is better than none.
                remembered.map(|(profile, _)| profile).ok_or(rejection)
            }
        }
    }

    async fn devices(&self, account: &AccountId) -> Result<DevicesAnswer, Rejection> {
        let answer = self.parts.client.devices(account).await;
        answer.map_err(|err| not_asked(&account.server, err))
    }

    async fn bundles(
        &self,
        server: &ServerName,
        question: BundlesOf,
    ) -> Result<BundlesAnswer, Rejection> {
        let answer = self.parts.client.bundles(server, question).await;
        answer.map_err(|err| not_asked(server, err))
    }

    async fn group(
        &self,
        server: &ServerName,
        question: GroupQuestion,
    ) -> Result<GroupAnswer, Rejection> {
        self.admits(server)?;
        let answer = self.parts.client.group(server, question).await;
        answer.map_err(|err| not_asked(server, err))
    }

    fn wake(&self, destination: &ServerName, lane: Lane) {
        self.parts.supervisor.wake(destination, lane);
    }

    fn unreachable_since(&self, destination: &ServerName) -> Option<Timestamp> {
        self.parts.observer.unreachable(destination).map(|known| known.since)
    }

    fn whisper(&self, destination: &ServerName, ephemeral: Ephemeral) {
        self.parts.supervisor.push_ephemeral(destination, ephemeral);
    }

    fn seek(&self, destination: &ServerName) {
        if self.admits(destination).is_ok() {
            self.parts.supervisor.seek(destination);
        }
    }
}

/// Why there is no answer.
fn not_asked(server: &ServerName, err: PostError) -> Rejection {
    match &err {
        // Somebody there has to mend this; whoever waits for a region that is away need not be told.
        PostError::Refused(_) | PostError::Unreadable(_) => {
            tracing::warn!(%server, error = %err, "a region does not answer what it is asked");
        }
        _ => tracing::debug!(%server, error = %err, "a region cannot be asked"),
    }
    match err {
        PostError::Unreadable(_) => {
            let detail =
                format!("what {server} answers cannot be read; its operator has to mend it");
            Rejection::new(Code::AnswerRefused, detail)
        }
        PostError::Refused(refusal) if refusal.code == RefusalCode::RateLimited => {
            let detail = format!("{server} is asked too often; wait");
            let wait = refusal.retry_after.unwrap_or(1);
            Rejection::new(Code::RateLimited, detail).retry_after(wait)
        }
        _ => {
            let detail = format!("{server} cannot be asked now");
            Rejection::new(Code::RegionUnreachable, detail).retry_after(30)
        }
    }
}

fn make_room<K: Eq + Hash, V>(cache: &mut HashMap<K, V>) {
    if cache.len() >= MAX_CACHED {
        cache.clear();
    }
}
