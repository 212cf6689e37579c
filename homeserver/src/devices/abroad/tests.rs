//! Accounts of another region that it has deleted.

use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use posthouse_federation::engine::ephemeral::Ephemeral;
use posthouse_protocol::{
    federation::{
        query::{
            groups::{GroupAnswer, GroupQuestion},
            keys::DevicesAnswer,
        },
        stream::Lane,
    },
    id::{Handle, ServerName},
    rest::Profile,
};
use posthouse_storage::erasure::{Begun, Erased};
use posthouse_storage_sql::SqlStore;

use super::*;
use crate::{delivery::Connections, random::Random, regions::Alone};

const NOW: Timestamp = Timestamp(1_700_000_000_000);

/// It is always now.
struct Stopped;

impl Clock for Stopped {
    fn now(&self) -> Timestamp {
        NOW
    }
}

/// A region that says of everybody that they are gone, and how often it was asked.
#[derive(Default)]
struct Gone(AtomicUsize);

#[async_trait]
impl Regions for Gone {
    fn admits(&self, _: &ServerName) -> Result<(), Rejection> {
        Ok(())
    }
    async fn knows(&self, server: &ServerName) -> Result<bool, Rejection> {
        Alone.knows(server).await
    }
    async fn resolve(&self, handle: &Handle) -> Result<AccountId, Rejection> {
        Alone.resolve(handle).await
    }
    async fn profile(&self, account: &AccountId) -> Result<Profile, Rejection> {
        Alone.profile(account).await
    }
    async fn devices(&self, _: &AccountId) -> Result<DevicesAnswer, Rejection> {
        self.0.fetch_add(1, Ordering::SeqCst);
        Ok(DevicesAnswer { devices: None, gone_since: Some(NOW), remember_for: 0 })
    }
    async fn bundles(
        &self,
        server: &ServerName,
        question: BundlesOf,
    ) -> Result<BundlesAnswer, Rejection> {
        Alone.bundles(server, question).await
    }
    async fn group(
        &self,
        server: &ServerName,
        question: GroupQuestion,
    ) -> Result<GroupAnswer, Rejection> {
        Alone.group(server, question).await
    }
    fn wake(&self, _: &ServerName, _: Lane) {}
    fn unreachable_since(&self, _: &ServerName) -> Option<Timestamp> {
        None
    }
    fn whisper(&self, _: &ServerName, _: Ephemeral) {}
    fn seek(&self, _: &ServerName) {}
}

/// Counts how often something was looked for, and fails when told to.
#[derive(Default)]
struct Forgets {
    times: AtomicUsize,
    fails: AtomicUsize,
}

#[async_trait]
impl Erasure for Forgets {
    async fn begin_erasure(&self, _: Uuid, _: Timestamp) -> Result<Option<Begun>, StoreError> {
        Ok(None)
    }
    async fn unfinished_erasures(&self, _: usize) -> Result<Vec<Uuid>, StoreError> {
        Ok(Vec::new())
    }
    async fn erase_some(
        &self,
        _: &AccountId,
        _: usize,
        _: Timestamp,
    ) -> Result<Erased, StoreError> {
        Ok(Erased::default())
    }
    async fn forget_abroad(&self, _: &AccountId, _: usize) -> Result<bool, StoreError> {
        self.times.fetch_add(1, Ordering::SeqCst);
        let fails = self.fails.load(Ordering::SeqCst) > 0;
        if fails { Err(StoreError::Unavailable("on purpose".into())) } else { Ok(false) }
    }
    async fn gone_since(&self, _: Uuid) -> Result<Option<Timestamp>, StoreError> {
        Ok(None)
    }
}

/// However often it is looked up, what is kept of it is looked for once; after a failure again.
#[tokio::test]
async fn a_deleted_account_is_forgotten_once() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("a.db");
    let store = SqlStore::open(file.to_str().unwrap(), Uuid::nil()).await.unwrap();
    let (regions, forgets) = (Arc::new(Gone::default()), Arc::new(Forgets::default()));
    let server = |name: &str| ServerName::parse(name).unwrap();
    let keys = ForeignKeys::new(ForeignParts {
        regions: Arc::<Gone>::clone(&regions),
        notices: Arc::new(Notices {
            store: Arc::new(store),
            connections: Arc::new(Connections::new()),
            regions: Arc::<Gone>::clone(&regions),
            own: server("north.test"),
            random: Arc::new(Random::from_seed([1; 32])),
        }),
        erasure: Arc::<Forgets>::clone(&forgets),
        limits: Arc::default(),
        clock: Arc::new(Stopped),
    });
    let by = AccountId { uuid: Uuid::from_u128(1), server: server("north.test") };
    let gone = AccountId { uuid: Uuid::from_u128(2), server: server("south.test") };
    let look_up = async || {
        let refused = keys.devices(&by, &gone).await.unwrap_err();
        assert_eq!(refused.code, Code::UnknownUser);
        (regions.0.load(Ordering::SeqCst), forgets.times.load(Ordering::SeqCst))
    };
    forgets.fails.store(1, Ordering::SeqCst);
    assert_eq!(look_up().await, (1, 1));
    assert!(keys.check_there(&gone).is_ok(), "some of it is left");
    forgets.fails.store(0, Ordering::SeqCst);
    assert_eq!(look_up().await, (2, 2));
    for _ in 0..3 {
        assert_eq!(look_up().await, (2, 2));
        assert!(keys.check_there(&gone).is_err());
    }
    // What is told without being asked for is believed whenever it comes.
    keys.gone(&gone).await.unwrap();
    assert_eq!(look_up().await, (2, 3));
}
