//! The services of a region, each made of what they share.

use std::sync::{Arc, Mutex};

use posthouse_crypto::sign::SigningKey;
use posthouse_protocol::{problem::Rejection, time::Clock};
use tokio::sync::Notify;

use super::{RegionConfig, Stores};
use crate::{
    accounts::{AccountsService, Directory, Eraser, Guesses, Passwords, Tokens},
    delivery::{Connections, GroupGate, MessagingService, Recent, Told},
    devices::{
        ForeignKeys, ForeignParts, KeyBook, KeyLimits, KeysService, LinkService, Notices,
        SilentDevices,
    },
    federation::{Advice, AdviceParts, Ephemerals, Reception, ReceptionParts},
    groups::{Consent, GroupBook, GroupLimits, GroupsService},
    people::{PeopleService, Relations},
    presence::{PresenceService, Whisperer},
    random::Random,
    regions::Regions,
};

/// What tells people of changed keys.
pub(super) fn notices(
    stores: &Stores,
    directory: &Arc<Directory>,
    connections: &Arc<Connections>,
    random: &Arc<Random>,
) -> Arc<Notices> {
    Arc::new(Notices {
        store: Arc::clone(&stores.keys),
        connections: Arc::clone(connections),
        regions: Arc::clone(directory.regions()),
        own: directory.server().clone(),
        random: Arc::clone(random),
    })
}

/// Devices and keys, beside `accounts`.
pub(super) fn keys_service(
    stores: &Stores,
    accounts: &Arc<AccountsService>,
    notices: Arc<Notices>,
) -> Arc<KeysService> {
    let limits = Arc::new(KeyLimits::default());
    let book = KeyBook {
        store: Arc::clone(&stores.keys),
        directory: Arc::clone(&accounts.directory),
        notices: Arc::clone(&notices),
        limits: Arc::clone(&limits),
    };
    let abroad = ForeignKeys::new(ForeignParts {
        regions: Arc::clone(accounts.directory.regions()),
        notices: Arc::clone(&notices),
        erasure: Arc::clone(&stores.erasure),
        limits: Arc::clone(&limits),
        clock: Arc::clone(&accounts.clock),
    });
    Arc::new(KeysService {
        book: Arc::new(book),
        abroad: Arc::new(abroad),
        store: Arc::clone(&stores.keys),
        accounts: Arc::clone(&stores.accounts),
        sessions: Arc::clone(accounts),
        notices,
        limits,
        clock: Arc::clone(&accounts.clock),
    })
}

/// The search for silent devices, beside `accounts`.
pub(super) fn silent_devices(
    stores: &Stores,
    accounts: &Arc<AccountsService>,
) -> Arc<SilentDevices> {
    Arc::new(SilentDevices {
        accounts: Arc::clone(&stores.accounts),
        keys: Arc::clone(&stores.keys),
        links: Arc::clone(&stores.links),
        service: Arc::clone(accounts),
        clock: Arc::clone(&accounts.clock),
    })
}

/// Links, beside `accounts`.
pub(super) fn link_service(stores: &Stores, accounts: &Arc<AccountsService>) -> Arc<LinkService> {
    Arc::new(LinkService {
        store: Arc::clone(&stores.links),
        accounts: Arc::clone(accounts),
        random: Arc::clone(&accounts.random),
        clock: Arc::clone(&accounts.clock),
    })
}

/// What takes events of other regions, and the advice that goes with them.
pub(super) fn reception(
    config: &RegionConfig,
    stores: &Stores,
    (messaging, groups): (&Arc<MessagingService>, &Arc<GroupsService>),
    keys: &Arc<KeysService>,
) -> (Arc<Reception>, Arc<Advice>) {
    let advice = advice(messaging, keys);
    let reception = Reception::new(ReceptionParts {
        receptions: Arc::clone(&stores.receptions),
        messages: stores.messages.clone(),
        directory: Arc::clone(&messaging.directory),
        relations: Arc::clone(&messaging.relations),
        connections: Arc::clone(&messaging.connections),
        random: Arc::clone(&messaging.random),
        groups: Arc::clone(groups),
        advice: Arc::clone(&advice),
        keys: Arc::clone(&keys.abroad),
        allow_unencrypted: config.policy.allow_unencrypted,
    });
    (Arc::new(reception), advice)
}

/// Advice about devices, between regions.
fn advice(messaging: &Arc<MessagingService>, keys: &Arc<KeysService>) -> Arc<Advice> {
    Arc::new(Advice::new(AdviceParts {
        directory: Arc::clone(&messaging.directory),
        notices: Arc::clone(&keys.notices),
        abroad: Arc::clone(&keys.abroad),
        messages: messaging.store.clone(),
        random: Arc::clone(&messaging.random),
    }))
}

/// What takes ephemerals of other regions.
pub(super) fn ephemerals(
    config: &RegionConfig,
    presence: &Arc<PresenceService>,
    recent: Arc<Recent>,
    (keys, advice): (&Arc<KeysService>, Arc<Advice>),
    book: Arc<GroupBook>,
) -> Arc<Ephemerals> {
    Arc::new(Ephemerals {
        own: config.server.clone(),
        allow_unencrypted: config.policy.allow_unencrypted,
        acquaintance: Arc::clone(&presence.acquaintance),
        connections: Arc::clone(&presence.connections),
        recent,
        keys: Arc::clone(&keys.abroad),
        advice,
        book,
        presence: Arc::clone(presence),
        clock: Arc::clone(&keys.clock),
    })
}

