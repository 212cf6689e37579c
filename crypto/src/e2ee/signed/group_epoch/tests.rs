//! Chains of epochs, and what is not believed.

use rand::{SeedableRng, rngs::StdRng};

use super::*;
use crate::e2ee::primitives::curve::KeyPair;

const GROUP: &str = "g.99999999-9999-4999-8999-999999999999@north.test";

/// The identity key of a person, always the same.
fn key(name: &str) -> KeyPair {
    let seed = name.bytes().fold(0, |sum, byte| sum * 256 + u64::from(byte));
    KeyPair::generate(&mut StdRng::seed_from_u64(seed))
}

fn person(name: &str) -> Person {
    Person { account: name.to_owned(), identity: key(name).public }
}

fn sign(epoch: &GroupEpoch, signer: &str) -> SignedGroupEpoch {
    let document = epoch.sign(&key(signer).private, &mut StdRng::seed_from_u64(1));
    SignedGroupEpoch::from_bytes(&document.to_bytes()).unwrap()
}

fn created() -> GroupState {
    let change = Change::Create {
        owner: person("olga"),
        region: "north.test".to_owned(),
        title: vec![1, 2, 3],
    };
    let epoch = GroupEpoch {
        group: GROUP.to_owned(),
        epoch: 1,
        previous: None,
        actor: Some("olga".to_owned()),
        change,
        issued: UnixMillis(1),
    };
    GroupState::create(GROUP, &sign(&epoch, "olga")).unwrap()
}

fn act(state: &GroupState, actor: &str, change: Change) -> Result<GroupState, EpochError> {
    state.apply(&sign(&state.propose(actor, change, UnixMillis(2)), actor))
}

/// Olga owns, Adam and Anna are admins, Mia and Max are members, in this order.
fn peopled() -> GroupState {
    let mut state = created();
    for name in ["mia", "adam", "anna", "max"] {
        state = act(&state, "olga", Change::Add(person(name))).unwrap();
    }
    for name in ["adam", "anna"] {
        state = act(&state, "olga", role(name, GroupRole::Admin)).unwrap();
    }
    state
}

fn role(name: &str, role: GroupRole) -> Change {
    Change::SetRole { account: name.to_owned(), role }
}

#[test]
fn a_server_can_add_nobody() {
    let state = peopled();
    let ghost = state.propose("olga", Change::Add(person("ghost")), UnixMillis(3));
    assert_eq!(state.apply(&sign(&ghost, "server")), Err(EpochError::Signature));
    let stranger = state.propose("server", Change::Add(person("ghost")), UnixMillis(3));
    assert!(matches!(state.apply(&sign(&stranger, "server")), Err(EpochError::NotAllowed(_))));
    let nobody = GroupEpoch { actor: None, ..ghost };
    assert!(matches!(state.apply(&nobody.unsigned()), Err(EpochError::NotAllowed(_))));
}

#[test]
fn roles_allow_what_they_should() {
    let state = peopled();
    let remove = |name: &str| Change::Remove(name.to_owned());
    let refused = |state: &GroupState, actor: &str, change: &Change, rule: &str| {
        let err = act(state, actor, change.clone()).unwrap_err();
        let want = format!("the actor may not make this change: {rule}");
        assert_eq!(err.to_string(), want, "{change:?}");
    };
    let (owner, admin) = ("only an owner may", "only an admin or owner may");
    // Members write and leave, and nothing else.
    for (change, rule) in [
        (Change::Add(person("new")), admin),
        (Change::Invite(person("new")), admin),
        (remove("max"), admin),
        (Change::Rename(vec![9]), admin),
        (role("mia", GroupRole::Admin), owner),
        (Change::SetDeputies(vec!["south.test".to_owned()]), owner),
        (
            Change::TakeOver("north.test".to_owned()),
            "a region takes over without anybody's signature",
        ),
    ] {
        refused(&state, "mia", &change, rule);
    }
    // Admins manage members.
    for change in [
        Change::Add(person("new")),
        Change::Invite(person("new")),
        remove("max"),
        Change::Rename(vec![9]),
    ] {
        assert!(act(&state, "adam", change.clone()).is_ok(), "{change:?}");
    }
    let given_up = "an owner's role is given up by that owner, and not by the last one";
    let above = "only an owner removes an admin, and nobody an owner";
    for (change, rule) in [
        (remove("anna"), above),
        (remove("olga"), above),
        (remove("nobody"), "the person is neither a member nor invited"),
        (role("max", GroupRole::Admin), owner),
        (role("adam", GroupRole::Owner), owner),
        (Change::SetDeputies(vec![]), owner),
        (Change::Add(person("mia")), "the person is a member already"),
        (Change::Invite(person("mia")), "the person is a member already"),
    ] {
        refused(&state, "adam", &change, rule);
    }
    // Owners do all, but nobody takes an owner's role.
    let two = act(&state, "olga", role("adam", GroupRole::Owner)).unwrap();
    refused(&two, "olga", &remove("adam"), above);
    refused(&two, "olga", &role("adam", GroupRole::Member), given_up);
    assert!(act(&two, "adam", role("adam", GroupRole::Member)).is_ok());
    refused(&state, "olga", &role("olga", GroupRole::Admin), given_up);
    let nobody = "who is to have the role is no member";
    refused(&state, "olga", &role("nobody", GroupRole::Admin), nobody);
}

