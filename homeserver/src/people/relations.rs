//! What accounts of this region think of others, and their privacy settings: a bounded memory before
//! the store.
//!
//! What lets somebody in or keeps somebody out for good is remembered until it is said to have
//! changed, by this process or ([`Wake::People`](posthouse_storage::wakes::Wake)) by another. What a
//! message may change is read afresh after [`FRESH_MS`]; strangers always are, since the next message
//! of either makes them none.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use posthouse_protocol::{
    frame::{Changed, ServerFrame},
    id::{AccountId, DeviceId},
    limits,
    problem::Rejection,
    rest::{Privacy, Writers},
    time::Timestamp,
};
use posthouse_storage::{
    error::StoreError,
    people::{Pair, People, Relation, Stance},
    wakes::Wakes,
};
use uuid::Uuid;

use crate::{accounts::store_failed, delivery::Connections};

/// Most relations, and most settings, that are remembered; a full memory is emptied and fills again.
const MAX_REMEMBERED: usize = 100_000;

/// For how long requests that wait or were declined are remembered as such, in milliseconds.
const FRESH_MS: u64 = 1_000;

/// What becomes of a message of somebody else.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Judgement {
    /// It is delivered.
    Deliver,
    /// It is delivered, and the recipient is asked whether to hear the sender.
    Ask,
    /// The sender is told that it was taken, and nobody gets it.
    Discard,
    /// The sender is told that the recipient does not take it.
    Refuse,
}

impl Judgement {
    /// What an account does with a message of somebody whom it regards so. A stranger is refused
    /// before it is looked whether they are blocked: the answer must not tell.
    pub fn of(relation: Relation) -> Self {
        let Relation { stance, blocked, writers, .. } = relation;
        if !stance.is_known() && writers == Writers::Contacts {
            Self::Refuse
        } else if blocked || stance == Stance::Declined {
            Self::Discard
        } else if stance.is_known() {
            Self::Deliver
        } else {
            Self::Ask
        }
    }
}

/// Relations and privacy settings.
pub struct Relations {
    store: Arc<dyn People>,
    wakes: Arc<dyn Wakes>,
    connections: Arc<Connections>,
    cache: Mutex<Cache>,
}

#[derive(Default)]
struct Cache {
    relations: HashMap<Uuid, HashMap<AccountId, (Relation, Timestamp)>>,
    /// In all inner maps.
    size: usize,
    privacy: HashMap<Uuid, Privacy>,
    /// Rises with everything that is forgotten: what was read before is not remembered after.
    generation: u64,
}

impl Cache {
    fn fresh(&self, (account, other): &Pair, now: Timestamp) -> Option<Relation> {
        let (relation, read_at) = self.relations.get(&account.uuid)?.get(other)?;
        let lasts = relation.has_spoken && relation.stance.is_known();
        let is_new = (*read_at..read_at.plus_millis(FRESH_MS)).contains(&now);
        (lasts || is_new).then_some(*relation)
    }

    fn keep(&mut self, (account, other): &Pair, relation: Relation, now: Timestamp) {
        if relation.stance == Stance::Stranger || !relation.has_spoken {
            return;
        }
        if self.size >= MAX_REMEMBERED {
            self.relations.clear();
            self.size = 0;
        }
        let of = self.relations.entry(account.uuid).or_default();
        if of.insert(other.clone(), (relation, now)).is_none() {
            self.size += 1;
        }
    }

    fn forget(&mut self, account: Uuid) {
        self.generation += 1;
        if let Some(of) = self.relations.remove(&account) {
            self.size -= of.len();
        }
        self.privacy.remove(&account);
    }
}

impl Relations {
    /// Reads from `store`; tells other processes by `wakes` and devices of `connections` what has
    /// changed.
    pub fn new(
        store: Arc<dyn People>,
        wakes: Arc<dyn Wakes>,
        connections: Arc<Connections>,
    ) -> Self {
        Self { store, wakes, connections, cache: Mutex::default() }
    }

    /// What the first of each pair, an account here, thinks of the second.
    ///
    /// # Errors
    /// As the store.
    pub async fn of(&self, pairs: &[Pair], now: Timestamp) -> Result<Vec<Relation>, StoreError> {
        let (mut found, generation): (Vec<Option<Relation>>, u64) = {
            let cache = self.cache();
            (pairs.iter().map(|pair| cache.fresh(pair, now)).collect(), cache.generation)
        };
        let missing: Vec<Pair> = pairs
            .iter()
            .zip(&found)
            .filter(|(_, found)| found.is_none())
            .map(|(pair, _)| pair.clone())
            .collect();
        if !missing.is_empty() {
            let read = self.store.relations(&missing).await?;
            let mut cache = self.cache();
            if cache.generation == generation {
                for (pair, relation) in missing.iter().zip(&read) {
                    cache.keep(pair, *relation, now);
                }
            }
            let mut read = read.into_iter();
            for place in found.iter_mut().filter(|place| place.is_none()) {
                *place = read.next();
            }
        }
        found.into_iter().collect::<Option<_>>().ok_or(StoreError::Corrupt {
            table: "relations",
            column: "account",
            fact: "the store gave fewer answers than it was asked for".into(),
        })
    }

    /// What `account`, of this region, thinks of `other`.
    ///
    /// # Errors
    /// As the store, dressed for a client.
    pub async fn one(
        &self,
        account: &AccountId,
        other: &AccountId,
        now: Timestamp,
    ) -> Result<Relation, Rejection> {
        let pair = [(account.clone(), other.clone())];
        let found = self.of(&pair, now).await.map_err(|err| store_failed(&err))?;
        found.first().copied().ok_or_else(|| {
            Rejection::new(posthouse_protocol::problem::Code::Internal, "no answer of the store")
        })
    }

