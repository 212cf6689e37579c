//! Invitations.

use posthouse_protocol::id::HandleName;
use uuid::Uuid;

use super::{
    Store, Subject,
    world::{START, World},
};
use crate::{
    accounts::{Accounts, CreateAccount, NewAccount, PasswordHash},
    invites::{Invites, NewInvite},
};

const DAY: u64 = 86_400_000;

fn invite(id: &str, uses: u32) -> NewInvite {
    let mut hash = [0; 32];
    hash[..id.len()].copy_from_slice(id.as_bytes());
    let expires_at = START.plus_millis(DAY);
    NewInvite { id: id.to_owned(), hash, uses, created_at: START, expires_at }
}

async fn register<S: Store>(
    world: &World<S>,
    handle: &str,
    invite: [u8; 32],
    after: u64,
) -> CreateAccount {
    let at = START.plus_millis(after);
    let id = world.id();
    let device = world.new_device(id, at);
    let session = world.new_session(&device, at);
    let account = NewAccount {
        id,
        handle: HandleName::parse(handle).unwrap(),
        password_hash: PasswordHash("x".to_owned()),
        invite: Some(invite),
        created_at: at,
    };
    world.store.create_account(&account, &device, &session).await.unwrap()
}

fn is_created(created: &CreateAccount) -> bool {
    matches!(created, CreateAccount::Created(_))
}

/// Each use registers one account, and a registration that fails gives its use back.
pub async fn an_invitation_has_so_many_uses<S: Subject>(subject: &S) {
    let world = World::new(subject).await;
    let two = invite("two", 2);
    assert!(world.store.create_invite(&two).await.unwrap());
    assert!(!world.store.create_invite(&two).await.unwrap(), "the id is taken");
    assert!(is_created(&register(&world, "ada", two.hash, 0).await));
    let taken = register(&world, "ada", two.hash, 0).await;
    assert_eq!(taken, CreateAccount::HandleTaken);
    assert_eq!(world.store.invites(10).await.unwrap()[0].used, 1);
    assert!(is_created(&register(&world, "ben", two.hash, 0).await));
    // Whether the handle is taken is not told without an invitation.
    assert_eq!(register(&world, "ada", two.hash, 0).await, CreateAccount::InviteRefused);
    let nobody = HandleName::parse("cem").unwrap();
    assert_eq!(register(&world, "cem", two.hash, 0).await, CreateAccount::InviteRefused);
    assert_eq!(world.store.account_by_handle(&nobody).await.unwrap(), None);
    subject.close(world.store).await;
}

/// Unknown, expired and withdrawn ones get the same refusal.
pub async fn invitations_end<S: Subject>(subject: &S) {
    let world = World::new(subject).await;
    let (one, other) = (invite("one", 5), invite("other", 5));
    assert!(world.store.create_invite(&one).await.unwrap());
    assert!(world.store.create_invite(&other).await.unwrap());
    assert_eq!(register(&world, "ada", [7; 32], 0).await, CreateAccount::InviteRefused);
    assert_eq!(register(&world, "ada", one.hash, DAY).await, CreateAccount::InviteRefused);
    assert!(world.store.withdraw_invite("other").await.unwrap());
    assert!(!world.store.withdraw_invite("other").await.unwrap());
    assert_eq!(register(&world, "ada", other.hash, 0).await, CreateAccount::InviteRefused);
    let ids: Vec<String> =
        world.store.invites(10).await.unwrap().into_iter().map(|invite| invite.id).collect();
    assert_eq!(ids, ["one"]);
    assert_eq!(world.store.forget_invites(one.expires_at, 10).await.unwrap(), 0);
    let later = one.expires_at.plus_millis(1);
    assert_eq!(world.store.forget_invites(later, 10).await.unwrap(), 1);
    subject.close(world.store).await;
}

/// Many registrations at once do not share a use.
pub async fn uses_are_counted_under_concurrency<S: Subject>(subject: &S) {
    let world = std::sync::Arc::new(World::new(subject).await);
    let three = invite("three", 3);
    assert!(world.store.create_invite(&three).await.unwrap());
    let mut registering = tokio::task::JoinSet::new();
    for n in 0..8 {
        let (world, hash) = (std::sync::Arc::clone(&world), three.hash);
        registering
            .spawn(async move { is_created(&register(&world, &format!("p{n}"), hash, 0).await) });
    }
    let created = registering.join_all().await.into_iter().filter(|created| *created).count();
    assert_eq!(created, 3);
    assert_eq!(world.store.existing(&[Uuid::nil()]).await.unwrap(), [false]);
    subject.close(world.store.clone()).await;
}
