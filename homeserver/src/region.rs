//! One region, put together: the decisions behind the client API's ports, and the tasks that they
//! need. It may be one of several processes of its region.

mod parts;

use std::sync::Arc;

use posthouse_client_api::ports::{
    Accounts, Devices, Groups, Keys, Links, Messaging, People, Presence, Security,
};
use posthouse_crypto::sign::SigningKey;
use posthouse_federation::ports::{EphemeralSink, InboundStore, PeerGroups, Profiles, UserKeys};
use posthouse_protocol::{
    federation::stream::Lane, id::ServerName, problem::Rejection, time::Clock,
};
use posthouse_storage::{
    accounts::Accounts as AccountsStore,
    conversations::Conversations,
    erasure::Erasure,
    factors::Factors,
    groups::Groups as GroupsStore,
    invites::Invites,
    keys::Keys as KeysStore,
    links::Links as LinksStore,
    message_store::MessageStore,
    reception::Receptions,
    sessions::Sessions as SessionsStore,
    wakes::{Wake, Wakes},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    accounts::{AccountsService, Directory, Registration},
    delivery::{
        CommitConfig, CommitCounters, Committer, Connections, MessagingService, Progress, Recent,
        accept::{Gate, Policy},
        run_retention, run_session_retention,
    },
    devices::{KeysService, LinkService, SilentDevices},
    federation::{Ephemerals, LocalKeys, Reception},
    groups::{GroupsService, LocalGroups},
    people::{LocalProfiles, PeopleService, PeopleStores},
    presence::{Acquaintance, PresenceService, Watchers},
    random::Random,
    regions::Regions,
};

/// How a region behaves.
#[derive(Debug, Clone)]
pub struct RegionConfig {
    /// Its name.
    pub server: ServerName,
    /// Who may register.
    pub registration: Registration,
    /// What it takes.
    pub policy: Policy,
    /// How commits are grouped.
    pub commit: CommitConfig,
    /// Password hashes computed at a time.
    pub password_workers: usize,
}

/// What a region keeps.
#[derive(Clone)]
pub struct Stores {
    /// Accounts and devices.
    pub accounts: Arc<dyn AccountsStore>,
    /// Sessions.
    pub sessions: Arc<dyn SessionsStore>,
    /// Keys.
    pub keys: Arc<dyn KeysStore>,
    /// Links.
    pub links: Arc<dyn LinksStore>,
    /// Invitations.
    pub invites: Arc<dyn Invites>,
    /// Second factors.
    pub factors: Arc<dyn Factors>,
    /// Deletion of accounts.
    pub erasure: Arc<dyn Erasure>,
    /// Contacts, blocks, requests, settings, profiles, reports.
    pub people: PeopleStores,
    /// Groups.
    pub groups: Arc<dyn GroupsStore>,
    /// Lists of conversations.
    pub lists: Arc<dyn Conversations>,
    /// Messages.
    pub messages: MessageStore,
    /// What other regions send.
    pub receptions: Arc<dyn Receptions>,
    /// Hints between the region's processes.
    pub wakes: Arc<dyn Wakes>,
}

/// What a region needs of its surroundings.
pub struct Surroundings {
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Random numbers.
    pub random: Arc<Random>,
    /// Connected devices.
    pub connections: Arc<Connections>,
    /// Other regions.
    pub regions: Arc<dyn Regions>,
    /// Ends the region's tasks. Cancel it once no request can come any more.
    pub shutdown: CancellationToken,
}

/// A running region.
pub struct Region {
    accounts: Arc<AccountsService>,
    messaging: Arc<MessagingService>,
    presence: Arc<PresenceService>,
    people: Arc<PeopleService>,
    groups: Arc<GroupsService>,
    keys: Arc<KeysService>,
    links: Arc<LinkService>,
    silent: Arc<SilentDevices>,
    directory: Arc<Directory>,
    reception: Arc<Reception>,
    ephemerals: Arc<Ephemerals>,
    tasks: TaskTracker,
}