#[test]
fn who_is_invited_joins_by_its_own_signature() {
    let state = act(&peopled(), "adam", Change::Invite(person("new"))).unwrap();
    let accept = state.propose("new", Change::Accept, UnixMillis(3));
    assert_eq!(state.apply(&sign(&accept, "adam")), Err(EpochError::Signature));
    assert!(matches!(act(&state, "other", Change::Accept), Err(EpochError::NotAllowed(_))));
    let joined = act(&state, "new", Change::Accept).unwrap();
    assert_eq!(joined.members()["new"].role, GroupRole::Member);
    assert_eq!(joined.invited().count(), 0);
    let withdrawn = act(&state, "adam", Change::Remove("new".to_owned())).unwrap();
    assert!(matches!(act(&withdrawn, "new", Change::Accept), Err(EpochError::NotAllowed(_))));
}

#[test]
fn who_is_invited_declines_by_its_own_signature() {
    let state = act(&peopled(), "adam", Change::Invite(person("new"))).unwrap();
    let refusal = state.propose("new", Change::Leave, UnixMillis(3));
    assert_eq!(state.apply(&sign(&refusal, "adam")), Err(EpochError::Signature));
    assert!(matches!(act(&state, "other", Change::Leave), Err(EpochError::NotAllowed(_))));
    let declined = act(&state, "new", Change::Leave).unwrap();
    assert_eq!(declined.invited().count(), 0);
    assert_eq!(declined.members(), state.members());
    assert!(matches!(act(&declined, "new", Change::Accept), Err(EpochError::NotAllowed(_))));
    assert!(matches!(act(&declined, "new", Change::Leave), Err(EpochError::NotAllowed(_))));
    // Who is invited does nothing else.
    for change in [Change::Rename(vec![1]), Change::Remove("mia".to_owned())] {
        assert!(matches!(act(&state, "new", change), Err(EpochError::NotAllowed(_))));
    }
}

#[test]
fn the_role_of_the_last_owner_passes_on_by_itself() {
    let owner = |state: &GroupState| {
        let mut owners =
            state.members().iter().filter(|(_, member)| member.role == GroupRole::Owner);
        let owner = owners.next().map(|(name, _)| name.clone());
        assert_eq!(owners.count(), 0);
        owner
    };
    let mut state = peopled();
    let without = act(&state, "mia", Change::Leave).unwrap();
    assert_eq!(owner(&without).as_deref(), Some("olga"), "as long as there is one, nobody else");
    for (leaves, heir) in [("olga", "adam"), ("adam", "anna"), ("anna", "mia"), ("mia", "max")] {
        state = act(&state, leaves, Change::Leave).unwrap();
        assert_eq!(owner(&state).as_deref(), Some(heir));
    }
    state = act(&state, "max", Change::Leave).unwrap();
    assert!(state.members().is_empty());
}

#[test]
fn a_deputy_region_takes_over_by_an_earlier_grant_only() {
    let state = peopled();
    let south = || Change::TakeOver("south.test".to_owned());
    let take_over = |state: &GroupState| {
        let epoch = GroupEpoch { actor: None, ..state.propose("x", south(), UnixMillis(3)) };
        state.apply(&epoch.unsigned())
    };
    assert!(matches!(take_over(&state), Err(EpochError::NotAllowed(_))));
    let granted = act(&state, "olga", Change::SetDeputies(vec!["south.test".to_owned()])).unwrap();
    let taken = take_over(&granted).unwrap();
    assert_eq!(taken.region(), "south.test");
    assert_eq!(taken.members(), granted.members());
}

