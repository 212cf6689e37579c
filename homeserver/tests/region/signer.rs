//! People who sign epochs of groups.

use posthouse_client::Event;
use posthouse_crypto::e2ee::{
    signed::group_epoch::{Change, GroupEpoch, GroupState, Person, SignedGroupEpoch},
    time::UnixMillis,
};
use posthouse_protocol::{
    id::GroupId,
    rest::groups::{EpochDocument, Epochs},
};
use serde_json::{Value, json};
use uuid::Uuid;

use super::{
    calls::call,
    device::{Device, PASSWORD, new_id},
    home::{Home, server},
    http::Answer,
    keyring::Keyring,
};

/// Somebody with an identity key.
pub(crate) struct Signer {
    pub(crate) device: Device,
    pub(crate) keys: Keyring,
}

impl Signer {
    pub(crate) async fn new(home: &Home, handle: &str) -> Self {
        let device = Device::register(home, handle).await;
        let seed = handle.bytes().fold(7, |sum, byte| sum * 31 + u64::from(byte));
        let keys = Keyring::new(seed);
        let identity = json!({"identity_key": keys.identity_key(), "current_password": PASSWORD});
        let put =
            call(home, "PUT", "/v1/keys/identity", Some(device.token()), Some(identity)).await;
        assert_eq!(put.status, 204, "{put:?}");
        Self { device, keys }
    }

    pub(crate) async fn connected(home: &Home, handle: &str) -> Self {
        let mut signer = Self::new(home, handle).await;
        signer.device.catch_up(home).await;
        signer
    }

    pub(crate) fn id(&self) -> String {
        self.device.account().to_string()
    }

    pub(crate) fn person(&self) -> Person {
        Person { account: self.id(), identity: self.keys.identity.public }
    }

    pub(crate) fn sign(&mut self, epoch: &GroupEpoch) -> SignedGroupEpoch {
        epoch.sign(&self.keys.identity.private, &mut self.keys.rng)
    }

    /// Signs the next epoch after `state`.
    pub(crate) fn next(&mut self, state: &GroupState, change: Change) -> SignedGroupEpoch {
        let issued = UnixMillis(1_700_000_000_000);
        let epoch = state.propose(&self.id(), change, issued);
        self.sign(&epoch)
    }

    pub(crate) async fn get(&self, home: &Home, path: &str) -> Answer {
        call(home, "GET", path, Some(self.device.token()), None).await
    }

    pub(crate) async fn post(&self, home: &Home, path: &str, body: Value) -> Answer {
        call(home, "POST", path, Some(self.device.token()), Some(body)).await
    }

    /// Submits an epoch.
    pub(crate) async fn submit(&self, home: &Home, epoch: &SignedGroupEpoch) -> Answer {
        let group = epoch.unverified().unwrap().group;
        self.post(home, &format!("/v1/groups/{group}/epochs"), body(epoch)).await
    }

    /// Makes a change that must be taken.
    pub(crate) async fn act(&mut self, home: &Home, group: &mut GroupState, change: Change) {
        let epoch = self.next(group, change);
        let answer = self.submit(home, &epoch).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        assert_eq!(answer.body["status"], "taken");
        *group = group.apply(&epoch).unwrap();
        assert_eq!(answer.body["epoch"], group.epoch());
    }

    /// Makes a change that must be refused with `code`.
    pub(crate) async fn refused(
        &mut self,
        home: &Home,
        group: &GroupState,
        change: Change,
        code: &str,
    ) {
        let epoch = self.next(group, change);
        let answer = self.submit(home, &epoch).await;
        assert_eq!(answer.code(), code, "{answer:?}");
    }

    /// The next `group` frame on the socket.
    pub(crate) async fn told(&mut self) -> (String, u64) {
        self.device
            .wait(|event| match event {
                Event::Group(frame) => {
                    let event = serde_json::to_value(frame.event).unwrap();
                    Some((event.as_str().unwrap().to_owned(), frame.head.epoch))
                }
                _ => None,
            })
            .await
    }

    /// Reads the whole chain and verifies it.
    pub(crate) async fn verified(&self, home: &Home, group: &str) -> GroupState {
        let mut state: Option<GroupState> = None;
        let mut from = Some(1);
        while let Some(first) = from {
            let path = format!("/v1/groups/{group}/epochs?from={first}&limit=3");
            let answer = self.get(home, &path).await;
            assert_eq!(answer.status, 200, "{answer:?}");
            let page: Epochs = serde_json::from_value(answer.body).unwrap();
            for EpochDocument(epoch) in &page.epochs {
                state = Some(match &state {
                    None => GroupState::create(group, epoch).unwrap(),
                    Some(state) => state.apply(epoch).unwrap(),
                });
            }
            from = page.next;
        }
        state.unwrap()
    }
}

pub(crate) fn body(epoch: &SignedGroupEpoch) -> Value {
    json!({ "epoch": EpochDocument(epoch.clone()) })
}

/// A first epoch of a new group of this region.
pub(crate) fn first(owner: &mut Signer) -> SignedGroupEpoch {
    let group = GroupId { uuid: Uuid::from_bytes(*new_id().0.as_bytes()), server: server() };
    let owner_person = owner.person();
    let epoch = GroupEpoch {
        group: group.to_string(),
        epoch: 1,
        previous: None,
        actor: Some(owner.id()),
        change: Change::Create {
            owner: owner_person,
            region: server().to_string(),
            title: b"encrypted".to_vec(),
        },
        issued: UnixMillis(1_700_000_000_000),
    };
    owner.sign(&epoch)
}

/// A new group.
pub(crate) async fn created(home: &Home, owner: &mut Signer) -> GroupState {
    let epoch = first(owner);
    let answer = owner.post(home, "/v1/groups", body(&epoch)).await;
    assert_eq!(answer.status, 201, "{answer:?}");
    GroupState::create(&epoch.unverified().unwrap().group, &epoch).unwrap()
}

/// `who` is invited and accepts.
pub(crate) async fn joined(
    home: &Home,
    group: &mut GroupState,
    (by, who): (&mut Signer, &mut Signer),
) {
    by.act(home, group, Change::Invite(who.person())).await;
    who.act(home, group, Change::Accept).await;
}
