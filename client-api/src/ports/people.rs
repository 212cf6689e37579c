//! Contacts, blocks, message requests, privacy settings, profiles, reports.

use async_trait::async_trait;
use posthouse_protocol::{
    id::{AccountId, Address},
    problem::Rejection,
    rest::{
        Blocks, Contacts, FileReport, Label, Privacy, Profile, PutProfile, ReportFiled, Requests,
    },
};

use super::Caller;

/// A page of a list: those after `after` in the order of their ids.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListRange {
    /// After this one.
    pub after: Option<AccountId>,
    /// At most so many.
    pub limit: usize,
}

/// People. Lists and settings are those of the caller's account; only [`People::profile`] reads what
/// is somebody else's.
#[async_trait]
pub trait People: Send + Sync {
    /// The contacts.
    async fn contacts(&self, caller: &Caller, range: ListRange) -> Result<Contacts, Rejection>;

    /// Adds a contact, or changes its label.
    async fn put_contact(
        &self,
        caller: &Caller,
        user: Address,
        label: Option<Label>,
    ) -> Result<(), Rejection>;

    /// Removes a contact; `not_found` if it is none.
    async fn remove_contact(&self, caller: &Caller, user: Address) -> Result<(), Rejection>;

    /// Who is blocked.
    async fn blocks(&self, caller: &Caller, range: ListRange) -> Result<Blocks, Rejection>;

    /// Blocks somebody. Whom it concerns is not told.
    async fn block(&self, caller: &Caller, user: Address) -> Result<(), Rejection>;

    /// Blocks somebody no longer; `not_found` for whom is not blocked.
    async fn unblock(&self, caller: &Caller, user: Address) -> Result<(), Rejection>;

    /// Message requests that wait.
    async fn requests(&self, caller: &Caller, range: ListRange) -> Result<Requests, Rejection>;

    /// Accepts or declines a message request; `not_found` if none waits.
    async fn answer_request(
        &self,
        caller: &Caller,
        user: Address,
        accept: bool,
    ) -> Result<(), Rejection>;

    /// The privacy settings.
    async fn privacy(&self, caller: &Caller) -> Result<Privacy, Rejection>;

    /// Chooses privacy settings.
    async fn set_privacy(&self, caller: &Caller, privacy: Privacy) -> Result<(), Rejection>;

    /// Anybody's profile.
    async fn profile(&self, caller: &Caller, user: Address) -> Result<Profile, Rejection>;

    /// Puts the caller's profile in the place of the version that it names; `conflict` if another one
    /// is there.
    async fn put_profile(&self, caller: &Caller, profile: PutProfile)
    -> Result<Profile, Rejection>;

    /// Files a report for the operator.
    async fn report(
        &self,
        caller: &Caller,
        user: Address,
        report: FileReport,
    ) -> Result<ReportFiled, Rejection>;
}