#[test]
fn chains_are_neither_turned_back_nor_forked_nor_broken() {
    let before = peopled();
    let next = sign(&before.propose("olga", Change::Rename(vec![1]), UnixMillis(5)), "olga");
    let other = sign(&before.propose("olga", Change::Rename(vec![2]), UnixMillis(5)), "olga");
    let state = before.apply(&next).unwrap();
    assert_eq!(state.apply(&next), Err(EpochError::AlreadyKnown));
    assert_eq!(state.apply(&other), Err(EpochError::Fork));
    let later = act(&state, "olga", Change::Rename(vec![3])).unwrap();
    assert_eq!(later.apply(&next), Err(EpochError::Rollback { known: later.epoch() }));
    let far = sign(&later.propose("olga", Change::Rename(vec![4]), UnixMillis(5)), "olga");
    assert_eq!(before.apply(&far), Err(EpochError::Gap { from: before.epoch() + 1 }));
    let mut wrong = state.propose("olga", Change::Rename(vec![5]), UnixMillis(5));
    wrong.previous = Some([0; 32]);
    assert_eq!(state.apply(&sign(&wrong, "olga")), Err(EpochError::Fork));
    wrong.group = "g.other@north.test".to_owned();
    assert_eq!(state.apply(&sign(&wrong, "olga")), Err(EpochError::OtherGroup));
}

#[test]
fn a_removed_member_signs_nothing_more() {
    let state = act(&peopled(), "olga", Change::Remove("adam".to_owned())).unwrap();
    assert!(matches!(
        act(&state, "adam", Change::Add(person("new"))),
        Err(EpochError::NotAllowed(_))
    ));
    assert!(matches!(act(&state, "adam", Change::Leave), Err(EpochError::NotAllowed(_))));
}

#[test]
fn a_group_has_1024_members_at_most() {
    let mut state = created();
    let olga = state.members()["olga"];
    for n in 1..MAX_MEMBERS {
        state.members.insert(format!("m{n}"), Member { role: GroupRole::Member, ..olga });
    }
    assert_eq!(act(&state, "olga", Change::Add(person("new"))), Err(EpochError::Full));
}

#[test]
fn a_first_epoch_must_be_signed_by_its_owner_and_create() {
    let epoch = |change: Change| GroupEpoch {
        group: GROUP.to_owned(),
        epoch: 1,
        previous: None,
        actor: Some("olga".to_owned()),
        change,
        issued: UnixMillis(1),
    };
    let create =
        Change::Create { owner: person("olga"), region: "north.test".to_owned(), title: vec![] };
    let by_server = GroupState::create(GROUP, &sign(&epoch(create.clone()), "server"));
    assert_eq!(by_server, Err(EpochError::Signature));
    let no_create = GroupState::create(GROUP, &sign(&epoch(Change::Leave), "olga"));
    assert!(matches!(no_create, Err(EpochError::NotAllowed(_))));
    let late = GroupEpoch { epoch: 2, ..epoch(create.clone()) };
    let late = GroupState::create(GROUP, &sign(&late, "olga"));
    assert!(matches!(late, Err(EpochError::Malformed(_))));
    let elsewhere = GroupState::create("g.other@north.test", &sign(&epoch(create), "olga"));
    assert_eq!(elsewhere, Err(EpochError::OtherGroup));
}

