//! Chains of groups, lists of groups, invite links.

use bytes::Bytes;
use posthouse_protocol::{
    cursor::Cursor,
    frame::GroupEvent,
    id::{AccountId, ConversationId, GroupId},
    rest::groups::Standing,
    time::Timestamp,
};

use super::{
    Store, Subject,
    world::{Person, START, World, name, server},
};
use crate::{
    erasure::{Erasure, Next, SETTLE_MS},
    groups::{
        Appended, Becomes, Change, GroupLink, GroupNotice, Groups, Grown, Head, Reader, Step,
        Version,
    },
    inbox::EntryKind,
    ledger::Ledger,
};

fn group<S: Store>(world: &World<S>) -> GroupId {
    GroupId { uuid: world.id(), server: server() }
}

fn head(epoch: u64) -> Head {
    Head { epoch, hash: [u8::try_from(epoch).unwrap(); 32] }
}

fn becomes(account: &AccountId, standing: Standing, since: u64) -> Change {
    let is_local = account.server == server();
    let becomes = Becomes::Known { identity: [5; 33], standing, since, is_hidden: false };
    Change { account: account.clone(), is_local, becomes }
}

fn gone(account: &AccountId) -> Change {
    let is_local = account.server == server();
    Change { account: account.clone(), is_local, becomes: Becomes::Gone { may_read: true } }
}

/// The step to `epoch`, which changes this.
fn step(group: &GroupId, epoch: u64, changes: Vec<Change>, tell: &[(&Person, GroupEvent)]) -> Step {
    Step {
        group: group.clone(),
        before: (epoch > 1).then(|| head(epoch - 1)),
        head: head(epoch),
        document: Bytes::from(format!("epoch {epoch}")),
        region: server(),
        title: Bytes::from_static(b"title"),
        deputies: vec![name("us.example"), name("asia.example")],
        changes,
        joins: None,
        tell: tell.iter().map(|(person, event)| (person.uuid(), *event)).collect(),
        announce: Vec::new(),
        now: START.plus_millis(epoch),
    }
}

async fn create<S: Store>(world: &World<S>, group: &GroupId, owner: &Person) {
    let owns = becomes(&owner.account, Standing::Owner, 1);
    let created = step(group, 1, vec![owns], &[(owner, GroupEvent::Epoch)]);
    let appended = world.store.append_epoch(&created).await.unwrap();
    assert!(matches!(&appended, Appended::Done(told) if told.len() == 1), "{appended:?}");
}

async fn notices<S: Store>(world: &World<S>, of: &Person) -> Vec<GroupNotice> {
    let entries = world.inbox(of).await.into_iter();
    entries
        .filter_map(|entry| match entry.kind {
            EntryKind::Group(notice) => Some(*notice),
            _ => None,
        })
        .collect()
}

