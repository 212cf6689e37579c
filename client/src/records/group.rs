//! What is kept of a group.

use std::collections::BTreeMap;

use posthouse_crypto::e2ee::{
    attachment::{ChunkDecryptor, Encryptor},
    secret::Secret,
    signed::group_epoch::{GroupParts, GroupRole, GroupState, Member},
};
use posthouse_protocol::{
    id::{AccountId, ConversationId, GroupId},
    rest::{
        groups::{EpochHash, Standing, Title},
        keys::EcKey,
    },
};
use rand::rngs::StdRng;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::Bytes;

/// Keys of titles that are kept of one group; the oldest go first.
const MAX_TITLE_KEYS: usize = 4;
/// The plaintext of a title: its length (2 bytes), the title, zeros.
const TITLE_SPACE: usize = 1_024;
/// The longest title, in bytes.
const MAX_TITLE: usize = TITLE_SPACE - 2;
/// Former members that are remembered.
const MAX_FORMER: usize = 1_024;

/// A group, by its verified chain.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Group {
    pub(crate) id: GroupId,
    /// `None` until the first epoch was verified.
    pub(crate) chain: Option<Chain>,
    /// The newest epoch that was told of.
    pub(crate) wanted: u64,
    /// Keys of titles, newest first.
    titles: Vec<Bytes>,
    /// Who was a member, and the epoch that ended it.
    former: BTreeMap<String, u64>,
    /// This account leaves, or declines: it is signed until the chain says so.
    #[serde(default)]
    pub(crate) leaving: bool,
    /// Who has signed the newest invitation of this account.
    #[serde(default)]
    pub(crate) inviter: Option<String>,
}

/// The stored form of a verified state.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Chain {
    pub(crate) epoch: u64,
    hash: EpochHash,
    region: String,
    title: Title,
    members: BTreeMap<String, (EcKey, u8, u64)>,
    invited: BTreeMap<String, EcKey>,
    deputies: Vec<String>,
}

impl Group {
    pub(crate) fn new(id: GroupId) -> Self {
        let (titles, former) = (Vec::new(), BTreeMap::new());
        Self { id, chain: None, wanted: 0, titles, former, leaving: false, inviter: None }
    }

    pub(crate) fn conversation(&self) -> ConversationId {
        ConversationId::group(&self.id)
    }

    /// The newest verified epoch; 0 before the first.
    pub(crate) fn epoch(&self) -> u64 {
        self.chain.as_ref().map_or(0, |chain| chain.epoch)
    }

    /// The verified state.
    pub(crate) fn state(&self) -> Option<GroupState> {
        self.chain.as_ref().map(|chain| chain.state(&self.id))
    }

    /// What an account is in the group.
    pub(crate) fn standing(&self, account: &AccountId) -> Option<Standing> {
        let (chain, name) = (self.chain.as_ref()?, account.to_string());
        let member = chain.members.get(&name).map(|(_, role, _)| standing(*role));
        member.or_else(|| chain.invited.contains_key(&name).then_some(Standing::Invited))
    }

    /// Who has invited this account, which is `own`, while it is invited.
    pub(crate) fn invited_by(&self, own: &AccountId) -> Option<AccountId> {
        let inviter =
            self.inviter.as_deref().filter(|_| self.standing(own) == Some(Standing::Invited));
        AccountId::parse(inviter?).ok()
    }

    /// Whether an account was a member when the group was at `epoch`, as far as is remembered.
    pub(crate) fn wrote_as_member(&self, account: &AccountId, epoch: u64) -> bool {
        let name = account.to_string();
        let now = self.chain.as_ref().is_some_and(|chain| chain.members.contains_key(&name));
        now || self.former.get(&name).is_some_and(|ended| epoch < *ended)
    }

    /// The members, with the keys by which the group knows them.
    pub(crate) fn members(&self) -> impl Iterator<Item = (AccountId, EcKey)> {
        let all = self.chain.iter().flat_map(|chain| &chain.members);
        all.filter_map(|(name, (key, _, _))| Some((AccountId::parse(name).ok()?, *key)))
    }

    /// Members and who is invited: account, standing, and the epoch of joining.
    pub(crate) fn people(&self) -> Vec<(AccountId, Standing, Option<u64>)> {
        let members = self.chain.iter().flat_map(|chain| &chain.members);
        let members = members.filter_map(|(name, (_, role, joined))| {
            Some((AccountId::parse(name).ok()?, standing(*role), Some(*joined)))
        });
        let invited = self.chain.iter().flat_map(|chain| chain.invited.keys());
        let invited = invited
            .filter_map(|name| Some((AccountId::parse(name).ok()?, Standing::Invited, None)));
        members.chain(invited).collect()
    }

    /// How many are invited.
    pub(crate) fn invited(&self) -> usize {
        self.chain.as_ref().map_or(0, |chain| chain.invited.len())
    }

    /// Notes that somebody's membership ended with an epoch.
    pub(crate) fn ended(&mut self, account: String, epoch: u64) {
        if self.former.len() >= MAX_FORMER {
            let oldest = self.former.iter().min_by_key(|(_, epoch)| **epoch);
            if let Some(oldest) = oldest.map(|(name, _)| name.clone()) {
                self.former.remove(&oldest);
            }
        }
        self.former.insert(account, epoch);
    }

    /// Keeps the key of a title. Whether it is new.
    pub(crate) fn add_title_key(&mut self, key: &[u8; 32]) -> bool {
        let is_new = self.titles.iter().all(|known| known.0.as_slice() != key);
        if is_new {
            self.titles.insert(0, Bytes(Zeroizing::new(key.to_vec())));
            self.titles.truncate(MAX_TITLE_KEYS);
        }
        is_new
    }