#[test]
fn the_payload_has_these_bytes() {
    let state = created();
    let epoch = state.propose("olga", Change::Add(person("mia")), UnixMillis(7));
    insta::assert_snapshot!(crate::e2ee::testing::hex(&epoch.payload()), @r#"a70001017831672e39393939393939392d393939392d343939392d383939392d393939393939393939393939406e6f7274682e746573740202035820d52e7cbfb3b358b69eb96846d3247ec7944d54c38726a4dedb9ae8125ddb721204646f6c6761058303636d696158210564a97cadcb3ab578050fb415efe9b119f92a2b5743f8a3ccb80adc0813252b2e0607"#);
}

#[test]
fn a_state_tells_what_its_chain_says() {
    let state = act(&peopled(), "olga", Change::Invite(person("new"))).unwrap();
    let deputies = vec!["south.test".to_owned()];
    let last =
        sign(&state.propose("olga", Change::SetDeputies(deputies.clone()), UnixMillis(9)), "olga");
    let state = state.apply(&last).unwrap();
    assert_eq!((state.group(), state.epoch()), (GROUP, 9));
    assert_eq!((state.region(), state.title()), ("north.test", [1, 2, 3].as_slice()));
    assert_eq!(*state.hash(), last.hash());
    assert_eq!(state.deputies(), deputies);
    assert_eq!(state.invited().collect::<Vec<_>>(), [person("new")]);
    assert_eq!(state.invitations().collect::<Vec<_>>(), [("new", &key("new").public)]);
    assert!(state.is_invited("new") && !state.is_invited("mia"));
    let joined: Vec<u64> =
        ["olga", "mia", "adam", "anna", "max"].map(|name| state.members()[name].joined).to_vec();
    assert_eq!(joined, [1, 2, 3, 4, 5], "the epoch in which each joined");
    let restored = GroupState::restore(GroupParts {
        group: state.group().to_owned(),
        epoch: state.epoch(),
        hash: *state.hash(),
        region: state.region().to_owned(),
        title: state.title().to_vec(),
        members: state.members().clone(),
        invited: state.invitations().map(|(name, key)| (name.to_owned(), *key)).collect(),
        deputies: state.deputies().to_vec(),
    });
    assert_eq!(restored, state);
    assert_eq!(last.unverified().unwrap().actor.as_deref(), Some("olga"));
}

#[test]
fn a_takeover_is_nobodys_signed_act() {
    let granted =
        act(&peopled(), "olga", Change::SetDeputies(vec!["south.test".to_owned()])).unwrap();
    let change = Change::TakeOver("south.test".to_owned());
    let epoch = GroupEpoch { actor: None, ..granted.propose("x", change, UnixMillis(3)) };
    assert!(granted.apply(&epoch.unsigned()).is_ok());
    assert!(matches!(granted.apply(&sign(&epoch, "olga")), Err(EpochError::NotAllowed(_))));
}

#[test]
fn a_first_epoch_begins_a_chain_by_its_owners_own_hand() {
    let owner = person("olga");
    let first = GroupEpoch {
        group: GROUP.to_owned(),
        epoch: 1,
        previous: None,
        actor: Some("olga".to_owned()),
        change: Change::Create { owner, region: "north.test".to_owned(), title: vec![] },
        issued: UnixMillis(1),
    };
    for wrong in [
        GroupEpoch { actor: Some("mia".to_owned()), ..first.clone() },
        GroupEpoch { actor: None, ..first.clone() },
        GroupEpoch { previous: Some([0; 32]), ..first.clone() },
        GroupEpoch { epoch: 0, ..first.clone() },
    ] {
        let refused = GroupState::create(GROUP, &sign(&wrong, "olga"));
        assert!(matches!(refused, Err(EpochError::Malformed(_))), "{wrong:?}");
    }
    assert!(GroupState::create(GROUP, &sign(&first, "olga")).is_ok());
}

#[test]
fn invitations_and_deputies_are_bounded() {
    let mut state = created();
    for n in 0..MAX_INVITED - 1 {
        state.invited.insert(format!("m{n}"), key("olga").public);
    }
    let full = act(&state, "olga", Change::Invite(person("last"))).unwrap();
    assert_eq!(full.invited().count(), MAX_INVITED);
    assert_eq!(act(&full, "olga", Change::Invite(person("more"))), Err(EpochError::Full));
    let regions = |n: usize| Change::SetDeputies((0..n).map(|n| format!("r{n}.test")).collect());
    let eight = act(&state, "olga", regions(MAX_DEPUTIES)).unwrap();
    assert_eq!(eight.deputies().len(), 8);
    assert!(matches!(
        act(&state, "olga", regions(MAX_DEPUTIES + 1)),
        Err(EpochError::Malformed(_))
    ));
    let title = |len: usize| Change::Rename(vec![7; len]);
    assert!(act(&state, "olga", title(MAX_TITLE_LEN)).is_ok());
    assert!(matches!(act(&state, "olga", title(MAX_TITLE_LEN + 1)), Err(EpochError::Malformed(_))));
    assert_eq!((MAX_MEMBERS, MAX_INVITED, MAX_TITLE_LEN), (1_024, 1_024, 4_096));
}
