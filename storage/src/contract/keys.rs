//! Identity keys, device lists, prekeys, and the notices about them.

use std::collections::HashSet;

use bytes::Bytes;
use posthouse_protocol::{cursor::Cursor, id::AccountId};
use uuid::Uuid;

use super::{
    Store, Subject,
    world::{Person, START, World, name},
};
use crate::{
    accounts::{Accounts, addressable},
    inbox::EntryKind,
    keys::{
        Bundles, Changed, Claim, Claimed, IdentityKey, KeyNotice, Keys, LOW, MAX_STORED, NewList,
        PreKey, PreKeyCounts, Upload, Uploaded,
    },
    ledger::Ledger,
};

const KEY: IdentityKey = [5; 33];
const OTHER: IdentityKey = [6; 33];

async fn with_identity<S: Store>(world: &World<S>, person: &Person) {
    let set = world.store.set_identity(&person.account, None, &KEY, START).await.unwrap();
    assert!(matches!(set, Changed::Done(_)), "{set:?}");
}

fn prekey(id: u32, signed: bool) -> PreKey {
    let key = Bytes::copy_from_slice(&id.to_be_bytes());
    PreKey { id, key, signature: signed.then_some([7; 64]) }
}

/// Lasting keys, and one-time ones with these ids.
fn upload(ids: impl Iterator<Item = u32> + Clone) -> Upload {
    Upload {
        signed: Some(prekey(1_000_001, true)),
        last_resort: Some(prekey(1_000_002, true)),
        one_time: ids.clone().map(|id| prekey(id, false)).collect(),
        one_time_kem: ids.map(|id| prekey(id, true)).collect(),
    }
}

async fn put<S: Store>(world: &World<S>, person: &Person, upload: &Upload) -> Uploaded {
    world.store.upload(person.uuid(), person.device.id, &KEY, upload).await.unwrap()
}

fn claim(requester: &AccountId, request: Uuid, of: &Person) -> Claim {
    Claim {
        requester: requester.clone(),
        request,
        account: of.uuid(),
        devices: None,
        except: None,
        one_time: true,
        now: START,
    }
}

async fn claimed<S: Store>(world: &World<S>, claim: &Claim) -> Bundles {
    match world.store.claim(claim).await.unwrap() {
        Claimed::Done(bundles, _) => *bundles,
        other => panic!("{other:?}"),
    }
}

/// Of two that change the same key one succeeds; with a new key everything that the old one signed
/// is gone, and the log has both.
pub async fn an_identity_is_changed_only_from_what_is_known<S: Subject>(subject: &S) {
    let world = World::new(subject).await;
    let alice = world.person("alice").await;
    let store = &world.store;
    assert_eq!(store.identity(alice.uuid()).await.unwrap(), None);
    with_identity(&world, &alice).await;
    let again = store.set_identity(&alice.account, None, &OTHER, START).await.unwrap();
    assert_eq!(again, Changed::Moved);
    put(&world, &alice, &upload(1..=3)).await;
    let later = START.plus_millis(5);
    let changed = store.set_identity(&alice.account, Some(&KEY), &OTHER, later).await.unwrap();
    assert!(matches!(changed, Changed::Done(arrivals) if arrivals.len() == 1));
    let identity = store.identity(alice.uuid()).await.unwrap().unwrap();
    assert_eq!((identity.key, identity.list), (OTHER, None));
    assert_eq!(store.counts(alice.device.id).await.unwrap(), PreKeyCounts::default());
    assert_eq!(put(&world, &alice, &upload(4..=4)).await, Uploaded::Moved, "signed by the old key");
    let log = store.key_changes(alice.uuid()).await.unwrap();
    let log: Vec<_> = log.iter().map(|one| (one.number, one.at, one.key)).collect();
    assert_eq!(log, [(1, START, KEY), (2, later, OTHER)]);
    let nobody = AccountId { uuid: world.id(), ..alice.account.clone() };
    assert_eq!(store.set_identity(&nobody, None, &KEY, START).await.unwrap(), Changed::Moved);
    subject.close(world.store).await;
}

