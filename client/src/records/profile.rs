//! What is kept of profiles: the own one, and those of others.

use posthouse_crypto::e2ee::{
    content::KeyBytes,
    secret::Secret,
    user_profile::{ProfileError, ProfileField, ProfilePlace, open_field, seal_field},
};
use posthouse_protocol::{
    id::AccountId,
    rest::{Opaque, Profile as Sealed, PutProfile},
    time::Timestamp,
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use rand::rngs::StdRng;
use serde::{Deserialize, Serialize};

use super::Bytes;
use crate::Profile;

/// Keys of one profile that are kept, newest first: what is told in between may come in any order.
pub(crate) const MAX_KEYS: usize = 4;

/// The keys of a profile, newest first; at most [`MAX_KEYS`].
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ProfileKeys(Vec<Bytes>);

impl ProfileKeys {
    pub(crate) fn newest(&self) -> Option<Secret<32>> {
        self.iter().next()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = Secret<32>> {
        self.0.iter().filter_map(|key| Some(Secret::new(key.0.as_slice().try_into().ok()?)))
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Puts a key first. Whether it was not known.
    pub(crate) fn add(&mut self, key: &Secret<32>) -> bool {
        let before = self.0.len();
        self.0.retain(|known| known.0.as_slice() != key.expose());
        let is_new = self.0.len() == before;
        self.0.insert(0, bytes(key));
        self.0.truncate(MAX_KEYS);
        is_new
    }

    /// Puts a key behind the first, which stays in force. Whether it was not known.
    pub(crate) fn add_candidate(&mut self, key: &Secret<32>) -> bool {
        let is_new = self.0.iter().all(|known| known.0.as_slice() != key.expose());
        if is_new {
            self.0.insert(self.0.len().min(1), bytes(key));
            self.0.truncate(MAX_KEYS);
        }
        is_new
    }

    /// Puts a key last that another own device has, if there is room. Whether it was not known.
    pub(crate) fn add_older(&mut self, key: &Secret<32>) -> bool {
        let is_new = self.0.iter().all(|known| known.0.as_slice() != key.expose());
        if is_new && self.0.len() < MAX_KEYS {
            self.0.push(bytes(key));
        }
        is_new
    }

    /// For an own other device, or a backup.
    pub(crate) fn to_items(&self) -> Vec<KeyBytes> {
        self.iter().map(KeyBytes).collect()
    }
}

/// A key as it is stored.
pub(crate) fn bytes(key: &Secret<32>) -> Bytes {
    Bytes(zeroize::Zeroizing::new(key.expose().to_vec()))
}

/// The own profile: at the own account's name in [`Table::Profiles`](crate::store::Table::Profiles).
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct OwnProfile {
    /// The first one is in force.
    pub(crate) keys: ProfileKeys,
    /// The version that the homeserver has, as far as is known; 0 if there is none.
    pub(crate) version: u64,
    /// The highest version that there ever was: a homeserver that went back to a backup has a lower
    /// one, and others take nothing for newer that is below it.
    #[serde(default)]
    pub(crate) highest: u64,
    pub(crate) shown: Fields,
    /// Whether the fields are still to be published.
    pub(crate) edited: bool,
    /// Whether the key is not in force at the homeserver yet.
    pub(crate) rotated: bool,
    /// Who is to be given the key once it is in force.
    pub(crate) owed: Vec<AccountId>,
}

impl OwnProfile {
    pub(crate) fn new(keys: ProfileKeys) -> Self {
        Self {
            keys,
            version: 0,
            highest: 0,
            shown: Fields::default(),
            edited: false,
            rotated: false,
            owed: Vec::new(),
        }
    }

    /// Whether something is to be published.
    pub(crate) fn is_due(&self) -> bool {
        self.edited || self.rotated
    }

    /// What is to be published: the next version.
    pub(crate) fn seal(&self, own: &AccountId, rng: &mut StdRng) -> Option<PutProfile> {
        let key = self.keys.newest()?;
        let (account, version) = (own.to_string(), self.version.checked_add(1)?);
        let place = ProfilePlace { account: &account, version };
        let mut seal = |field, value: &[u8]| {
            seal_field(&key, place, field, value, rng).map(|sealed| STANDARD.encode(sealed)).ok()
        };
        let Fields { name, about, avatar } = &self.shown;
        Some(PutProfile {
            replaces: self.version,
            name: Some(Opaque::new(seal(ProfileField::Name, name.as_bytes())?)?),
            about: Some(Opaque::new(seal(ProfileField::About, about.as_bytes())?)?),
            avatar: match avatar {
                Some(avatar) => Some(Opaque::new(seal(ProfileField::Avatar, &avatar.0)?)?),
                None => None,
            },
        })
    }
}

/// The profile of somebody else, and what they have of the own one.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct KnownProfile {
    pub(crate) keys: ProfileKeys,
    /// The newest version that was opened; 0 before the first.
    pub(crate) version: u64,
    pub(crate) shown: Fields,
    /// Whether the newest key has opened nothing yet.
    pub(crate) pending: bool,
    /// How often in a row it opened nothing.
    pub(crate) misses: u8,
    /// When the homeserver was last asked.
    pub(crate) asked: Timestamp,
    /// The own profile key that they were given last.
    pub(crate) given: Option<Bytes>,
}

/// What a profile says, clean.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Fields {
    pub(crate) name: String,
    pub(crate) about: String,
    pub(crate) avatar: Option<Bytes>,
}

impl Fields {
    pub(crate) fn of(profile: &Profile) -> Self {
        let avatar = profile.avatar.as_ref();
        Self {
            name: profile.name.clone().unwrap_or_default(),
            about: profile.about.clone().unwrap_or_default(),
            avatar: avatar.map(|bytes| Bytes(zeroize::Zeroizing::new(bytes.clone()))),
        }
    }

    pub(crate) fn to_profile(&self) -> Profile {
        let text = |text: &String| (!text.is_empty()).then(|| text.clone());
        Profile {
            name: text(&self.name),
            about: text(&self.about),
            avatar: self.avatar.as_ref().map(|bytes| bytes.0.to_vec()),
        }
    }
}

/// Opens what a homeserver has of a profile with one of the keys: what it says, and which key it
/// was. `None` unless all of it is authentic. A profile of ours has a name always, which may be
/// empty: what has none was not made by its person.
pub(crate) fn open(sealed: &Sealed, keys: &ProfileKeys) -> Option<(Fields, Secret<32>)> {
    keys.iter().find_map(|key| open_with(sealed, &key).map(|fields| (fields, key)))
}

fn open_with(sealed: &Sealed, key: &Secret<32>) -> Option<Fields> {
    let account = sealed.account_id.to_string();
    let place = ProfilePlace { account: &account, version: sealed.version };
    let open = |field, text: &str| {
        let bytes = STANDARD.decode(text).map_err(|_| ProfileError::NotAuthentic)?;
        open_field(key, place, field, &bytes)
    };
    let text = |field, sealed: Option<&str>| {
        let Some(sealed) = sealed else { return Some(String::new()) };
        let opened = open(field, sealed).ok()?;
        Some(String::from_utf8_lossy(&opened).into_owned())
    };
    let name = text(ProfileField::Name, Some(sealed.name.as_ref()?.as_str()))?;
    let about = text(ProfileField::About, sealed.about.as_ref().map(Opaque::as_str))?;
    let avatar = match &sealed.avatar {
        Some(sealed) => Some(Bytes(open(ProfileField::Avatar, sealed.as_str()).ok()?)),
        None => None,
    };
    // Whoever made it may have meant harm: it is cleaned before it is kept.
    let profile = Profile { name: Some(name), about: Some(about), avatar: None }.cleaned();
    Some(Fields { avatar, ..Fields::of(&profile) })
}
