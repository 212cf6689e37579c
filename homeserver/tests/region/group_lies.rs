//! What another region may say of people of this one: nobody is put into a group by a made-up chain.

use posthouse_crypto::e2ee::{
    primitives::curve::KeyPair,
    signed::group_epoch::{Change, GroupEpoch, GroupState, Person, SignedGroupEpoch},
    time::UnixMillis,
};
use posthouse_protocol::{
    federation::query::groups::{GroupAct, GroupAnswer, GroupOutcome, GroupQuestion},
    id::{GroupId, ServerName},
};
use rand::{SeedableRng as _, rngs::StdRng};
use uuid::Uuid;

use super::{home::Home, signer::Signer};

/// A region that makes up a group with its own Mallory in it.
struct Liar {
    name: ServerName,
    group: GroupId,
    mallory: Person,
    key: KeyPair,
    rng: StdRng,
    chain: Vec<SignedGroupEpoch>,
    state: GroupState,
}

impl Liar {
    fn new(number: u128) -> Self {
        let mut rng = StdRng::seed_from_u64(7);
        let name = ServerName::parse("liar.example").unwrap();
        let group = GroupId { uuid: Uuid::from_u128(number), server: name.clone() };
        let key = KeyPair::generate(&mut rng);
        let account = format!("{}@{name}", Uuid::from_u128(1));
        let mallory = Person { account, identity: key.public };
        let create =
            Change::Create { owner: mallory.clone(), region: name.to_string(), title: vec![] };
        let first = GroupEpoch {
            group: group.to_string(),
            epoch: 1,
            previous: None,
            actor: Some(mallory.account.clone()),
            change: create,
            issued: UnixMillis(1_700_000_000_000),
        };
        let first = first.sign(&key.private, &mut rng);
        let state = GroupState::create(&group.to_string(), &first).unwrap();
        Self { name, group, mallory, key, rng, chain: vec![first], state }
    }

    fn append(&mut self, actor: &Person, key: &KeyPair, change: Change) {
        let issued = UnixMillis(1_700_000_000_000);
        let epoch = self.state.propose(&actor.account, change, issued);
        let epoch = epoch.sign(&key.private, &mut self.rng);
        self.state = self.state.apply(&epoch).unwrap();
        self.chain.push(epoch);
    }

    fn mallory(&mut self, change: Change) {
        let (mallory, key) = (self.mallory.clone(), self.key.clone());
        self.append(&mallory, &key, change);
    }

    async fn push(&self, home: &Home) -> GroupAnswer {
        let documents = self.chain.iter().map(SignedGroupEpoch::to_bytes).collect();
        let question = GroupQuestion { group: self.group.clone(), act: GroupAct::Push(documents) };
        home.region().peer_groups().group(&self.name, question).await.unwrap()
    }
}

async fn standing(home: &Home, of: &Signer) -> Vec<(String, String)> {
    let answer = of.get(home, "/v1/groups").await;
    let groups = answer.body["groups"].as_array().unwrap().clone();
    let text = |value: &serde_json::Value| value.as_str().unwrap().to_owned();
    groups.iter().map(|group| (text(&group["group_id"]), text(&group["role"]))).collect()
}

#[tokio::test]
async fn a_region_cannot_make_somebody_join_with_a_key_that_is_not_theirs() {
    let home = Home::start().await;
    let ada = Signer::new(&home, "ada").await;
    let mut liar = Liar::new(1);
    let forged = KeyPair::generate(&mut liar.rng);
    let as_ada = Person { account: ada.id(), identity: forged.public };
    liar.mallory(Change::Invite(as_ada.clone()));
    assert_eq!(liar.push(&home).await.outcome, GroupOutcome::Done, "she may be invited");
    liar.append(&as_ada, &forged, Change::Accept);
    assert_eq!(liar.push(&home).await.outcome, GroupOutcome::Refused);
    let invited = (liar.group.to_string(), "invited".to_owned());
    assert_eq!(standing(&home, &ada).await, [invited]);
}

#[tokio::test]
async fn a_region_cannot_add_somebody_who_does_not_let_it() {
    let home = Home::start().await;
    let ada = Signer::new(&home, "ada").await;
    let mut liar = Liar::new(2);
    liar.mallory(Change::Add(ada.person()));
    let answer = liar.push(&home).await;
    assert_eq!(answer.outcome, GroupOutcome::Refused);
    assert_eq!(answer.reason.as_deref(), Some("consent_needed"));
    assert_eq!(standing(&home, &ada).await, []);
}

#[tokio::test]
async fn a_region_cannot_begin_a_group_in_somebody_elses_name() {
    let home = Home::start().await;
    let ada = Signer::new(&home, "ada").await;
    let mut liar = Liar::new(3);
    let forged = KeyPair::generate(&mut liar.rng);
    let owner = Person { account: ada.id(), identity: forged.public };
    let region = liar.name.to_string();
    let first = GroupEpoch {
        group: liar.group.to_string(),
        epoch: 1,
        previous: None,
        actor: Some(ada.id()),
        change: Change::Create { owner, region, title: vec![] },
        issued: UnixMillis(1_700_000_000_000),
    };
    liar.chain = vec![first.sign(&forged.private, &mut liar.rng)];
    assert_eq!(liar.push(&home).await.outcome, GroupOutcome::Refused);
    assert_eq!(standing(&home, &ada).await, []);
}