/// A list is taken if it is signed by the key that is, has the next version and names exactly the
/// devices; from then on devices that came later are not listed.
pub async fn a_list_is_the_next_one_of_exactly_the_devices<S: Subject>(subject: &S) {
    let world = World::new(subject).await;
    let alice = world.person("alice").await;
    with_identity(&world, &alice).await;
    let devices = [(alice.device.number, alice.device.registration_id)];
    let good = NewList {
        account: alice.uuid(),
        identity: &KEY,
        version: 1,
        document: b"list",
        devices: &devices,
    };
    let wrong = [
        NewList { identity: &OTHER, ..good.clone() },
        NewList { version: 2, ..good.clone() },
        NewList { devices: &[], ..good.clone() },
    ];
    for list in wrong {
        let put = world.store.put_list(list, &alice.account, START).await.unwrap();
        assert_eq!(put, Changed::Moved);
    }
    let put = world.store.put_list(good.clone(), &alice.account, START).await.unwrap();
    assert!(matches!(put, Changed::Done(arrivals) if arrivals.len() == 1));
    let again = world.store.put_list(good, &alice.account, START).await.unwrap();
    assert_eq!(again, Changed::Moved, "version 1 is there");
    let identity = world.store.identity(alice.uuid()).await.unwrap().unwrap();
    assert_eq!((identity.list_version, identity.list.as_deref()), (1, Some(&b"list"[..])));
    let second = world.new_device(alice.uuid(), START);
    world.store.add_device(&second, &world.new_session(&second, START), 8).await.unwrap();
    let devices = world.store.devices(alice.uuid()).await.unwrap();
    let listed: Vec<_> = devices.iter().map(|device| device.listed).collect();
    assert_eq!(listed, [true, false]);
    assert_eq!(
        addressable(&devices).map(|device| device.id).collect::<Vec<_>>(),
        [alice.device.id]
    );
    subject.close(world.store).await;
}

/// One-time and last-resort KEM keys that are stored at one time have different numbers.
pub async fn a_kem_key_is_named_by_its_number_alone<S: Subject>(subject: &S) {
    let world = World::new(subject).await;
    let alice = world.person("alice").await;
    with_identity(&world, &alice).await;
    let kem = |ids: &[u32], last_resort: Option<u32>| Upload {
        last_resort: last_resort.map(|id| prekey(id, true)),
        one_time_kem: ids.iter().map(|id| prekey(*id, true)).collect(),
        ..Upload::default()
    };
    let counts = |one_time_kem, last_resort| {
        let counts = PreKeyCounts { one_time_kem, last_resort, ..PreKeyCounts::default() };
        Uploaded::Stored(counts)
    };
    assert_eq!(put(&world, &alice, &kem(&[1, 2], Some(2))).await, Uploaded::SameId(2));
    assert_eq!(put(&world, &alice, &kem(&[1, 2], Some(3))).await, counts(2, Some(3)));
    assert_eq!(put(&world, &alice, &kem(&[3, 4], None)).await, Uploaded::SameId(3));
    assert_eq!(put(&world, &alice, &kem(&[], Some(2))).await, Uploaded::SameId(2));
    let stored = world.store.counts(alice.device.id).await.unwrap();
    assert_eq!(Uploaded::Stored(stored), counts(2, Some(3)), "nothing of them was stored");
    // What is replaced is not kept, and what is passed over is not stored.
    assert_eq!(put(&world, &alice, &kem(&[3], Some(4))).await, counts(3, Some(4)));
    assert_eq!(put(&world, &alice, &kem(&[3], Some(4))).await, counts(3, Some(4)));
    subject.close(world.store).await;
}