/// Accounts, and what erases them.
pub(super) fn accounts(
    config: &RegionConfig,
    stores: &Stores,
    key: &SigningKey,
    (directory, notices): (&Arc<Directory>, Arc<Notices>),
    (connections, clock, random): (Arc<Connections>, Arc<dyn Clock>, Arc<Random>),
) -> Result<(Arc<AccountsService>, Eraser), Rejection> {
    let tokens = Tokens::new(config.server.clone(), key).map_err(|err| {
        Rejection::new(posthouse_protocol::problem::Code::Internal, err.to_string())
    })?;
    let begun = Arc::new(Notify::new());
    let eraser = Eraser {
        server: config.server.clone(),
        erasure: Arc::clone(&stores.erasure),
        messages: stores.messages.clone(),
        clock: Arc::clone(&clock),
        notices: Arc::clone(&notices),
        begun: Arc::clone(&begun),
    };
    let accounts = Arc::new(AccountsService {
        registration: config.registration,
        accounts: Arc::clone(&stores.accounts),
        sessions: Arc::clone(&stores.sessions),
        factors: Arc::clone(&stores.factors),
        erasure: Arc::clone(&stores.erasure),
        begun,
        guesses: Guesses::new(),
        wakes: Arc::clone(&stores.wakes),
        directory: Arc::clone(directory),
        notices,
        passwords: Passwords::new(config.password_workers, random.bytes()),
        tokens,
        connections,
        clock,
        random,
    });
    Ok((accounts, eraser))
}

/// What accounts think of others.
pub(super) fn relations(stores: &Stores, connections: &Arc<Connections>) -> Arc<Relations> {
    let (people, wakes) = (Arc::clone(&stores.people.people), Arc::clone(&stores.wakes));
    Arc::new(Relations::new(people, wakes, Arc::clone(connections)))
}

/// Presence and typing, beside `messaging`.
pub(super) fn presence(messaging: &Arc<MessagingService>) -> (Arc<PresenceService>, Whisperer) {
    let service = Arc::new(PresenceService {
        connections: Arc::clone(&messaging.connections),
        watchers: Arc::clone(&messaging.watchers),
        acquaintance: Arc::clone(&messaging.acquaintance),
        relations: Arc::clone(&messaging.relations),
        directory: Arc::clone(&messaging.directory),
        random: Arc::clone(&messaging.random),
        first_contacts: Arc::clone(messaging.gate.first_contacts()),
        clock: Arc::clone(&messaging.clock),
        typing: Mutex::default(),
    });
    let whisperer = service.whisperer();
    (service, whisperer)
}

/// Contacts, blocks, requests, settings, profiles and reports.
pub(super) fn people(
    stores: &Stores,
    messaging: &Arc<MessagingService>,
    presence: &Arc<PresenceService>,
    abroad: &Arc<ForeignKeys>,
) -> Arc<PeopleService> {
    Arc::new(PeopleService {
        stores: stores.people.clone(),
        relations: Arc::clone(&messaging.relations),
        directory: Arc::clone(&messaging.directory),
        abroad: Arc::clone(abroad),
        presence: Arc::clone(presence),
        clock: Arc::clone(&messaging.clock),
        random: Arc::clone(&messaging.random),
    })
}

/// Who is told of what was committed.
pub(super) fn told(
    connections: &Arc<Connections>,
    regions: &Arc<dyn Regions>,
    recent: &Arc<Recent>,
) -> Told {
    Told {
        connections: Arc::clone(connections),
        regions: Arc::clone(regions),
        recent: Arc::clone(recent),
    }
}

/// Groups as they are, and what messages to them have to pass.
pub(super) fn group_gate(
    stores: &Stores,
    directory: &Arc<Directory>,
    abroad: &Arc<ForeignKeys>,
) -> (Arc<GroupBook>, GroupGate) {
    let book = Arc::new(GroupBook::new(Arc::clone(&stores.groups)));
    let devices = (Arc::clone(directory), Arc::clone(abroad));
    (Arc::clone(&book), GroupGate::new(book, devices, stores.messages.clone()))
}

/// Groups, beside `messaging`.
pub(super) fn groups(
    stores: &Stores,
    messaging: &Arc<MessagingService>,
    book: Arc<GroupBook>,
) -> Arc<GroupsService> {
    let consent = Consent {
        directory: Arc::clone(&messaging.directory),
        keys: Arc::clone(&stores.keys),
        relations: Arc::clone(&messaging.relations),
        book: Arc::clone(&book),
    };
    Arc::new(GroupsService {
        own: messaging.directory.server().clone(),
        book,
        consent,
        limits: GroupLimits::default(),
        connections: Arc::clone(&messaging.connections),
        regions: Arc::clone(messaging.directory.regions()),
        untold: Notify::new(),
        clock: Arc::clone(&messaging.clock),
        random: Arc::clone(&messaging.random),
    })
}