/// A chain grows by one epoch at a time, from the head that it has; who is behind changes nothing.
pub async fn a_chain_has_one_order<S: Subject>(subject: &S) {
    let world = World::new(subject).await;
    let (alice, bob) = (world.person("alice").await, world.person("bob").await);
    let abroad = AccountId { uuid: world.id(), server: name("us.example") };
    let group = group(&world);
    assert_eq!(world.store.group(&group).await.unwrap(), None);
    let none = step(&group, 2, Vec::new(), &[]);
    assert_eq!(world.store.append_epoch(&none).await.unwrap(), Appended::Moved(None));
    create(&world, &group, &alice).await;
    let again = step(&group, 1, Vec::new(), &[]);
    let moved = Appended::Moved(Some(head(1)));
    assert_eq!(world.store.append_epoch(&again).await.unwrap(), moved);

    let changes =
        vec![becomes(&bob.account, Standing::Invited, 2), becomes(&abroad, Standing::Member, 2)];
    let tell = [(&alice, GroupEvent::Epoch), (&bob, GroupEvent::Invited)];
    let second = step(&group, 2, changes, &tell);
    let (one, other) =
        tokio::join!(world.store.append_epoch(&second), world.store.append_epoch(&second));
    let (one, other) = (one.unwrap(), other.unwrap());
    let (done, late) = if matches!(one, Appended::Done(_)) { (one, other) } else { (other, one) };
    assert!(matches!(&done, Appended::Done(told) if told.len() == 2), "{done:?}");
    assert_eq!(late, Appended::Moved(Some(head(2))));

    let found = world.store.group(&group).await.unwrap().unwrap();
    assert_eq!((found.version.head, found.region.clone()), (head(2), server()));
    assert_eq!(found.deputies, [name("us.example"), name("asia.example")]);
    assert_eq!(&found.title[..], b"title");
    let mut people: Vec<_> =
        found.people.iter().map(|one| (one.account.clone(), one.standing, one.is_local)).collect();
    let mut expected = vec![
        (alice.account.clone(), Standing::Owner, true),
        (bob.account.clone(), Standing::Invited, true),
        (abroad.clone(), Standing::Member, false),
    ];
    people.sort();
    expected.sort();
    assert_eq!(people, expected);
    let version = Version { head: head(2), departures: 0 };
    assert_eq!(world.store.group_version(&group).await.unwrap(), Some(version));
    assert_eq!(world.store.epoch_hash(&group, 1).await.unwrap(), Some([1; 32]));
    assert_eq!(world.store.epoch_hash(&group, 3).await.unwrap(), None);
    let chain = world.store.epochs(&group, (1, 9), 9).await.unwrap();
    assert_eq!(chain, ["epoch 1", "epoch 2"]);
    assert_eq!(world.store.epochs(&group, (1, 9), 1).await.unwrap(), ["epoch 1"]);
    assert_eq!(world.store.epochs(&group, (2, 2), 9).await.unwrap(), ["epoch 2"]);
}

/// The newest notice about a group stands in an inbox, and no other.
pub async fn a_group_has_one_entry_in_an_inbox<S: Subject>(subject: &S) {
    let world = World::new(subject).await;
    let alice = world.person("alice").await;
    let (one, other) = (group(&world), group(&world));
    create(&world, &one, &alice).await;
    create(&world, &other, &alice).await;
    for epoch in 2..=4 {
        let next = step(&one, epoch, Vec::new(), &[(&alice, GroupEvent::Epoch)]);
        world.store.append_epoch(&next).await.unwrap();
    }
    let notice = |group: &GroupId, head| GroupNotice {
        event: GroupEvent::Epoch,
        group: group.clone(),
        head,
    };
    assert_eq!(notices(&world, &alice).await, [notice(&other, head(1)), notice(&one, head(4))]);
    let page = world.store.page(alice.uuid(), Cursor::START, 10).await.unwrap();
    assert_eq!(page.entries.last().unwrap().cursor, page.head);
}

/// Who belongs to a group reads its chain, who ceased to only up to there, and nobody else.
pub async fn a_chain_is_read_by_those_it_concerns<S: Subject>(subject: &S) {
    let world = World::new(subject).await;
    let (alice, bob) = (world.person("alice").await, world.person("bob").await);
    let carol = world.person("carol").await;
    let abroad = AccountId { uuid: world.id(), server: name("us.example") };
    let group = group(&world);
    create(&world, &group, &alice).await;
    let mut hidden = becomes(&carol.account, Standing::Invited, 2);
    if let Becomes::Known { is_hidden, .. } = &mut hidden.becomes {
        *is_hidden = true;
    }
    let changes = vec![
        becomes(&bob.account, Standing::Member, 2),
        hidden,
        becomes(&abroad, Standing::Member, 2),
    ];
    world.store.append_epoch(&step(&group, 2, changes, &[])).await.unwrap();
    let reader =
        async |account: &AccountId| world.store.group_reader(&group, account).await.unwrap();
    assert_eq!(reader(&alice.account).await, Some(Reader::Current(Standing::Owner)));
    assert_eq!(reader(&bob.account).await, Some(Reader::Current(Standing::Member)));
    assert_eq!(reader(&carol.account).await, None, "it is kept from her");
    assert_eq!(reader(&abroad).await, Some(Reader::Current(Standing::Member)));
    let leave = step(&group, 3, vec![gone(&bob.account), gone(&abroad)], &[]);
    world.store.append_epoch(&leave).await.unwrap();
    assert_eq!(reader(&bob.account).await, Some(Reader::Former(3)));
    assert_eq!(reader(&abroad).await, None);
    let people = world.store.group(&group).await.unwrap().unwrap().people;
    assert_eq!(people.len(), 2, "{people:?}");
    let mut unknown = gone(&carol.account);
    unknown.becomes = Becomes::Gone { may_read: false };
    world.store.append_epoch(&step(&group, 4, vec![unknown], &[])).await.unwrap();
    assert_eq!(reader(&carol.account).await, None);
    // Thirty days later nothing of it is known here.
    let forget = (START, START, START.plus_millis(5));
    world.store.forget_in_groups(forget, 100).await.unwrap();
    assert_eq!(reader(&bob.account).await, None);
}

