//! Groups as their chains make them: a bounded memory before the store.
//!
//! What is remembered counts only while its version is the stored one, so that another process's
//! change is seen by the next question.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError},
};

use posthouse_crypto::e2ee::{
    primitives::curve::PublicKey,
    signed::group_epoch::{GroupParts, GroupRole, GroupState, Member},
};
use posthouse_protocol::{
    id::{AccountId, GroupId, ServerName},
    problem::{Code, Rejection},
    rest::groups::Standing,
};
use posthouse_storage::{
    error::StoreError,
    groups::{Group, Groups, Head, Person, Version},
};
use uuid::Uuid;

use super::abroad::member_regions;
use crate::accounts::store_failed;

/// Most people of remembered groups together; a full memory is emptied and fills again.
const MAX_PEOPLE: usize = 200_000;

/// A group, verified when each of its epochs came.
#[derive(Debug, Clone)]
pub struct Known {
    /// The group.
    pub id: GroupId,
    /// What its chain says.
    pub state: GroupState,
    /// Its people here: accounts of this region that are not being deleted.
    pub local: BTreeMap<String, LocalPerson>,
    /// How often people here have left ahead of the chain.
    pub departures: u64,
    /// What follows from the rest.
    pub(crate) derived: Derived,
}

/// What a message to a group asks for, worked out for the first of them. A copy, which may be changed,
/// works it out anew.
#[derive(Debug, Default)]
pub struct Derived(OnceLock<Audience>);

impl Clone for Derived {
    fn clone(&self) -> Self {
        Self::default()
    }
}

/// Who gets what is said in a group.
#[derive(Debug)]
pub struct Audience {
    /// The accounts of [`Known::hearers`].
    pub local: Vec<Uuid>,
    /// The regions with a member, this one too.
    pub regions: Vec<ServerName>,
}

/// Somebody of this region in a group.
#[derive(Debug, Clone)]
pub struct LocalPerson {
    /// Who.
    pub account: AccountId,
    /// Whether an invitation is kept from them.
    pub is_hidden: bool,
    /// Whether they have left here, or declined, ahead of the chain.
    pub has_left: bool,
}

impl Known {
    /// The newest epoch.
    pub fn head(&self) -> Head {
        Head { epoch: self.state.epoch(), hash: *self.state.hash() }
    }

    /// What a stored group is compared with.
    fn version(&self) -> Version {
        Version { head: self.head(), departures: self.departures }
    }

    /// What an account is in it.
    pub fn standing(&self, account: &str) -> Option<Standing> {
        standing(&self.state, account)
    }

    /// Whether an account of this region has left it ahead of the chain.
    pub fn has_left(&self, account: &str) -> bool {
        self.local.get(account).is_some_and(|one| one.has_left)
    }

    /// Who gets what is said in it.
    pub fn audience(&self) -> &Audience {
        self.derived.0.get_or_init(|| Audience {
            local: self.hearers().map(|(_, one)| one.account.uuid).collect(),
            regions: member_regions(&self.state),
        })
    }

    /// Members here who get what is said in it, by the texts of their ids.
    pub fn hearers(&self) -> impl Iterator<Item = (&String, &LocalPerson)> {
        let members = self.state.members();
        self.local.iter().filter(|(name, one)| !one.has_left && members.contains_key(*name))
    }
}

/// What an account is in a group.
pub(super) fn standing(state: &GroupState, account: &str) -> Option<Standing> {
    match state.members().get(account) {
        Some(member) => Some(match member.role {
            GroupRole::Member => Standing::Member,
            GroupRole::Admin => Standing::Admin,
            GroupRole::Owner => Standing::Owner,
        }),
        None => state.is_invited(account).then_some(Standing::Invited),
    }
}

/// Groups.
pub struct GroupBook {
    store: Arc<dyn Groups>,
    cache: Mutex<Cache>,
}

#[derive(Default)]
struct Cache {
    groups: HashMap<GroupId, Arc<Known>>,
    people: usize,
}

fn size(known: &Known) -> usize {
    known.state.members().len() + known.state.invited().count() + 1
}

impl GroupBook {
    /// Reads from `store`.
    pub fn new(store: Arc<dyn Groups>) -> Self {
        Self { store, cache: Mutex::default() }
    }

    /// The store.
    pub(crate) fn store(&self) -> &dyn Groups {
        self.store.as_ref()
    }

    /// The group as it is now, if this region knows it.
    ///
    /// # Errors
    /// As the store, dressed for a client.
    pub async fn current(&self, group: &GroupId) -> Result<Option<Arc<Known>>, Rejection> {
        self.read(group).await.map_err(|err| store_failed(&err))
    }

    async fn read(&self, group: &GroupId) -> Result<Option<Arc<Known>>, StoreError> {
        let Some(version) = self.store.group_version(group).await? else { return Ok(None) };
        if let Some(known) = self.cache().groups.get(group)
            && known.version() == version
        {
            return Ok(Some(Arc::clone(known)));
        }
        let Some(stored) = self.store.group(group).await? else { return Ok(None) };
        let known = Arc::new(restored(stored)?);
        self.keep(Arc::clone(&known));
        Ok(Some(known))
    }

    /// Remembers a group.
    pub(super) fn keep(&self, known: Arc<Known>) {
        let mut cache = self.cache();
        if cache.people > MAX_PEOPLE {
            *cache = Cache::default();
        }
        cache.people += size(&known);
        if let Some(before) = cache.groups.insert(known.id.clone(), known) {
            cache.people -= size(&before);
        }
    }

    fn cache(&self) -> MutexGuard<'_, Cache> {
        self.cache.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A stored group, whose epochs were all verified before they were stored.
fn restored(group: Group) -> Result<Known, StoreError> {
    let (mut members, mut invited) = (BTreeMap::new(), BTreeMap::new());
    let mut local = BTreeMap::new();
    for person in group.people {
        let name = person.account.to_string();
        let identity = key(&person)?;
        let role = match person.standing {
            Standing::Invited => None,
            Standing::Member => Some(GroupRole::Member),
            Standing::Admin => Some(GroupRole::Admin),
            Standing::Owner => Some(GroupRole::Owner),
        };
        if person.is_local {
            let Person { account, is_hidden, is_leaving: has_left, .. } = person;
            local.insert(name.clone(), LocalPerson { account, is_hidden, has_left });
        }
        match role {
            Some(role) => {
                members.insert(name, Member { identity, role, joined: person.since });
            }
            None => {
                invited.insert(name, identity);
            }
        }
    }
    let state = GroupState::restore(GroupParts {
        group: group.id.to_string(),
        epoch: group.version.head.epoch,
        hash: group.version.head.hash,
        region: group.region.to_string(),
        title: group.title.to_vec(),
        members,
        invited,
        deputies: group.deputies.iter().map(ToString::to_string).collect(),
    });
    let (departures, derived) = (group.version.departures, Derived::default());
    Ok(Known { id: group.id, state, local, departures, derived })
}

fn key(person: &Person) -> Result<PublicKey, StoreError> {
    PublicKey::from_bytes(&person.identity).map_err(|_| StoreError::Corrupt {
        table: "group_people",
        column: "identity",
        fact: "no public key".into(),
    })
}

/// The answer to whoever has nothing to do with a group, whether or not it exists.
pub(crate) fn no_such_group() -> Rejection {
    Rejection::new(Code::NotFound, "there is no such group, or it does not concern you")
}