/// One-time keys add up to a bound, lasting ones replace each other, and an upload that is sent
/// again adds nothing.
pub async fn prekeys_are_counted_and_bounded<S: Subject>(subject: &S) {
    let world = World::new(subject).await;
    let alice = world.person("alice").await;
    assert_eq!(put(&world, &alice, &upload(1..=1)).await, Uploaded::Moved, "no identity yet");
    with_identity(&world, &alice).await;
    let counts = |n| PreKeyCounts {
        one_time: n,
        one_time_kem: n,
        signed: Some(1_000_001),
        last_resort: Some(1_000_002),
    };
    assert_eq!(put(&world, &alice, &upload(1..=100)).await, Uploaded::Stored(counts(100)));
    assert_eq!(put(&world, &alice, &upload(1..=100)).await, Uploaded::Stored(counts(100)));
    let most = u32::try_from(MAX_STORED).unwrap();
    assert_eq!(put(&world, &alice, &upload(101..=most)).await, Uploaded::Stored(counts(most)));
    let one_more = upload(most + 1..=most + 1);
    assert_eq!(put(&world, &alice, &one_more).await, Uploaded::TooMany(counts(most)));
    assert_eq!(world.store.counts(alice.device.id).await.unwrap(), counts(most));
    let renewed = Upload { signed: Some(prekey(7, true)), ..Upload::default() };
    let with_new = PreKeyCounts { signed: Some(7), ..counts(most) };
    assert_eq!(put(&world, &alice, &renewed).await, Uploaded::Stored(with_new));
    let stranger = world.store.upload(alice.uuid(), alice.device.id, &OTHER, &renewed).await;
    assert_eq!(stranger.unwrap(), Uploaded::Moved);
    let elsewhere = world.person("bob").await.device.id;
    let not_mine = world.store.upload(alice.uuid(), elsewhere, &KEY, &renewed).await;
    assert_eq!(not_mine.unwrap(), Uploaded::Moved);
    subject.close(world.store).await;
}

/// The lowest key goes first; without one-time keys the last-resort key is given; a key that was
/// handed out cannot be stored again; the device is told on the way down.
pub async fn a_one_time_key_is_handed_out_once<S: Subject>(subject: &S) {
    let world = World::new(subject).await;
    let (alice, bob) = (world.person("alice").await, world.person("bob").await);
    let nothing = world.store.claim(&claim(&bob.account, world.id(), &alice)).await.unwrap();
    assert_eq!(nothing, Claimed::NoIdentity);
    with_identity(&world, &alice).await;
    let empty = claimed(&world, &claim(&bob.account, world.id(), &alice)).await;
    assert_eq!((empty.bundles.len(), empty.without_keys), (0, vec![alice.device.number]));
    put(&world, &alice, &upload(1..=2)).await;
    for n in 1..=2 {
        let found = claimed(&world, &claim(&bob.account, world.id(), &alice)).await;
        let bundle = &found.bundles[0];
        assert_eq!(bundle.one_time, Some(prekey(n, false)));
        assert_eq!((&bundle.kem, bundle.last_resort), (&prekey(n, true), false));
        assert_eq!(bundle.signed, prekey(1_000_001, true));
        assert_eq!(bundle.registration_id, alice.device.registration_id);
    }
    put(&world, &alice, &upload(1..=2)).await;
    let found = claimed(&world, &claim(&bob.account, world.id(), &alice)).await;
    assert_eq!(found.bundles[0].one_time, None, "used keys do not come back");
    assert_eq!(
        (&found.bundles[0].kem, found.bundles[0].last_resort),
        (&prekey(1_000_002, true), true)
    );
    let mut mine = claim(&alice.account, world.id(), &alice);
    mine.except = Some(alice.device.id);
    assert_eq!(claimed(&world, &mine).await.bundles.len(), 0);
    put(&world, &alice, &upload(10..10 + LOW)).await;
    let told = world.store.claim(&claim(&bob.account, world.id(), &alice)).await.unwrap();
    let Claimed::Done(_, told) = told else { panic!("{told:?}") };
    let low =
        KeyNotice::PreKeysLow { device: alice.device.id, one_time: LOW - 1, one_time_kem: LOW - 1 };
    assert_eq!(told.iter().map(|(notice, _)| notice).collect::<Vec<_>>(), [&low]);
    let quiet = world.store.claim(&claim(&bob.account, world.id(), &alice)).await.unwrap();
    assert!(matches!(quiet, Claimed::Done(_, told) if told.is_empty()));
    let lasting = Claim { one_time: false, ..claim(&bob.account, world.id(), &alice) };
    for _ in 0..2 {
        let found = claimed(&world, &lasting).await;
        assert_eq!((&found.bundles[0].one_time, found.bundles[0].last_resort), (&None, true));
    }
    let left = world.store.claim(&claim(&bob.account, world.id(), &alice)).await.unwrap();
    let Claimed::Done(left, _) = left else { panic!("{left:?}") };
    assert_eq!(left.bundles[0].one_time, Some(prekey(12, false)), "nothing was used up");
    subject.close(world.store).await;
}