/// An account is a member of so many groups; invitations that are kept from it are not listed.
pub async fn groups_are_listed_and_bounded<S: Subject>(subject: &S) {
    let world = World::new(subject).await;
    let (alice, bob) = (world.person("alice").await, world.person("bob").await);
    let mut groups: Vec<GroupId> = (0..4).map(|_| group(&world)).collect();
    groups.sort_by_key(ConversationId::group);
    for group in &groups {
        create(&world, group, &alice).await;
    }
    for (at, one) in groups.iter().enumerate() {
        let join = Step {
            joins: Some((bob.uuid(), 3)),
            ..step(one, 2, vec![becomes(&bob.account, Standing::Member, 2)], &[])
        };
        let appended = world.store.append_epoch(&join).await.unwrap();
        assert_eq!(appended == Appended::TooMany, at == 3, "{at}: {appended:?}");
    }
    // What he is already does not count against him.
    let promote = Step {
        joins: Some((bob.uuid(), 3)),
        ..step(&groups[0], 3, vec![becomes(&bob.account, Standing::Admin, 2)], &[])
    };
    assert!(matches!(world.store.append_epoch(&promote).await.unwrap(), Appended::Done(_)));
    let list = async |after, limit| {
        let found = world.store.memberships(bob.uuid(), after, (limit, 1)).await.unwrap();
        found.into_iter().map(|one| (one.group, one.standing, one.head.epoch)).collect::<Vec<_>>()
    };
    assert_eq!(
        list(None, 2).await,
        [(groups[0].clone(), Standing::Admin, 3), (groups[1].clone(), Standing::Member, 2),]
    );
    let after = Some(ConversationId::group(&groups[1]));
    assert_eq!(list(after, 9).await, [(groups[2].clone(), Standing::Member, 2)]);
    // The latest invitation is shown, and the one before is not.
    let others = [group(&world), group(&world)];
    for (at, one) in others.iter().enumerate() {
        create(&world, one, &alice).await;
        let mut invite = step(one, 2, vec![becomes(&bob.account, Standing::Invited, 2)], &[]);
        invite.now = START.plus_millis(100 + at as u64);
        world.store.append_epoch(&invite).await.unwrap();
    }
    let all = list(None, 9).await;
    let invited: Vec<_> = all.iter().filter(|one| one.1 == Standing::Invited).collect();
    assert_eq!(invited, [&(others[1].clone(), Standing::Invited, 2)]);
}