impl Region {
    /// Puts a region together and starts its tasks; needs a tokio runtime.
    ///
    /// # Errors
    /// [`Rejection`] if the signing key or the password hasher cannot be used.
    pub fn start(
        config: &RegionConfig,
        stores: Stores,
        key: &SigningKey,
        surroundings: Surroundings,
    ) -> Result<Self, Rejection> {
        let Surroundings { clock, random, connections, regions, shutdown } = surroundings;
        let tasks = TaskTracker::new();
        let directory = Arc::new(Directory::new(
            config.server.clone(),
            Arc::clone(&stores.accounts),
            Arc::clone(&regions),
        ));
        let watchers = Arc::new(Watchers::new(config.server.clone(), Arc::clone(&connections)));
        let relations = parts::relations(&stores, &connections);
        let progress = Arc::new(Progress::new());
        let recent = Arc::new(Recent::default());
        let (committer, committing) = Committer::start(
            config.commit,
            stores.messages.clone(),
            parts::told(&connections, &regions, &recent),
            shutdown.clone(),
        );
        let notices = parts::notices(&stores, &directory, &connections, &random);
        let with = (Arc::clone(&connections), Arc::clone(&clock), Arc::clone(&random));
        let (accounts, eraser) =
            parts::accounts(config, &stores, key, (&directory, Arc::clone(&notices)), with)?;
        let keys = parts::keys_service(&stores, &accounts, notices);
        let links = parts::link_service(&stores, &accounts);
        let silent = parts::silent_devices(&stores, &accounts);
        let (book, gate) = parts::group_gate(&stores, &directory, &keys.abroad);
        let messaging = Arc::new(MessagingService {
            gate: Gate::new(
                config.policy,
                Arc::clone(&directory),
                Arc::clone(&relations),
                Arc::clone(&keys.abroad),
            ),
            groups: gate,
            committer,
            store: stores.messages.clone(),
            connections: Arc::clone(&connections),
            progress: Arc::clone(&progress),
            directory: Arc::clone(&directory),
            watchers: Arc::clone(&watchers),
            acquaintance: Arc::new(Acquaintance::new(stores.messages.clone())),
            relations,
            lists: Arc::clone(&stores.lists),
            clock: Arc::clone(&clock),
            random: Arc::clone(&random),
        });
        let (presence, whisperer) = parts::presence(&messaging);
        let people = parts::people(&stores, &messaging, &presence, &keys.abroad);
        let groups = parts::groups(&stores, &messaging, Arc::clone(&book));
        let (reception, advice) = parts::reception(config, &stores, (&messaging, &groups), &keys);
        let ephemerals = parts::ephemerals(config, &presence, recent, (&keys, advice), book);
        tasks.spawn(committing);
        let hinted = (Arc::clone(&accounts), Arc::clone(&people), Arc::clone(&regions));
        tasks.spawn(progress.run(
            stores.messages.clone(),
            (connections, regions),
            shutdown.clone(),
        ));
        tasks.spawn(watchers.run(whisperer, Arc::clone(&clock), shutdown.clone()));
        tasks.spawn(run_retention(stores.messages, Arc::clone(&clock), shutdown.clone()));
        tasks.spawn(Arc::clone(&groups).run(shutdown.clone()));
        tasks.spawn(eraser.run(shutdown.clone()));
        tasks.spawn(Arc::clone(&silent).run(shutdown.clone()));
        let kept = (stores.sessions, stores.invites, stores.people, stores.groups);
        tasks.spawn(run_session_retention(kept, clock, shutdown.clone()));
        tasks.spawn(listen(stores.wakes, hinted, shutdown));
        tasks.close();
        Ok(Self {
            accounts,
            messaging,
            presence,
            people,
            groups,
            keys,
            links,
            silent,
            directory,
            reception,
            ephemerals,
            tasks,
        })
    }

    /// The accounts port.
    pub fn accounts(&self) -> Arc<dyn Accounts> {
        Arc::<AccountsService>::clone(&self.accounts)
    }

    /// The port of what protects accounts.
    pub fn security(&self) -> Arc<dyn Security> {
        Arc::<AccountsService>::clone(&self.accounts)
    }

    /// Accounts, for the operator.
    pub fn accounts_service(&self) -> Arc<AccountsService> {
        Arc::clone(&self.accounts)
    }

    /// The messaging port.
    pub fn messaging(&self) -> Arc<dyn Messaging> {
        Arc::<MessagingService>::clone(&self.messaging)
    }

    /// The presence port.
    pub fn presence(&self) -> Arc<dyn Presence> {
        Arc::<PresenceService>::clone(&self.presence)
    }

    /// Who watches whom, for whoever hears that another region answers.
    pub fn watchers(&self) -> Arc<Watchers> {
        Arc::clone(&self.messaging.watchers)
    }

