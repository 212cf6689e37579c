//! Making a group of all users: each is invited by the owner and accepts.

use posthouse_crypto::e2ee::{
    primitives::curve::KeyPair,
    signed::group_epoch::{Change, GroupEpoch, GroupState, Person, SignedGroupEpoch},
    time::UnixMillis,
};
use posthouse_protocol::{
    id::{AccountId, GroupId},
    rest::{
        groups::{EpochDocument, SubmitEpoch},
        keys::{EcKey, SetIdentity},
    },
};
use rand::{SeedableRng as _, rngs::StdRng};
use uuid::Uuid;

use crate::{failure::Failure, report::Console, users::User};

/// A group as its sender knows it.
pub(super) struct Group {
    pub(super) address: String,
    pub(super) epoch: u64,
}

/// Somebody with an identity key.
struct Signer<'a> {
    user: &'a User,
    identity: KeyPair,
}

impl Signer<'_> {
    fn person(&self) -> Person {
        Person { account: self.user.address.clone(), identity: self.identity.public }
    }

    fn sign(&self, epoch: &GroupEpoch, rng: &mut StdRng) -> SignedGroupEpoch {
        epoch.sign(&self.identity.private, rng)
    }
}

/// Makes it.
pub(super) async fn make(users: &[User]) -> Result<Group, Failure> {
    let mut rng = StdRng::seed_from_u64(rand::random_range(0..u64::MAX));
    let mut signers = Vec::with_capacity(users.len());
    for user in users {
        let identity = KeyPair::generate(&mut rng);
        let request = SetIdentity { identity_key: EcKey(identity.public), password: None };
        user.api().set_identity(&user.access, &request).await?;
        signers.push(Signer { user, identity });
        Console::progress(format_args!("{} of {} identities", signers.len(), users.len()));
    }
    let Some((owner, others)) = signers.split_first() else { return Err(Failure::Nothing) };
    let wrong = |err: &dyn core::fmt::Display| Failure::Group(err.to_string());
    let account = AccountId::parse(&owner.user.address).map_err(|err| wrong(&err))?;
    let id = Uuid::from_u128(rand::random_range(0..u128::MAX));
    let group = GroupId::parse(&format!("g.{id}@{}", account.server)).map_err(|err| wrong(&err))?;
    let issued = UnixMillis(now_ms());
    let first = GroupEpoch {
        group: group.to_string(),
        epoch: 1,
        previous: None,
        actor: Some(owner.user.address.clone()),
        change: Change::Create {
            owner: owner.person(),
            region: account.server.to_string(),
            title: b"bench".to_vec(),
        },
        issued,
    };
    let first = owner.sign(&first, &mut rng);
    let request = SubmitEpoch { epoch: EpochDocument(first.clone()) };
    owner.user.api().create_group(&owner.user.access, &request).await?;
    let mut state = GroupState::create(&group.to_string(), &first).map_err(|err| wrong(&err))?;
    for (number, one) in others.iter().enumerate() {
        for (actor, change) in [(owner, Change::Invite(one.person())), (one, Change::Accept)] {
            let epoch = state.propose(&actor.user.address, change, issued);
            let epoch = actor.sign(&epoch, &mut rng);
            submit(actor.user, &group, &epoch).await?;
            state = state.apply(&epoch).map_err(|err| wrong(&err))?;
        }
        Console::progress(format_args!("{} of {} members joined", number + 1, others.len()));
    }
    Ok(Group { address: group.to_string(), epoch: state.epoch() })
}

async fn submit(user: &User, group: &GroupId, epoch: &SignedGroupEpoch) -> Result<(), Failure> {
    /// An invited person's region hears of the invitation a moment later.
    const TRIES: u32 = 200;
    let request = SubmitEpoch { epoch: EpochDocument(epoch.clone()) };
    let mut last = None;
    for _ in 0..TRIES {
        match user.api().submit_epoch(&user.access, group, &request).await {
            Ok(_) => return Ok(()),
            Err(err) => last = Some(err),
        }
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    Err(last.map_or(Failure::Nothing, Into::into))
}

#[expect(clippy::disallowed_methods, reason = "a load generator has a clock of its own")]
fn now_ms() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.map_or(0, |since| u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}