/// Links hold until they end or are revoked; asking needs one that holds, and is bounded.
pub async fn links_let_people_ask<S: Subject>(subject: &S) {
    let world = World::new(subject).await;
    let (alice, bob) = (world.person("alice").await, world.person("bob").await);
    let carol = world.person("carol").await;
    let group = group(&world);
    let link = |id, end| GroupLink {
        id,
        made_by: alice.account.clone(),
        expires_at: START.plus_millis(end),
    };
    let (first, second) = (link(world.id(), 100), link(world.id(), 200));
    let put = async |link: &GroupLink, code: u8, now: Timestamp| {
        world.store.put_group_link(&group, link, (&[code; 32], 2), now).await.unwrap()
    };
    assert_eq!(put(&first, 1, START).await, Grown::Nothing, "there is no such group");
    create(&world, &group, &alice).await;
    assert_eq!(put(&first, 1, START).await, Grown::New);
    assert_eq!(put(&second, 2, START).await, Grown::New);
    assert_eq!(put(&link(world.id(), 300), 3, START).await, Grown::Full);
    let links = world.store.group_links(&group, START).await.unwrap();
    assert_eq!(links, [first.clone(), second.clone()]);
    let ask = async |who: &Person, code: u8, now: u64| {
        let code = &[code; 32];
        let now = START.plus_millis(now);
        world.store.ask_to_join(&group, &who.account, (code, 1), now).await.unwrap()
    };
    assert_eq!(ask(&bob, 9, 1).await, Grown::Nothing);
    assert_eq!(ask(&bob, 1, 100).await, Grown::Nothing, "it has ended");
    assert_eq!(ask(&bob, 1, 99).await, Grown::New);
    assert_eq!(ask(&bob, 2, 150).await, Grown::Known);
    assert_eq!(ask(&carol, 2, 150).await, Grown::Full);
    let asks = world.store.join_requests(&group, 9).await.unwrap();
    assert_eq!(asks, [(bob.account.clone(), START.plus_millis(99))]);
    assert!(world.store.asks_to_join(&group, &bob.account).await.unwrap());
    // Who joins asks no longer.
    let join = step(&group, 2, vec![becomes(&bob.account, Standing::Member, 2)], &[]);
    world.store.append_epoch(&join).await.unwrap();
    assert!(!world.store.asks_to_join(&group, &bob.account).await.unwrap());
    assert_eq!(ask(&carol, 2, 150).await, Grown::New);
    assert!(world.store.drop_join_request(&group, &carol.account).await.unwrap());
    assert!(!world.store.drop_join_request(&group, &carol.account).await.unwrap());
    assert!(world.store.revoke_group_link(&group, second.id).await.unwrap());
    assert!(!world.store.revoke_group_link(&group, second.id).await.unwrap());
    assert_eq!(ask(&carol, 2, 150).await, Grown::Nothing);
    let now = START.plus_millis(100);
    world.store.forget_in_groups((now, START, START), 9).await.unwrap();
    assert_eq!(world.store.group_links(&group, START).await.unwrap(), []);
}

/// A deleted account is on no list of groups; that it is in a chain is for the others to mend.
pub async fn a_deleted_account_gets_nothing_of_its_groups<S: Subject>(subject: &S) {
    let world = World::new(subject).await;
    let (alice, bob) = (world.person("alice").await, world.person("bob").await);
    let (kept, left) = (group(&world), group(&world));
    for group in [&kept, &left] {
        create(&world, group, &alice).await;
        let join = step(group, 2, vec![becomes(&bob.account, Standing::Member, 2)], &[]);
        world.store.append_epoch(&join).await.unwrap();
    }
    world.store.append_epoch(&step(&left, 3, vec![gone(&bob.account)], &[])).await.unwrap();
    let now = START.plus_millis(SETTLE_MS + 1_000);
    world.store.begin_erasure(bob.uuid(), START).await.unwrap().unwrap();
    while world.store.erase_some(&bob.account, 1, now).await.unwrap().next != Next::Done {}
    assert_eq!(world.store.memberships(bob.uuid(), None, (9, 9)).await.unwrap(), []);
    assert_eq!(world.store.group_reader(&left, &bob.account).await.unwrap(), None);
    let people = world.store.group(&kept).await.unwrap().unwrap().people;
    let his = people.iter().find(|one| one.account == bob.account).unwrap();
    assert!(!his.is_local);
    // A later change of what he is does not bring him back.
    let promote = step(
        &kept,
        3,
        vec![becomes(&bob.account, Standing::Admin, 2)],
        &[(&alice, GroupEvent::Epoch), (&bob, GroupEvent::Epoch)],
    );
    let appended = world.store.append_epoch(&promote).await.unwrap();
    assert!(matches!(&appended, Appended::Done(told) if told.len() == 1), "{appended:?}");
    assert_eq!(world.store.memberships(bob.uuid(), None, (9, 9)).await.unwrap(), []);
}