    /// The people port.
    pub fn people(&self) -> Arc<dyn People> {
        Arc::<PeopleService>::clone(&self.people)
    }

    /// The groups port.
    pub fn groups(&self) -> Arc<dyn Groups> {
        Arc::<GroupsService>::clone(&self.groups)
    }

    /// Groups, for other regions.
    pub fn peer_groups(&self) -> Arc<dyn PeerGroups> {
        Arc::new(LocalGroups(Arc::clone(&self.groups)))
    }

    /// Profiles, for other regions.
    pub fn profiles(&self) -> Arc<dyn Profiles> {
        Arc::new(LocalProfiles {
            directory: Arc::clone(&self.directory),
            store: Arc::clone(&self.people.stores.profiles),
        })
    }

    /// The devices port.
    pub fn devices(&self) -> Arc<dyn Devices> {
        Arc::<KeysService>::clone(&self.keys)
    }

    /// The keys port.
    pub fn keys(&self) -> Arc<dyn Keys> {
        Arc::<KeysService>::clone(&self.keys)
    }

    /// The links port.
    pub fn links(&self) -> Arc<dyn Links> {
        Arc::<LinkService>::clone(&self.links)
    }

    /// What other regions are told of this region's keys.
    pub fn user_keys(&self) -> Arc<dyn UserKeys> {
        let (book, clock) = (Arc::clone(&self.keys.book), Arc::clone(&self.keys.clock));
        let erasure = Arc::clone(&self.keys.abroad.parts.erasure);
        Arc::new(LocalKeys { book, erasure, clock })
    }

    /// The search for silent devices, which also runs by itself.
    pub fn silent_devices(&self) -> &SilentDevices {
        &self.silent
    }

    /// What takes events of other regions.
    pub fn reception(&self) -> Arc<dyn InboundStore> {
        Arc::<Reception>::clone(&self.reception)
    }

    /// What takes ephemerals of other regions.
    pub fn ephemerals(&self) -> Arc<dyn EphemeralSink> {
        Arc::<Ephemerals>::clone(&self.ephemerals)
    }

    /// Who lives here.
    pub fn directory(&self) -> Arc<Directory> {
        Arc::clone(&self.directory)
    }

    /// What was committed since the start.
    pub fn counters(&self) -> &CommitCounters {
        self.messaging.committer.counters()
    }

    /// Waits until the region's tasks have ended: after the shutdown token is cancelled, and what
    /// was handed in before is durable and told.
    pub async fn stopped(&self) {
        self.tasks.wait().await;
    }
}

/// Hints from the region's other processes.
async fn listen(
    wakes: Arc<dyn Wakes>,
    (accounts, people, regions): (Arc<AccountsService>, Arc<PeopleService>, Arc<dyn Regions>),
    shutdown: CancellationToken,
) {
    loop {
        let wake = tokio::select! {
            () = shutdown.cancelled() => return,
            wake = wakes.next() => wake,
        };
        match wake {
            Ok(Wake::Inboxes(grown)) => {
                for account in grown {
                    accounts.connections.inbox_grew(account);
                }
            }
            Ok(Wake::Outboxes(grown)) => {
                for (region, lane) in grown.iter().flat_map(|r| Lane::ALL.map(|lane| (r, lane))) {
                    regions.wake(region, lane);
                }
            }
            Ok(Wake::Ended(sessions)) => accounts.sessions_ended(&sessions),
            Ok(Wake::Gone(gone)) => {
                accounts.accounts_gone(&gone);
                for account in &gone {
                    people.relations.forget(*account);
                }
            }
            Ok(Wake::People(changed)) => {
                for account in changed {
                    people.relations.forget(account);
                    people.presence.look_again(account).await;
                }
            }
            Ok(Wake::Missed) => {
                accounts.forget_all();
                people.relations.forget_all();
                accounts.connections.inboxes_may_have_grown();
                accounts.check_connected_sessions().await;
            }
            Err(err) => {
                tracing::warn!(error = %err, "hints of other processes cannot be had");
                accounts.forget_all();
                people.relations.forget_all();
                tokio::time::sleep(RETRY).await;
            }
        }
    }
}

/// The pause before hints are asked for again after a failure.
const RETRY: std::time::Duration = std::time::Duration::from_secs(1);
