//! Profiles: those of this region, and those of others behind a bounded memory.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use async_trait::async_trait;
use posthouse_federation::ports::Profiles as ProfilesPort;
use posthouse_protocol::{
    federation::query::ProfileAnswer,
    id::AccountId,
    limits,
    problem::{Code, Rejection},
    rest::{Opaque, Profile},
    time::Timestamp,
};
use posthouse_storage::{
    error::StoreError,
    profiles::{Profile as Stored, Profiles},
};
use uuid::Uuid;

use crate::accounts::Directory;

/// For how long another region may remember a profile, in seconds.
const REMEMBER_FOR: u32 = 300;

/// Longest time for which an answer of another region is remembered as fresh, in milliseconds.
const MAX_FRESH_MS: u64 = 3_600_000;

/// Most profiles of other regions that are remembered; each has at most 44 KiB. A full memory is
/// emptied.
const MAX_REMEMBERED: usize = 1_000;

/// Profiles of this region, for other regions that ask.
pub struct LocalProfiles {
    /// Who lives here.
    pub directory: Arc<Directory>,
    /// Profiles.
    pub store: Arc<dyn Profiles>,
}

#[async_trait]
impl ProfilesPort for LocalProfiles {
    async fn profile(&self, account: Uuid) -> Result<Option<ProfileAnswer>, StoreError> {
        if self.directory.existing(&[account]).await? != [true] {
            return Ok(None);
        }
        let answer = ProfileAnswer {
            account: Some(account),
            remember_for: REMEMBER_FOR,
            ..ProfileAnswer::default()
        };
        let found = self.store.profile(account).await?;
        let Some(Stored { version, name, about, avatar, updated_at }) = found else {
            return Ok(Some(answer));
        };
        let updated_at = Some(updated_at);
        Ok(Some(ProfileAnswer { version, name, about, avatar, updated_at, ..answer }))
    }
}

/// Profiles of other regions as they were last told.
#[derive(Default)]
pub struct RemoteProfiles(Mutex<HashMap<AccountId, (Profile, Timestamp)>>);

impl RemoteProfiles {
    /// What is remembered, and whether it is fresh at `now`.
    pub fn remembered(&self, account: &AccountId, now: Timestamp) -> Option<(Profile, bool)> {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (profile, until) = known.get(account)?;
        let is_fresh = now < *until && *until <= now.plus_millis(MAX_FRESH_MS);
        Some((profile.clone(), is_fresh))
    }

    /// Takes an answer of the account's region.
    ///
    /// # Errors
    /// [`Code::UnknownUser`] if the region has no such account, [`Code::RegionUnreachable`] if the
    /// answer is larger than a profile may be.
    pub fn learn(
        &self,
        account: &AccountId,
        answer: ProfileAnswer,
        now: Timestamp,
    ) -> Result<Profile, Rejection> {
        let fresh_ms = u64::from(answer.remember_for).saturating_mul(1_000).min(MAX_FRESH_MS);
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if answer.account != Some(account.uuid) {
            known.remove(account);
            return Err(Rejection::new(Code::UnknownUser, "that region has no such user"));
        }
        let profile = Profile {
            account_id: account.clone(),
            version: answer.version,
            name: bounded::<{ limits::MAX_PROFILE_NAME }>(answer.name)?,
            about: bounded::<{ limits::MAX_PROFILE_ABOUT }>(answer.about)?,
            avatar: bounded::<{ limits::MAX_PROFILE_AVATAR }>(answer.avatar)?,
            updated_at: answer.updated_at,
        };
        if known.len() >= MAX_REMEMBERED && !known.contains_key(account) {
            known.clear();
        }
        known.insert(account.clone(), (profile.clone(), now.plus_millis(fresh_ms)));
        Ok(profile)
    }
}

fn bounded<const MAX: usize>(text: Option<String>) -> Result<Option<Opaque<MAX>>, Rejection> {
    let Some(text) = text else { return Ok(None) };
    Opaque::new(text).map(Some).ok_or_else(|| {
        Rejection::new(Code::RegionUnreachable, "that region's answer is larger than is taken")
    })
}

/// A profile of this region as clients see it. What is stored fits: it was bounded when it came.
pub(super) fn shown(account_id: AccountId, stored: Option<Stored>) -> Profile {
    let Some(Stored { version, name, about, avatar, updated_at }) = stored else {
        return Profile {
            account_id,
            version: 0,
            name: None,
            about: None,
            avatar: None,
            updated_at: None,
        };
    };
    Profile {
        account_id,
        version,
        name: name.and_then(Opaque::new),
        about: about.and_then(Opaque::new),
        avatar: avatar.and_then(Opaque::new),
        updated_at: Some(updated_at),
    }
}

#[cfg(test)]
mod tests {
    use posthouse_protocol::id::ServerName;

    use super::*;

    const NOW: Timestamp = Timestamp(1_800_000_000_000);

    fn account(n: u128) -> AccountId {
        let server = ServerName::parse("us.example").unwrap();
        AccountId { uuid: Uuid::from_u128(n), server }
    }

    fn answer(n: u128) -> ProfileAnswer {
        ProfileAnswer {
            account: Some(Uuid::from_u128(n)),
            version: 3,
            name: Some("n".into()),
            about: None,
            avatar: None,
            updated_at: Some(NOW),
            remember_for: 60,
        }
    }

    #[test]
    fn an_answer_is_fresh_for_its_time_and_known_afterwards() {
        let remote = RemoteProfiles::default();
        assert!(remote.remembered(&account(1), NOW).is_none());
        let learnt = remote.learn(&account(1), answer(1), NOW).unwrap();
        assert_eq!(learnt.version, 3);
        let is_fresh = |at| remote.remembered(&account(1), at).map(|(_, fresh)| fresh);
        assert_eq!(is_fresh(NOW.plus_millis(59_999)), Some(true));
        assert_eq!(is_fresh(NOW.plus_millis(60_000)), Some(false));
        assert_eq!(is_fresh(NOW.minus_millis(MAX_FRESH_MS)), Some(false), "the clock was put back");
        let gone = ProfileAnswer { account: None, ..answer(1) };
        assert_eq!(remote.learn(&account(1), gone, NOW).unwrap_err().code, Code::UnknownUser);
        assert_eq!(is_fresh(NOW), None);
        let other = remote.learn(&account(1), answer(2), NOW).unwrap_err();
        assert_eq!(other.code, Code::UnknownUser, "it names another account");
    }

    #[test]
    fn answers_and_their_number_are_bounded() {
        let remote = RemoteProfiles::default();
        let long = ProfileAnswer { name: Some("n".repeat(513)), ..answer(1) };
        assert_eq!(remote.learn(&account(1), long, NOW).unwrap_err().code, Code::RegionUnreachable);
        for n in 0..=MAX_REMEMBERED as u128 {
            remote.learn(&account(n), answer(n), NOW).unwrap();
        }
        assert_eq!(remote.0.lock().unwrap().len(), 1);
    }
}