/// Who leaves ahead of the chain is out of the group here, until the chain lets them in once more.
pub async fn a_group_is_left_ahead_of_its_chain<S: Subject>(subject: &S) {
    let world = World::new(subject).await;
    let (alice, bob) = (world.person("alice").await, world.person("bob").await);
    let group = group(&world);
    create(&world, &group, &alice).await;
    let joins = step(&group, 2, vec![becomes(&bob.account, Standing::Member, 2)], &[]);
    world.store.append_epoch(&joins).await.unwrap();
    let put = async |hash: u8| {
        let (document, bounds) = ((&[hash; 32], &[hash][..]), (9, START));
        world.store.put_pending_epoch(&group, bob.uuid(), document, bounds).await.unwrap()
    };
    let depart = async |hash: u8, at: u64| {
        let (document, at) = ((&[hash; 32], &[hash][..]), (head(at), START));
        world.store.depart(&group, bob.uuid(), document, at).await.unwrap()
    };
    let waiting = async || {
        let waiting = world.store.pending_epochs(None, 9).await.unwrap();
        waiting.into_iter().map(|one| one.hash[0]).collect::<Vec<_>>()
    };
    let reader = async || world.store.group_reader(&group, &bob.account).await.unwrap();
    let lists = async || {
        let found = world.store.memberships(bob.uuid(), None, (9, 9)).await.unwrap();
        found.into_iter().map(|one| (one.standing, one.is_leaving)).collect::<Vec<_>>()
    };
    assert_eq!(put(1).await, Grown::New);
    assert_eq!(lists().await, vec![(Standing::Member, false)]);
    // What waits gives way: it could not follow.
    assert!(depart(2, 2).await.is_some());
    assert_eq!(waiting().await, [2]);
    assert_eq!(reader().await, Some(Reader::Leaving(Standing::Member)));
    assert_eq!(lists().await, vec![(Standing::Member, true)]);
    let notice = |event, epoch| GroupNotice { event, group: group.clone(), head: head(epoch) };
    assert_eq!(notices(&world, &bob).await, [notice(GroupEvent::Gone, 2)]);
    let version = world.store.group_version(&group).await.unwrap().unwrap();
    assert_eq!((version.head, version.departures), (head(2), 1), "whoever remembers it reads anew");
    let found = world.store.group(&group).await.unwrap().unwrap();
    assert_eq!(found.version, version);
    let leaving: Vec<_> = found.people.iter().filter(|one| one.is_leaving).collect();
    assert_eq!(leaving.len(), 1, "{leaving:?}");
    assert_eq!(leaving[0].account, bob.account);
    // Signed anew, it is told once; a change by others does not bring him back.
    assert!(depart(3, 2).await.is_none());
    assert_eq!(waiting().await, [3]);
    let promote = step(&group, 3, vec![becomes(&bob.account, Standing::Admin, 2)], &[]);
    world.store.append_epoch(&promote).await.unwrap();
    assert_eq!(reader().await, Some(Reader::Leaving(Standing::Admin)));
    assert_eq!(lists().await, vec![(Standing::Admin, true)]);
    // The chain has it, and later lets him in again.
    world.store.append_epoch(&step(&group, 4, vec![gone(&bob.account)], &[])).await.unwrap();
    assert_eq!(reader().await, Some(Reader::Former(4)));
    assert_eq!(lists().await, []);
    let again = step(&group, 5, vec![becomes(&bob.account, Standing::Member, 5)], &[]);
    world.store.append_epoch(&again).await.unwrap();
    assert_eq!(reader().await, Some(Reader::Current(Standing::Member)));
    assert_eq!(lists().await, vec![(Standing::Member, false)]);
    // Who has nothing to do with a group leaves nothing.
    let stranger = world.person("stranger").await;
    let (document, at) = ((&[7; 32], &[7][..]), (head(5), START));
    let left = world.store.depart(&group, stranger.uuid(), document, at).await.unwrap();
    assert_eq!((left, waiting().await), (None, vec![3]));
}

