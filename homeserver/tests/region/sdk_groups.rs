//! Groups through the SDK, over real sockets.

use posthouse_client::{ClientError, Update};
use posthouse_protocol::{
    id::GroupId,
    rest::groups::{EpochStatus, Standing},
};

use super::{home::Home, sdk::Sdk};

impl Sdk {
    /// Waits until this account is something in a group, by an epoch of at least `least`.
    pub(crate) async fn in_group(&mut self, group: &GroupId, wanted: Option<Standing>, least: u64) {
        self.wait("a change of the group", |update| match update {
            Update::Group { group: of, standing, epoch } => {
                (of == group && *standing == wanted && *epoch >= least).then_some(())
            }
            _ => None,
        })
        .await;
    }

    /// Invited, and joins.
    pub(crate) async fn join(&mut self, group: &GroupId) {
        self.in_group(group, Some(Standing::Invited), 1).await;
        self.client.accept_invitation(group).await.unwrap();
    }

    /// Waits for the title of a group.
    async fn sees_title(&mut self, group: &GroupId, title: &str) {
        loop {
            if let Ok(summary) = self.client.group(group).await
                && summary.title.as_deref() == Some(title)
            {
                return;
            }
            self.wait("a title", |update| matches!(update, Update::Group { .. }).then_some(()))
                .await;
        }
    }
}

/// Ada, Ben and Cid in a group that Ada has made.
async fn three(home: &Home) -> (Sdk, Sdk, Sdk, GroupId) {
    let mut ada = Sdk::register(home, "ada").await;
    let (mut ben, mut cid) = (Sdk::register(home, "ben").await, Sdk::register(home, "cid").await);
    let people = [ben.account().clone(), cid.account().clone()];
    let group = ada.client.create_group("Hikers", &people).await.unwrap();
    ben.join(&group).await;
    cid.join(&group).await;
    for one in [&mut ada, &mut ben, &mut cid] {
        one.in_group(&group, one_standing(one, &group).await, 5).await;
    }
    (ada, ben, cid, group)
}

/// What somebody is in a group once everybody has joined.
async fn one_standing(of: &Sdk, group: &GroupId) -> Option<Standing> {
    let is_owner = of.client.members(group).await.unwrap()[..]
        .iter()
        .any(|one| one.account == *of.account() && one.standing == Standing::Owner);
    Some(if is_owner { Standing::Owner } else { Standing::Member })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_group_is_made_joined_renamed_and_left() {
    let home = Home::start().await;
    let (mut ada, mut ben, mut cid, group) = three(&home).await;
    let names = |of: &Sdk| {
        let (client, group) = (of.client.clone(), group.clone());
        async move {
            let members = client.members(&group).await.unwrap();
            members.into_iter().map(|one| (one.account, one.standing)).collect::<Vec<_>>()
        }
    };
    let all = names(&ada).await;
    assert_eq!(all.len(), 3);
    assert_eq!((names(&ben).await, names(&cid).await), (all.clone(), all));
    ben.sees_title(&group, "Hikers").await;
    cid.sees_title(&group, "Hikers").await;

    let vain = ben.client.rename(&group, "Mine").await;
    assert!(matches!(vain, Err(ClientError::Group(_))), "{vain:?}");
    ada.client.set_role(&group, ben.account(), Standing::Admin).await.unwrap();
    ben.in_group(&group, Some(Standing::Admin), 6).await;
    // Two admins at once: both changes come through, one of them signed again.
    let (one, other) = tokio::join!(
        ada.client.set_role(&group, cid.account(), Standing::Admin),
        ben.client.rename(&group, "Climbers"),
    );
    assert_eq!((one.unwrap(), other.unwrap()), (EpochStatus::Taken, EpochStatus::Taken));
    for one in [&mut ada, &mut cid] {
        one.sees_title(&group, "Climbers").await;
    }
    cid.client.leave(&group).await.unwrap();
    cid.in_group(&group, None, 9).await;
    ada.in_group(&group, Some(Standing::Owner), 9).await;
    ada.client.remove(&group, ben.account()).await.unwrap();
    ben.in_group(&group, None, 10).await;
    assert_eq!(names(&ada).await, [(ada.account().clone(), Standing::Owner)]);
    let listed = ada.client.groups().await.unwrap();
    assert_eq!((listed.len(), listed[0].members, listed[0].epoch), (1, 1, 10));
    let gone = ben.client.accept_invitation(&group).await;
    assert!(matches!(gone, Err(ClientError::Group(_))), "{gone:?}");
    let unknown = GroupId { uuid: ben.account().uuid, server: group.server.clone() };
    assert!(matches!(ben.client.leave(&unknown).await, Err(ClientError::UnknownGroup)));
}
