//! Groups against a server that shows what nobody has signed, and against who was removed.

use posthouse_crypto::e2ee::{
    primitives::curve::KeyPair,
    signed::group_epoch::{Change, GroupEpoch, GroupState, Person as Named, SignedGroupEpoch},
    time::UnixMillis,
};
use posthouse_protocol::{
    id::{AccountId, GroupId},
    rest::groups::{EpochDocument, EpochHash, Epochs, Groups},
};
use rand::{SeedableRng, rngs::StdRng};
use serde_json::json;
use uuid::Uuid;

use super::{
    texts,
    words::{id_of, piece_users},
    world::{Device, Outcome, START},
};
use crate::{
    ChainFault, Update,
    machine::{Answer, Call, Leaving},
};

/// Devices, the first of them the owner's, and the chain as the server shows it.
pub(super) struct Region {
    pub(super) devices: Vec<Device>,
    pub(super) group: GroupId,
    state: GroupState,
    chain: Vec<SignedGroupEpoch>,
    /// Of whom the server knows nothing.
    gone: Option<AccountId>,
    rng: StdRng,
}

pub(super) fn named(of: &Device) -> Named {
    Named { account: of.account().to_string(), identity: of.identity().public }
}

fn keys_of(of: &Device) -> KeyPair {
    KeyPair::from_private(of.identity().private.clone())
}