/// What is to be told to other regions, and what waits for them, is remembered until it is done.
pub async fn what_goes_between_regions_waits<S: Subject>(subject: &S) {
    let world = World::new(subject).await;
    let alice = world.person("alice").await;
    let (one, other) = (group(&world), group(&world));
    let (us, asia) = (name("us.example"), name("asia.example"));
    for group in [&one, &other] {
        create(&world, group, &alice).await;
        for epoch in 2..=3 {
            let announce = vec![us.clone(), asia.clone()];
            let next = Step { announce, ..step(group, epoch, Vec::new(), &[]) };
            world.store.append_epoch(&next).await.unwrap();
        }
    }
    let all = world.store.untold_groups(None, 9).await.unwrap();
    assert_eq!(all.len(), 4, "{all:?}");
    assert!(all.iter().all(|(_, _, epoch)| *epoch == 3));
    let after = all.first().map(|(region, group, _)| (region, group));
    assert_eq!(world.store.untold_groups(after, 2).await.unwrap(), all[1..3]);
    world.store.told_group(&us, &one, 2).await.unwrap();
    assert_eq!(world.store.untold_groups(None, 9).await.unwrap(), all, "it lacks one still");
    world.store.told_group(&us, &one, 3).await.unwrap();
    let left = world.store.untold_groups(None, 9).await.unwrap();
    assert_eq!(left.len(), 3, "{left:?}");
    assert!(!left.contains(&(us.clone(), one.clone(), 3)));
    // What a region has not said to have is known, also of one that refuses and is left alone.
    let behind = async |group: &GroupId| world.store.regions_behind(group).await.unwrap();
    assert_eq!(behind(&one).await, [(asia.clone(), 2)]);
    world.store.told_group(&us, &other, 2).await.unwrap();
    assert_eq!(behind(&other).await, [(asia.clone(), 2), (us.clone(), 3)]);
    world.store.refused_group(&asia, &one, 3).await.unwrap();
    assert_eq!(behind(&one).await, [(asia.clone(), 2)]);
    assert!(!world.store.untold_groups(None, 9).await.unwrap().contains(&(
        asia.clone(),
        one.clone(),
        3
    )));
    let next = Step { announce: vec![asia.clone()], ..step(&one, 4, Vec::new(), &[]) };
    world.store.append_epoch(&next).await.unwrap();
    assert!(world.store.untold_groups(None, 9).await.unwrap().contains(&(
        asia.clone(),
        one.clone(),
        4
    )));
    world.store.told_group(&asia, &one, 4).await.unwrap();
    assert_eq!(behind(&one).await, []);

    let put = async |hash: u8, at: u64| {
        let (document, bounds) = ((&[hash; 32], &[hash][..]), (2, START.plus_millis(at)));
        world.store.put_pending_epoch(&one, alice.uuid(), document, bounds).await.unwrap()
    };
    assert_eq!(put(2, 20).await, Grown::New);
    assert_eq!(put(1, 10).await, Grown::New);
    assert_eq!(put(3, 30).await, Grown::Full);
    let waiting = world.store.pending_epochs(None, 9).await.unwrap();
    let hashes: Vec<u8> = waiting.iter().map(|pending| pending.hash[0]).collect();
    assert_eq!((hashes, &waiting[0].group, &waiting[0].document[..]), (vec![1, 2], &one, &[1][..]));
    assert_eq!(world.store.pending_epochs(None, 1).await.unwrap(), waiting[..1]);
    assert_eq!(world.store.pending_epochs(Some(&waiting[0]), 9).await.unwrap(), waiting[1..]);
    assert_eq!(world.store.pending_epochs(Some(&waiting[1]), 9).await.unwrap(), []);
    world.store.drop_pending_epoch(&[1; 32]).await.unwrap();
    assert_eq!(world.store.pending_epochs(None, 9).await.unwrap().len(), 1);
    let conversation = ConversationId::group(&other);
    assert_eq!(world.store.group_of(conversation).await.unwrap(), Some(other));
    assert_eq!(world.store.group_of(ConversationId([9; 16])).await.unwrap(), None);
}