/// A request that comes again burns no key, also after reopening; it cannot be turned to another
/// account, and it is forgotten in time.
pub async fn the_same_request_is_given_the_same<S: Subject>(subject: &S) {
    let world = World::new(subject).await;
    let (alice, bob) = (world.person("alice").await, world.person("bob").await);
    let carol = world.person("carol").await;
    for person in [&alice, &carol] {
        with_identity(&world, person).await;
        put(&world, person, &upload(1..=5)).await;
    }
    let request = claim(&bob.account, world.id(), &alice);
    let first = claimed(&world, &request).await;
    subject.close(world.store).await;
    let world = World::beside(subject, 5_000).await;
    assert_eq!(claimed(&world, &request).await, first);
    assert_eq!(world.store.counts(alice.device.id).await.unwrap().one_time, 4);
    let turned = Claim { account: carol.uuid(), ..request.clone() };
    assert_eq!(world.store.claim(&turned).await.unwrap(), Claimed::OtherRequest);
    let abroad = AccountId { uuid: bob.uuid(), server: name("us.example") };
    let of_another = claimed(&world, &claim(&abroad, request.request, &alice)).await;
    assert_ne!(of_another, first, "requests belong to their requesters");
    assert_eq!(world.store.forget_claims(START, 100).await.unwrap(), 0);
    assert_eq!(world.store.forget_claims(START.plus_millis(1), 4).await.unwrap(), 4);
    assert_eq!(world.store.forget_claims(START.plus_millis(1), 100).await.unwrap(), 2);
    assert_ne!(claimed(&world, &request).await, first);
    subject.close(world.store).await;
}

/// Two processes (or tasks) that claim at once are never given the same key, and no key is lost.
pub async fn claims_at_once_never_share_a_key<S: Subject>(subject: &S) {
    const CLAIMS: u32 = 40;
    let one = World::new(subject).await;
    let two = if subject.shared() {
        World::beside(subject, 1_000_000).await
    } else {
        World::same(&one, 1_000_000)
    };
    let (alice, bob) = (one.person("alice").await, one.person("bob").await);
    with_identity(&one, &alice).await;
    put(&one, &alice, &upload(1..=100)).await;
    let mut tasks = tokio::task::JoinSet::new();
    for n in 0..2 * CLAIMS {
        let world = if n % 2 == 0 { &one } else { &two };
        let (store, request) = (world.store.clone(), claim(&bob.account, world.id(), &alice));
        tasks.spawn(async move { store.claim(&request).await.unwrap() });
    }
    let (mut curve, mut kem) = (HashSet::new(), HashSet::new());
    while let Some(done) = tasks.join_next().await {
        let Claimed::Done(bundles, _) = done.unwrap() else { panic!("a claim failed") };
        let bundle = bundles.bundles.into_iter().next().unwrap();
        assert!(curve.insert(bundle.one_time.unwrap().id), "twice");
        assert!(kem.insert(bundle.kem.id), "twice");
    }
    assert_eq!(one.store.counts(alice.device.id).await.unwrap().one_time, 100 - 2 * CLAIMS);
    subject.close(one.store).await;
    if subject.shared() {
        subject.close(two.store).await;
    }
}

