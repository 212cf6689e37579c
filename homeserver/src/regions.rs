//! Other regions, as the decisions of this one see them: names that can be resolved, queues that
//! can be woken, and whether a region can be reached. [`crate::federation`] is behind it; a region
//! that keeps to itself has [`Alone`].

mod first_contacts;

pub use first_contacts::FirstContacts;

use async_trait::async_trait;
use posthouse_federation::engine::ephemeral::Ephemeral;
use posthouse_protocol::{
    federation::{
        query::{
            groups::{GroupAnswer, GroupOutcome, GroupQuestion},
            keys::{BundlesAnswer, BundlesOf, DevicesAnswer},
        },
        stream::Lane,
    },
    id::{AccountId, Handle, ServerName},
    problem::{Code, Rejection},
    rest::Profile,
    time::Timestamp,
};

/// Other regions.
#[async_trait]
pub trait Regions: Send + Sync {
    /// Whether this region speaks with `server` at all.
    ///
    /// # Errors
    /// [`Code::RegionUnreachable`] with the reason.
    fn admits(&self, server: &ServerName) -> Result<(), Rejection>;

    /// Whether `server` was spoken with before; sending to others is limited more tightly.
    async fn knows(&self, server: &ServerName) -> Result<bool, Rejection>;

    /// The account behind a handle of another region.
    ///
    /// # Errors
    /// [`Code::UnknownUser`], or [`Code::RegionUnreachable`] if it cannot be asked and was never
    /// asked before.
    async fn resolve(&self, handle: &Handle) -> Result<AccountId, Rejection>;

    /// The profile of an account of another region: what that region says now, or what it said last.
    ///
    /// # Errors
    /// [`Code::UnknownUser`], or [`Code::RegionUnreachable`] if it cannot be asked and what it said
    /// is not remembered.
    async fn profile(&self, account: &AccountId) -> Result<Profile, Rejection>;

    /// The devices of another region's account, as that region says; not checked.
    ///
    /// # Errors
    /// [`Code::RegionUnreachable`] if it cannot be asked.
    async fn devices(&self, account: &AccountId) -> Result<DevicesAnswer, Rejection>;

    /// What sessions with devices of an account of `server` begin with, as it says; not checked.
    ///
    /// # Errors
    /// [`Code::RegionUnreachable`] if it cannot be asked, [`Code::RateLimited`] if it does not want
    /// to be asked so often.
    async fn bundles(
        &self,
        server: &ServerName,
        question: BundlesOf,
    ) -> Result<BundlesAnswer, Rejection>;

    /// What `server` says about a group; not checked.
    ///
    /// # Errors
    /// [`Code::RegionUnreachable`] if it cannot be asked, [`Code::RateLimited`] if it does not want
    /// to be asked so often.
    async fn group(
        &self,
        server: &ServerName,
        question: GroupQuestion,
    ) -> Result<GroupAnswer, Rejection>;

    /// Something waits for `destination`: a hint, cheap.
    fn wake(&self, destination: &ServerName, lane: Lane);

    /// Since when `destination` does not answer, as far as this process knows.
    fn unreachable_since(&self, destination: &ServerName) -> Option<Timestamp>;

    /// Sends something that may be lost; also if `destination` was never reached.
    fn whisper(&self, destination: &ServerName, ephemeral: Ephemeral);

    /// Somebody here waits for an answer to what is whispered: if `destination` was never reached, it
    /// is looked for during the next minutes.
    fn seek(&self, destination: &ServerName);
}

/// There are no other regions.
#[derive(Debug, Clone, Copy, Default)]
pub struct Alone;

#[async_trait]
impl Regions for Alone {
    fn admits(&self, server: &ServerName) -> Result<(), Rejection> {
        let detail = format!("this region keeps to itself: it does not reach {server}");
        Err(Rejection::new(Code::RegionUnreachable, detail))
    }

    async fn knows(&self, _server: &ServerName) -> Result<bool, Rejection> {
        Ok(false)
    }

    async fn resolve(&self, handle: &Handle) -> Result<AccountId, Rejection> {
        let refused = self.admits(&handle.server).err();
        Err(refused.unwrap_or_else(|| Rejection::new(Code::UnknownUser, "there is no such user")))
    }

    async fn profile(&self, account: &AccountId) -> Result<Profile, Rejection> {
        let refused = self.admits(&account.server).err();
        Err(refused.unwrap_or_else(|| Rejection::new(Code::UnknownUser, "there is no such user")))
    }

    async fn devices(&self, account: &AccountId) -> Result<DevicesAnswer, Rejection> {
        self.admits(&account.server)?;
        Ok(DevicesAnswer { devices: None, gone_since: None, remember_for: 0 })
    }

    async fn bundles(
        &self,
        server: &ServerName,
        _question: BundlesOf,
    ) -> Result<BundlesAnswer, Rejection> {
        self.admits(server)?;
        Ok(BundlesAnswer::NoAccount)
    }

    async fn group(
        &self,
        server: &ServerName,
        _question: GroupQuestion,
    ) -> Result<GroupAnswer, Rejection> {
        self.admits(server)?;
        Ok(GroupAnswer::of(GroupOutcome::Nothing, None))
    }

    fn wake(&self, _destination: &ServerName, _lane: Lane) {}

    fn unreachable_since(&self, _destination: &ServerName) -> Option<Timestamp> {
        None
    }

    fn whisper(&self, _destination: &ServerName, _ephemeral: Ephemeral) {}

    fn seek(&self, _destination: &ServerName) {}
}