    /// The keys of titles, newest first.
    pub(crate) fn title_keys(&self) -> impl Iterator<Item = &[u8]> {
        self.titles.iter().map(|key| key.0.as_slice())
    }

    /// Keeps the key of a title that another own device has, if there is room: what is known here
    /// is newer.
    pub(crate) fn add_older_title_key(&mut self, key: &[u8; 32]) {
        let is_new = self.titles.iter().all(|known| known.0.as_slice() != key);
        if is_new && self.titles.len() < MAX_TITLE_KEYS {
            self.titles.push(Bytes(Zeroizing::new(key.to_vec())));
        }
    }

    /// The title, if a key of it is here.
    pub(crate) fn title(&self) -> Option<String> {
        self.opened_title().map(|(_, title)| title)
    }

    /// The key of the title that holds.
    pub(crate) fn title_key(&self) -> Option<Secret<32>> {
        self.opened_title().map(|(key, _)| key)
    }

    fn opened_title(&self) -> Option<(Secret<32>, String)> {
        let sealed = &self.chain.as_ref()?.title.0;
        self.titles.iter().find_map(|key| {
            let key = Secret::new(key.0.as_slice().try_into().ok()?);
            let title = open_title(&key, sealed)?;
            Some((key, title))
        })
    }
}

impl Chain {
    pub(crate) fn of(state: &GroupState) -> Self {
        let member = |(name, member): (&String, &Member)| {
            let role = match member.role {
                GroupRole::Member => 0,
                GroupRole::Admin => 1,
                GroupRole::Owner => 2,
            };
            (name.clone(), (EcKey(member.identity), role, member.joined))
        };
        Self {
            epoch: state.epoch(),
            hash: EpochHash(*state.hash()),
            region: state.region().to_owned(),
            title: Title(state.title().to_vec()),
            members: state.members().iter().map(member).collect(),
            invited: state
                .invitations()
                .map(|(name, key)| (name.to_owned(), EcKey(*key)))
                .collect(),
            deputies: state.deputies().to_vec(),
        }
    }

    /// The hash of the newest epoch.
    pub(crate) fn hash(&self) -> EpochHash {
        self.hash
    }

    fn state(&self, group: &GroupId) -> GroupState {
        let member = |(name, (key, role, joined)): (&String, &(EcKey, u8, u64))| {
            let role = match role {
                2 => GroupRole::Owner,
                1 => GroupRole::Admin,
                _ => GroupRole::Member,
            };
            (name.clone(), Member { identity: key.0, role, joined: *joined })
        };
        GroupState::restore(GroupParts {
            group: group.to_string(),
            epoch: self.epoch,
            hash: self.hash.0,
            region: self.region.clone(),
            title: self.title.0.clone(),
            members: self.members.iter().map(member).collect(),
            invited: self.invited.iter().map(|(name, key)| (name.clone(), key.0)).collect(),
            deputies: self.deputies.clone(),
        })
    }
}

fn standing(role: u8) -> Standing {
    match role {
        2 => Standing::Owner,
        1 => Standing::Admin,
        _ => Standing::Member,
    }
}

/// Encrypts a title under a fresh key (docs/spec/e2ee.md, "Titles of groups"); `None` if it is
/// longer than [`MAX_TITLE`].
pub(crate) fn seal_title(title: &str, rng: &mut StdRng) -> Option<(Secret<32>, Vec<u8>)> {
    let len = u16::try_from(title.len()).ok()?;
    let mut plain = Zeroizing::new(len.to_be_bytes().to_vec());
    plain.extend_from_slice(title.as_bytes());
    if title.len() > MAX_TITLE {
        return None;
    }
    plain.resize(TITLE_SPACE, 0);
    let mut sealed = Vec::new();
    let mut encryptor = Encryptor::new(rng, &mut sealed);
    encryptor.push(&plain, &mut sealed).ok()?;
    let key = encryptor.finish(&mut sealed).ok()?.key;
    Some((key, sealed))
}

fn open_title(key: &Secret<32>, sealed: &[u8]) -> Option<String> {
    let (_, chunk) = sealed.split_first().filter(|(version, _)| **version == 1)?;
    let cipher = ChunkDecryptor::new(key, TITLE_SPACE as u64).ok()?;
    let plain = Zeroizing::new(cipher.open(0, chunk).ok()?);
    let (len, rest) = plain.split_first_chunk::<2>()?;
    let title = rest.get(..usize::from(u16::from_be_bytes(*len)))?;
    String::from_utf8(title.to_vec()).ok()
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;

    use super::*;

    #[test]
    fn a_title_is_read_with_its_key_alone_and_has_one_length() {
        let mut rng = StdRng::seed_from_u64(1);
        let (key, sealed) = seal_title("Hikers", &mut rng).unwrap();
        let (other, longer) = seal_title(&"x".repeat(MAX_TITLE), &mut rng).unwrap();
        assert_eq!(open_title(&key, &sealed).as_deref(), Some("Hikers"));
        assert_eq!(open_title(&other, &sealed), None);
        assert_eq!((sealed.len(), longer.len()), (1_041, 1_041));
        assert_eq!(open_title(&other, &longer).unwrap().len(), MAX_TITLE);
        assert!(seal_title(&"x".repeat(MAX_TITLE + 1), &mut rng).is_none());
    }
}
