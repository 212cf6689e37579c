//! Who invites to a group is who has signed it.

use posthouse_crypto::e2ee::signed::group_epoch::{Change, GroupRole};
use posthouse_protocol::rest::groups::Standing;

use super::{
    groups::{Region, named},
    world::Device,
};

#[tokio::test]
async fn who_invites_is_known_by_what_they_signed() {
    let mut region = Region::with(&["ada", "ben"]).await;
    let [ada, ben] = [0, 1].map(|at| region.devices[at].account().clone());
    let mut cid = Device::new("cid", 7);
    cid.connect(&mut Device::new("spare", 99)).await;
    let (account, invited) = (cid.account().clone(), named(&cid));
    region.devices.push(cid);
    region.act(0, Change::SetRole { account: ben.to_string(), role: GroupRole::Admin });
    region.act(1, Change::Invite(invited.clone()));
    region.tell(2).await;
    let known = region.devices[2].group(&region.group).await;
    assert_eq!(known.standing(&account), Some(Standing::Invited));
    assert_eq!(known.invited_by(&account), Some(ben));
    // Declined, and invited once more, by somebody else.
    region.act(2, Change::Leave);
    region.act(0, Change::Invite(invited));
    region.tell(2).await;
    let known = region.devices[2].group(&region.group).await;
    assert_eq!(known.invited_by(&account), Some(ada));
    // A member is no guest any more, and who invited others is not told of.
    region.act(2, Change::Accept);
    region.tell(2).await;
    assert_eq!(region.devices[2].group(&region.group).await.invited_by(&account), None);
    region.tell(0).await;
    assert_eq!(region.devices[0].group(&region.group).await.invited_by(&account), None);
}