/// An inbox has one entry of each kind and subject, the newest, at its end.
pub async fn notices_replace_each_other_and_are_read_back<S: Subject>(subject: &S) {
    let world = World::new(subject).await;
    let (alice, bob) = (world.person("alice").await, world.person("bob").await);
    let abroad = AccountId { uuid: world.id(), server: name("us.example") };
    let list = |user: &AccountId, version| KeyNotice::DeviceList { user: user.clone(), version };
    let low =
        |one_time| KeyNotice::PreKeysLow { device: alice.device.id, one_time, one_time_kem: 3 };
    let both = [alice.uuid(), bob.uuid()];
    world.store.tell(&list(&abroad, 1), &both, START).await.unwrap();
    world.store.tell(&low(19), &[alice.uuid()], START).await.unwrap();
    world.store.tell(&list(&bob.account, 4), &[alice.uuid()], START).await.unwrap();
    let identity = KeyNotice::Identity { user: abroad.clone() };
    world.store.tell(&identity, &[alice.uuid()], START).await.unwrap();
    world.store.tell(&low(9), &[alice.uuid()], START).await.unwrap();
    let told = world.store.tell(&list(&abroad, 2), &both, START).await.unwrap();
    assert_eq!(told.len(), 2);
    let nobody = world.store.tell(&identity, &[world.id()], START).await.unwrap();
    assert_eq!(nobody, [], "an account that is not there is told nothing");
    let notices = |entries: Vec<crate::inbox::Entry>| {
        let notice = |entry: crate::inbox::Entry| match entry.kind {
            EntryKind::Keys(notice) => *notice,
            other => panic!("{other:?}"),
        };
        entries.into_iter().map(notice).collect::<Vec<_>>()
    };
    let expected = [list(&bob.account, 4), identity, low(9), list(&abroad, 2)];
    assert_eq!(notices(world.inbox(&alice).await), expected);
    assert_eq!(notices(world.inbox(&bob).await), [list(&abroad, 2)]);
    let page = world.store.page(alice.uuid(), Cursor::START, 10).await.unwrap();
    assert_eq!(page.head, Cursor(6), "replaced entries leave holes");
    subject.close(world.store).await;
}

/// Once both have written, each is known as the other's acquaintance; not before.
pub async fn who_has_exchanged_messages_is_known<S: Subject>(subject: &S) {
    let world = World::new(subject).await;
    let (alice, bob) = (world.person("alice").await, world.person("bob").await);
    let carol = world.person("carol").await;
    let known =
        async |of: &Person| world.store.acquaintances(&of.account, Uuid::nil(), 10).await.unwrap();
    world.accept(&world.message(&alice, &bob, START)).await;
    world.accept(&world.message(&alice, &carol, START)).await;
    let note = crate::ledger::Accept { side: 3, ..world.message(&alice, &alice, START) };
    world.accept(&note).await;
    assert!(known(&alice).await.is_empty());
    world.accept(&world.message(&bob, &alice, START)).await;
    world.accept(&world.message(&alice, &bob, START)).await;
    assert_eq!(known(&alice).await, [bob.uuid()]);
    assert_eq!(known(&bob).await, [alice.uuid()]);
    world.accept(&world.message(&carol, &alice, START)).await;
    let mut both = [bob.uuid(), carol.uuid()];
    both.sort_unstable();
    assert_eq!(known(&alice).await, both);
    let page = world.store.acquaintances(&alice.account, both[0], 1).await.unwrap();
    assert_eq!(page, [both[1]]);
    subject.close(world.store).await;
}