    /// The privacy settings of an account here.
    ///
    /// # Errors
    /// As the store, dressed for a client.
    pub async fn privacy(&self, account: Uuid) -> Result<Privacy, Rejection> {
        let generation = {
            let cache = self.cache();
            if let Some(privacy) = cache.privacy.get(&account) {
                return Ok(*privacy);
            }
            cache.generation
        };
        let privacy = self.store.privacy(account).await.map_err(|err| store_failed(&err))?;
        let mut cache = self.cache();
        if cache.generation == generation {
            if cache.privacy.len() >= MAX_REMEMBERED {
                cache.privacy.clear();
            }
            cache.privacy.insert(account, privacy);
        }
        Ok(privacy)
    }

    /// Strangers have written: account here, sender. Their requests are durable when this returns, and
    /// connected devices are told of new ones.
    ///
    /// # Errors
    /// As the store.
    pub async fn ask(&self, from: &[(Uuid, AccountId)], now: Timestamp) -> Result<(), StoreError> {
        for (account, from) in self.store.request(from, now, limits::MAX_REQUESTS).await? {
            self.cache().forget(account);
            self.hint(account, Changed::Requests, Some(&from), None);
        }
        Ok(())
    }

    /// The account has answered the request of `from` by writing to it.
    ///
    /// # Errors
    /// As the store, dressed for a client.
    pub async fn replied(
        &self,
        account: Uuid,
        from: &AccountId,
        now: Timestamp,
    ) -> Result<(), Rejection> {
        let accepted = self.store.answer_request(account, from, true, now).await;
        if accepted.map_err(|err| store_failed(&err))? {
            self.changed(account, Changed::Requests, Some(from), None).await;
        }
        Ok(())
    }

    /// Something of the account has changed in the store: it is forgotten here and in other processes,
    /// and the account's connected devices, except one, are told.
    pub(super) async fn changed(
        &self,
        account: Uuid,
        what: Changed,
        user: Option<&AccountId>,
        except: Option<DeviceId>,
    ) {
        self.forget(account);
        if let Err(err) = self.wakes.people(&[account]).await {
            tracing::warn!(error = %err, "other processes could not be told of a change");
        }
        self.hint(account, what, user, except);
    }

    /// Another process has changed something of the account.
    pub fn forget(&self, account: Uuid) {
        self.cache().forget(account);
    }

    /// Anything may have changed.
    pub fn forget_all(&self) {
        let mut cache = self.cache();
        let generation = cache.generation + 1;
        *cache = Cache { generation, ..Cache::default() };
    }

    fn hint(
        &self,
        account: Uuid,
        what: Changed,
        user: Option<&AccountId>,
        except: Option<DeviceId>,
    ) {
        let frame = ServerFrame::Changed { what, user };
        self.connections.push(account, &frame.to_json().into(), except);
    }

    fn cache(&self) -> MutexGuard<'_, Cache> {
        self.cache.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn stance() -> impl Strategy<Value = Stance> {
        prop::sample::select(vec![
            Stance::Stranger,
            Stance::Requested,
            Stance::Declined,
            Stance::Known,
            Stance::Contact,
        ])
    }

    proptest! {
        /// Blocking turns what would be delivered into what is discarded, and changes no answer.
        #[test]
        fn the_blocked_cannot_tell(stance in stance(), contacts: bool, has_spoken: bool) {
            let writers = if contacts { Writers::Contacts } else { Writers::Everyone };
            let relation = |blocked| Relation { stance, blocked, writers, has_spoken };
            let (open, blocked) = (Judgement::of(relation(false)), Judgement::of(relation(true)));
            prop_assert_eq!(open == Judgement::Refuse, blocked == Judgement::Refuse);
            prop_assert!(matches!(blocked, Judgement::Refuse | Judgement::Discard));
            prop_assert_eq!(open == Judgement::Deliver, stance.is_known());
        }
    }

    #[test]
    fn what_is_known_lasts_and_what_is_strange_does_not() {
        let server = posthouse_protocol::id::ServerName::parse("eu.example").unwrap();
        let account = |n| AccountId { uuid: Uuid::from_u128(n), server: server.clone() };
        let (pair, now) = ((account(1), account(2)), Timestamp(10_000));
        let relation = |stance| Relation {
            stance,
            blocked: false,
            writers: Writers::Everyone,
            has_spoken: true,
        };
        let mut cache = Cache::default();
        cache.keep(&pair, relation(Stance::Stranger), now);
        cache.keep(&pair, Relation { has_spoken: false, ..relation(Stance::Contact) }, now);
        assert!(cache.fresh(&pair, now).is_none());
        cache.keep(&pair, relation(Stance::Requested), now);
        assert!(cache.fresh(&pair, now.plus_millis(FRESH_MS - 1)).is_some());
        assert!(cache.fresh(&pair, now.plus_millis(FRESH_MS)).is_none());
        assert!(cache.fresh(&pair, now.minus_millis(1)).is_none(), "the clock was put back");
        cache.keep(&pair, relation(Stance::Known), now);
        assert!(cache.fresh(&pair, now.plus_millis(1 << 40)).is_some());
        assert_eq!(cache.size, 1);
        cache.forget(pair.0.uuid);
        assert!(cache.fresh(&pair, now).is_none());
        for n in 0..=MAX_REMEMBERED as u128 {
            cache.keep(&(account(n % 7), account(n)), relation(Stance::Known), now);
        }
        assert_eq!(cache.size, 1, "a full memory is emptied");
    }
}