impl Region {
    /// Everybody is a member.
    pub(super) async fn with(names: &[&'static str]) -> Self {
        let mut devices = Vec::new();
        for (seed, name) in (1..).zip(names) {
            let mut device = Device::new(name, seed);
            let mut spare = Device::new("spare", 99);
            device.connect(&mut spare).await;
            devices.push(device);
        }
        let owner = &devices[0];
        let group =
            GroupId { uuid: Uuid::from_u128(0x6000), server: owner.account().server.clone() };
        let mut rng = StdRng::seed_from_u64(5);
        let first = GroupEpoch {
            group: group.to_string(),
            epoch: 1,
            previous: None,
            actor: Some(owner.account().to_string()),
            change: Change::Create {
                owner: named(owner),
                region: "eu.example".to_owned(),
                title: b"sealed".to_vec(),
            },
            issued: UnixMillis(START),
        };
        let first = first.sign(&owner.identity().private, &mut rng);
        let state = GroupState::create(&group.to_string(), &first).unwrap();
        let mut region = Self { devices, group, state, chain: vec![first], gone: None, rng };
        for at in 1..names.len() {
            let invited = named(&region.devices[at]);
            region.act(0, Change::Invite(invited));
            region.act(at, Change::Accept);
        }
        for at in 0..names.len() {
            region.tell(at).await;
        }
        region
    }

    fn signed(&mut self, by: usize, change: Change) -> SignedGroupEpoch {
        let by = &self.devices[by];
        let epoch = self.state.propose(&by.account().to_string(), change, UnixMillis(START));
        epoch.sign(&keys_of(by).private, &mut self.rng)
    }

    pub(super) fn act(&mut self, by: usize, change: Change) {
        let epoch = self.signed(by, change);
        self.state = self.state.apply(&epoch).unwrap();
        self.chain.push(epoch);
    }

    /// Tells a device of the newest epoch that the server has, and answers what it asks.
    pub(super) async fn tell(&mut self, at: usize) -> Outcome {
        let head = self.chain.last().unwrap();
        let frame = self.group_frame(self.chain.len() as u64, head.hash());
        let outcome = self.devices[at].frame(&frame).await;
        self.serve(at, outcome).await
    }

    fn group_frame(&self, epoch: u64, hash: [u8; 32]) -> String {
        json!({"type": "group", "event": "epoch", "group": self.group, "epoch": epoch,
            "hash": EpochHash(hash), "cursor": "c1"})
        .to_string()
    }

    fn answer(&self, call: &Call) -> Answer {
        let device = |of: &AccountId| self.devices.iter().find(|one| one.account() == of);
        match call {
            Call::Devices(of) if self.gone.as_ref() == Some(of) => {
                Answer::Refused("unknown_user".to_owned())
            }
            Call::Devices(of) => Answer::Devices(Box::new(device(of).unwrap().published())),
            Call::Bundles { of, .. } => Answer::Bundles(Box::new(device(of).unwrap().bundles())),
            Call::Epochs { from, .. } => {
                let from = usize::try_from(*from).unwrap() - 1;
                let epochs = self.chain.get(from..).unwrap_or_default();
                let epochs = epochs.iter().cloned().map(EpochDocument).collect();
                Answer::Epochs(Box::new(Epochs { epochs, next: None }))
            }
            Call::Groups(_) => Answer::Groups(Box::new(Groups { groups: Vec::new(), next: None })),
            Call::PreKeys | Call::Upload | Call::List(_) | Call::Leave(_) => Answer::Done,
            Call::Profile(_) | Call::PutProfile(_) | Call::Blocks(_) => {
                Answer::Refused("not_found".to_owned())
            }
        }
    }

    /// The chain as it is now, from an epoch on.
    fn answer_from(&self, from: u64) -> Answer {
        self.answer(&Call::Epochs { group: self.group.clone(), from })
    }

    /// Answers calls until there are none.
    async fn serve(&mut self, at: usize, outcome: Outcome) -> Outcome {
        let mut all = outcome;
        while let Some(call) = all.calls.pop() {
            let answer = self.answer(&call);
            let more = self.devices[at].answer(&call, answer).await;
            all.calls.extend(more.calls);
            all.frames.extend(more.frames);
            all.updates.extend(more.updates);
        }
        all.frames.retain(|frame| frame.contains(r#""type":"message""#));
        all
    }

    /// Sends a text; the submissions that come of it, which the server takes.
    async fn say(&mut self, at: usize, text: &str) -> Vec<String> {
        let group = self.group.clone();
        let outcome = self.devices[at].say_in(&group, text).await;
        let frames = self.serve(at, outcome).await.frames;
        self.devices[at].taken(&frames).await;
        frames
    }

    /// Hands submissions to a device, with this epoch.
    async fn hand(&mut self, at: usize, from: usize, frames: &[String], epoch: u64) -> Vec<Update> {
        let from = self.devices[from].account().clone();
        let mut updates = Vec::new();
        for frame in frames {
            if let Some(text) = self.devices[at].as_delivered_to_group(&from, frame, epoch) {
                let outcome = self.devices[at].frame(&text).await;
                updates.extend(self.serve(at, outcome).await.updates);
            }
        }
        updates
    }

    fn epoch(&self) -> u64 {
        self.state.epoch()
    }
}

fn faults(updates: &[Update]) -> Vec<&ChainFault> {
    let mut faults = Vec::new();
    for update in updates {
        if let Update::GroupRefused { fault, .. } = update {
            faults.push(fault);
        }
    }
    faults
}

#[tokio::test]
async fn a_ghost_member_is_named_and_gets_nothing() {
    let mut region = Region::with(&["ada", "ben"]).await;
    let eve = Device::new("eve", 66);
    // The server, or Ben at its wish, adds somebody: no admin has signed it.
    let add = region.signed(1, Change::Add(named(&eve)));
    region.chain.push(add);
    let told = region.tell(0).await.updates;
    let account = eve.account().clone();
    assert_eq!(faults(&told), [&ChainFault::Ghost { account, epoch: 4 }]);
    let group = region.devices[0].group(&region.group).await;
    assert_eq!((group.epoch(), group.people().len()), (3, 2));
    let frames = region.say(0, "for ben alone").await;
    assert_eq!(piece_users(&frames), [region.devices[1].account().to_string()]);
    let got = region.hand(1, 0, &frames, 3).await;
    assert_eq!(texts(&got), ["for ben alone"]);
    // What the ghost writes is not shown either, and the ghost is named.
    let eve_is = eve.account().clone();
    let body: Vec<String> = frames.iter().filter(|f| f.contains("\"body\"")).cloned().collect();
    let forged = region.devices[1].as_delivered_to_group(&eve_is, &body[0], 3).unwrap();
    let got = region.devices[1].frame(&forged).await.updates;
    assert!(texts(&got).is_empty());
    assert_eq!(faults(&got), [&ChainFault::Ghost { account: eve_is, epoch: 3 }]);
}

#[tokio::test]
async fn a_fork_and_a_rollback_are_named_and_not_followed() {
    let mut region = Region::with(&["ada", "ben"]).await;
    let ben = 1;
    let frame = region.group_frame(3, [9; 32]);
    let told = region.devices[ben].frame(&frame).await.updates;
    assert_eq!(faults(&told), [&ChainFault::Fork { epoch: 3 }]);
    // The owner signs two fourth epochs, and the server shows Ben the fifth of the other chain.
    let title = |title: &[u8]| Change::Rename(title.to_vec());
    let honest = region.state.clone();
    region.act(0, title(b"one"));
    region.tell(ben).await;
    region.state = honest;
    region.chain.pop();
    region.act(0, title(b"other"));
    region.act(0, title(b"and on"));
    let told = region.tell(ben).await.updates;
    assert_eq!(faults(&told), [&ChainFault::Fork { epoch: 5 }]);
    assert_eq!(region.devices[ben].group(&region.group).await.epoch(), 4);

    let outcome = region.devices[ben].say_in(&region.group.clone(), "kept").await;
    let frames = region.serve(ben, outcome).await.frames;
    let stale = json!({"type": "error", "code": "stale_epoch", "message": "", "ref": id_of(&frames[0]),
        "epoch": 2, "hash": EpochHash(region.chain[1].hash())});
    let told = region.devices[ben].frame(&stale.to_string()).await.updates;
    assert_eq!(faults(&told), [&ChainFault::Rollback { known: 4, told: 2 }]);
    assert!(region.devices[ben].waiting().await > 0, "it is not lost");
}

#[tokio::test]
async fn a_first_owner_with_another_key_is_not_believed() {
    let mut region = Region::with(&["ada", "ben"]).await;
    // Ben has known Ada by her true key; a server makes up a group of hers.
    let forger = Device::with("ada", region.devices[0].account().clone(), 77);
    let first = GroupEpoch {
        group: "g.00000000-0000-0000-0000-000000007000@eu.example".to_owned(),
        epoch: 1,
        previous: None,
        actor: Some(forger.account().to_string()),
        change: Change::Create {
            owner: named(&forger),
            region: "eu.example".to_owned(),
            title: Vec::new(),
        },
        issued: UnixMillis(START),
    };
    let frames = region.say(1, "so ben knows ada").await;
    assert!(!frames.is_empty());
    region.chain = vec![first.sign(&keys_of(&forger).private, &mut region.rng)];
    region.group = GroupId::parse("g.00000000-0000-0000-0000-000000007000@eu.example").unwrap();
    let told = region.tell(1).await.updates;
    let account = forger.account().clone();
    assert_eq!(faults(&told), [&ChainFault::OtherKey { account, epoch: 1 }]);
    assert_eq!(region.devices[1].group(&region.group).await.epoch(), 0);
}

#[tokio::test]
async fn who_was_removed_cannot_read_what_is_sent_after() {
    let mut region = Region::with(&["ada", "ben", "cid"]).await;
    let before = region.say(0, "one").await;
    let epoch = region.epoch();
    for at in [1, 2] {
        assert_eq!(texts(&region.hand(at, 0, &before, epoch).await), ["one"]);
    }
    let again = region.say(0, "two").await;
    assert!(piece_users(&again).is_empty(), "they have the key");
    for at in [1, 2] {
        assert_eq!(texts(&region.hand(at, 0, &again, epoch).await), ["two"]);
    }
    let cid = region.devices[2].account().to_string();
    region.act(0, Change::Remove(cid.clone()));
    region.tell(0).await;
    region.tell(1).await;
    let after = region.say(0, "three").await;
    assert_eq!(piece_users(&after), [region.devices[1].account().to_string()], "a new key");
    let now = region.epoch();
    assert_eq!(texts(&region.hand(1, 0, &after, now).await), ["three"]);
    // The server hands everything to Cid all the same, as if it were of before.
    let got = region.hand(2, 0, &after, epoch).await;
    assert!(texts(&got).is_empty(), "{got:?}");
}

/// Whatever comes first, the group's news or the refusal, it is signed against what is known then; and
/// not once more after the chain says that the account is out.
#[tokio::test]
async fn leaving_is_signed_anew_when_the_group_moves_on() {
    let mut region = Region::with(&["ada", "ben"]).await;
    let leave = Call::Leave(region.group.clone());
    let anew = [leave.clone()];
    let stale = || Answer::Refused("stale_epoch".to_owned());
    let group = region.group.clone();
    let asked = region.devices[1].leave(&group, Leaving::Later).await.calls;
    assert_eq!(asked, anew);
    region.act(0, Change::Rename(b"one".to_vec()));
    // The news is read while the refusal is on its way.
    let head = region.chain.last().unwrap().hash();
    let frame = region.group_frame(region.epoch(), head);
    let asked = region.devices[1].frame(&frame).await.calls;
    let [epochs] = asked.as_slice() else { panic!("{asked:?}") };
    let answer = region.answer(epochs);
    assert_eq!(region.devices[1].answer(epochs, answer).await.calls, [], "it is asked already");
    assert_eq!(region.devices[1].answer(&leave, stale()).await.calls, anew);
    // The refusal comes before the news.
    region.act(0, Change::Rename(b"two".to_vec()));
    let asked = region.devices[1].answer(&leave, stale()).await.calls;
    let [epochs] = asked.as_slice() else { panic!("{asked:?}") };
    let answer = region.answer(epochs);
    assert_eq!(region.devices[1].answer(epochs, answer).await.calls, anew);
    let known = region.epoch();
    region.act(1, Change::Leave);
    let taken = region.answer_from(known + 1);
    assert_eq!(region.devices[1].answer(&leave, taken).await.calls, []);
    assert!(!region.devices[1].group(&region.group).await.leaving);
    region.act(0, Change::Rename(b"three".to_vec()));
    assert_eq!(region.tell(1).await.calls, []);
}

/// Who was only invited wrote nothing, whether they declined or their invitation was taken back.
#[tokio::test]
async fn who_was_only_invited_never_was_a_member() {
    let mut region = Region::with(&["ada", "ben"]).await;
    for (seed, name) in [(7, "cid"), (8, "dan")] {
        region.devices.push(Device::new(name, seed));
    }
    let epoch = region.epoch();
    let (cid, dan) = (named(&region.devices[2]), named(&region.devices[3]));
    region.act(0, Change::Invite(cid));
    region.act(0, Change::Invite(dan.clone()));
    region.act(2, Change::Leave);
    region.act(0, Change::Remove(dan.account));
    region.act(1, Change::Leave);
    region.tell(0).await;
    let group = region.devices[0].group(&region.group).await;
    assert_eq!(group.epoch(), epoch + 5);
    for at in [2, 3] {
        let who = region.devices[at].account();
        assert!(!group.wrote_as_member(who, epoch + 1), "{who}");
    }
    assert!(group.wrote_as_member(region.devices[1].account(), epoch + 4), "he was one");
}

/// The key of a title goes straight from one to the other; that there is an invitation, another
/// region may hear later.
#[tokio::test]
async fn a_title_that_comes_before_its_group_is_kept() {
    let mut region = Region::with(&["ada"]).await;
    let mut ben = Device::new("ben", 7);
    ben.connect(&mut Device::new("spare", 99)).await;
    region.devices.push(ben);
    let (group, to) = (region.group.clone(), region.devices[1].account().clone());
    let outcome = region.devices[0].hand_title(&group, to).await;
    let frames = region.serve(0, outcome).await.frames;
    let (ada, others) = region.devices.split_at_mut(1);
    let asked = others[0].deliver_all(&ada[0], &frames).await.calls;
    let chain = asked.iter().find(|call| matches!(call, Call::Epochs { .. })).unwrap();
    others[0].answer(chain, Answer::Refused("not_found".to_owned())).await;
    assert_eq!(others[0].group(&group).await.title_keys().count(), 1);

    let invited = named(&region.devices[1]);
    region.act(0, Change::Invite(invited));
    region.tell(1).await;
    let known = region.devices[1].group(&group).await;
    assert_eq!((known.epoch(), known.title_keys().count()), (2, 1));
}

/// What a device hears while it reads a chain is not in the answer that was under way.
#[tokio::test]
async fn what_is_heard_while_a_chain_is_read_is_read_too() {
    let mut region = Region::with(&["ada"]).await;
    let mut ben = Device::new("ben", 7);
    ben.connect(&mut Device::new("spare", 99)).await;
    region.devices.push(ben);
    let invited = named(&region.devices[1]);
    region.act(0, Change::Invite(invited));
    let mut outcome = Outcome::default();
    for old in [Answer::Refused("not_found".to_owned()), region.answer_from(1)] {
        let head = region.chain.last().unwrap().hash();
        let frame = region.group_frame(region.chain.len() as u64, head);
        let asked = region.devices[1].frame(&frame).await.calls;
        let calls = if asked.is_empty() { outcome.calls } else { asked };
        let [chain] = &calls[..] else { panic!("{calls:?}") };
        region.act(0, Change::Rename(b"another".to_vec()));
        let head = region.chain.last().unwrap().hash();
        let frame = region.group_frame(region.chain.len() as u64, head);
        let more = region.devices[1].frame(&frame).await;
        assert!(more.calls.is_empty(), "one at a time: {:?}", more.calls);
        outcome = region.devices[1].answer(chain, old).await;
        assert!(!outcome.calls.is_empty(), "it is asked again");
    }
    region.serve(1, outcome).await;
    assert_eq!(region.devices[1].group(&region.group).await.epoch(), region.epoch());
}

#[tokio::test]
async fn what_comes_before_its_key_or_its_chain_waits() {
    let mut region = Region::with(&["ada", "ben"]).await;
    let mut frames = region.say(0, "early").await;
    frames.reverse();
    let epoch = region.epoch();
    let got = region.hand(1, 0, &frames, epoch).await;
    assert_eq!(texts(&got), ["early"], "once the key is there");
    region.act(0, Change::Rename(b"other".to_vec()));
    region.tell(0).await;
    let frames = region.say(0, "later").await;
    let from = region.devices[0].account().clone();
    let text = region.devices[1].as_delivered_to_group(&from, &frames[0], epoch + 1).unwrap();
    let held = region.devices[1].frame(&text).await;
    assert!(texts(&held.updates).is_empty());
    let got = region.serve(1, held).await.updates;
    assert_eq!(texts(&got), ["later"], "once the chain is there");
}

#[tokio::test]
async fn keys_pieces_and_messages_outlive_the_process_in_their_order() {
    let mut region = Region::with(&["ada", "ben"]).await;
    let group = region.group.clone();
    let mut sent = Vec::new();
    for text in ["one", "two"] {
        let outcome = region.devices[0].say_in(&group, text).await;
        sent.extend(region.serve(0, outcome).await.frames);
    }
    assert_eq!(sent.len(), 3, "a piece and two messages");
    let outcome = region.devices[0].restart().await;
    let again = region.serve(0, outcome).await.frames;
    let content = |frame: &String| {
        let frame: serde_json::Value = serde_json::from_str(frame).unwrap();
        (frame["id"].clone(), frame["content"].clone(), frame["epoch"].clone())
    };
    let of = |all: &[String]| all.iter().map(content).collect::<Vec<_>>();
    assert_eq!(of(&again), of(&sent), "the same ciphertexts, the key first");
    let epoch = region.epoch();
    assert_eq!(texts(&region.hand(1, 0, &again, epoch).await), ["one", "two"]);
}

#[tokio::test]
async fn a_key_grows_old_and_a_stale_piece_makes_another() {
    let mut region = Region::with(&["ada", "ben"]).await;
    let group = region.group.clone();
    assert_eq!(region.say(0, "one").await.len(), 2);
    assert_eq!(region.say(0, "two").await.len(), 1);
    region.devices[0].wait(7 * 24 * 60 * 60 * 1000);
    let outcome = region.devices[0].say_in(&group, "three").await;
    let frames = region.serve(0, outcome).await.frames;
    assert_eq!(frames.len(), 2, "seven days later it is another key");
    let ben = region.devices[1].account().clone();
    let stale = super::words::stale(id_of(&frames[0]), &ben, &[]);
    let outcome = region.devices[0].frame(&stale).await;
    let mut later = region.serve(0, outcome).await.frames;
    let out_of_order = json!({"type": "error", "code": "out_of_order", "message": "",
        "ref": id_of(&frames[1])});
    let outcome = region.devices[0].frame(&out_of_order.to_string()).await;
    later.extend(region.serve(0, outcome).await.frames);
    assert_eq!(later.len(), 2, "{later:?}");
    assert_eq!(id_of(&later[1]), id_of(&frames[1]), "the same message");
    let epoch = region.epoch();
    assert_eq!(texts(&region.hand(1, 0, &later, epoch).await), ["three"]);
}

#[tokio::test]
async fn a_member_without_devices_or_with_another_key_keeps_nobody_from_hearing() {
    let mut region = Region::with(&["ada", "ben", "cid", "dot"]).await;
    region.gone = Some(region.devices[2].account().clone());
    // Dot has set her account up anew: the group knows her by the key before.
    let mut anew = Device::with("dot", region.devices[3].account().clone(), 44);
    let mut spare = Device::new("spare", 98);
    anew.connect(&mut spare).await;
    region.devices[3] = anew;
    let frames = region.say(0, "who is there?").await;
    assert_eq!(piece_users(&frames), [region.devices[1].account().to_string()]);
    let epoch = region.epoch();
    assert_eq!(texts(&region.hand(1, 0, &frames, epoch).await), ["who is there?"]);
    // Cid is there again a minute later, and gets the key.
    region.gone = None;
    region.devices[0].wait(60_001);
    let frames = region.say(0, "welcome back").await;
    assert_eq!(piece_users(&frames), [region.devices[2].account().to_string()]);
    assert_eq!(texts(&region.hand(2, 0, &frames, epoch).await), ["welcome back"]);
}
