//! Groups through the SDK, over real sockets.

use std::time::Duration;

use posthouse_client::{Change, ClientError, Home as Homeserver, NewAccount, SqliteStore, Update};
use posthouse_protocol::{
    id::{GroupId, MessageId},
    rest::groups::{EpochStatus, Standing},
    status::Status,
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
    pub(crate) async fn sees_title(&mut self, group: &GroupId, title: &str) {
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

impl Sdk {
    /// Waits until so many of so many members have a message.
    async fn counted(&mut self, id: MessageId, wanted: (u64, u64)) {
        self.wait("a count", |update| match update {
            Update::Delivered { id: of, delivered, audience, .. } if *of == id => {
                ((*delivered, *audience) == wanted).then_some(())
            }
            _ => None,
        })
        .await;
    }

    /// Waits for a text of the group.
    pub(crate) async fn hears(&mut self, group: &GroupId, text: &str) -> MessageId {
        let entry = self.message().await;
        assert_eq!((entry.said.text(), entry.group.as_ref()), (Some(text), Some(group)));
        entry.id
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn three_talk_and_the_readers_are_counted() {
    let home = Home::start().await;
    let (mut ada, mut ben, mut cid, group) = three(&home).await;
    let first = ada.client.send_to_group(&group, "helo").await.unwrap();
    for one in [&mut ben, &mut cid] {
        assert_eq!(one.hears(&group, "helo").await, first);
    }
    ada.counted(first, (2, 2)).await;
    ada.status(first, Status::Delivered).await;
    let answer = ben.client.reply_in_group(&group, first, "hello").await.unwrap();
    assert_eq!(ada.hears(&group, "hello").await, answer);
    assert_eq!(cid.hears(&group, "hello").await, answer);
    ben.counted(answer, (2, 2)).await;
    ada.client.edit_in_group(&group, first, "hello all").await.unwrap();
    cid.client.react_in_group(&group, answer, "👍").await.unwrap();
    // Only who wrote a message takes it back.
    cid.client.delete_in_group(&group, first).await.unwrap();
    let changed = |wanted: MessageId, how: Change| {
        move |update: &Update| match update {
            Update::Changed { id, change, .. } if *id == wanted && *change == how => Some(()),
            _ => None,
        }
    };
    for one in [&mut ada, &mut ben] {
        one.wait("the vain deletion", changed(first, Change::Deleted)).await;
    }
    for of in [&ada, &ben] {
        let seen = of.client.group_timeline(&group, None, 10).await.unwrap();
        let texts: Vec<_> = seen.iter().map(|entry| entry.said.text().unwrap()).collect();
        assert_eq!(texts, ["hello all", "hello"]);
        assert_eq!(seen[1].reactions, [(cid.account().clone(), "👍".to_owned())]);
        assert!(seen[0].edited);
    }
    let unread = |of: &Sdk| {
        let (client, group) = (of.client.clone(), group.clone());
        async move { client.group(&group).await.unwrap().unread }
    };
    assert_eq!((unread(&ada).await, unread(&cid).await), (1, 2));
    cid.client.mark_group_read(&group).await.unwrap();
    assert_eq!(unread(&cid).await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_joins_gets_the_key_and_who_was_removed_hears_no_more() {
    let home = Home::start().await;
    let (mut ada, mut ben, mut cid, group) = three(&home).await;
    ada.client.send_to_group(&group, "one").await.unwrap();
    ben.hears(&group, "one").await;
    cid.hears(&group, "one").await;
    ada.client.remove(&group, cid.account()).await.unwrap();
    cid.in_group(&group, None, 6).await;
    // Ben may not know of it yet: his message is sent again for those who are left.
    ben.client.send_to_group(&group, "two").await.unwrap();
    ada.hears(&group, "two").await;
    ada.client.send_to_group(&group, "three").await.unwrap();
    ben.hears(&group, "three").await;
    let gone = cid.client.send_to_group(&group, "still here").await;
    assert!(matches!(gone, Err(ClientError::UnknownGroup)), "{gone:?}");
    let mut dot = Sdk::register(&home, "dot").await;
    ada.client.invite(&group, dot.account()).await.unwrap();
    dot.join(&group).await;
    dot.in_group(&group, Some(Standing::Member), 8).await;
    let welcome = ada.client.send_to_group(&group, "welcome").await.unwrap();
    dot.hears(&group, "welcome").await;
    ben.hears(&group, "welcome").await;
    ada.counted(welcome, (2, 2)).await;
    dot.client.send_to_group(&group, "thanks").await.unwrap();
    ada.hears(&group, "thanks").await;
    let kept = cid.client.group_timeline(&group, None, 10).await.unwrap();
    assert_eq!(kept.iter().filter_map(|one| one.said.text()).collect::<Vec<_>>(), ["one"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_device_of_a_member_reads_what_is_said_after_it_came() {
    let home = Home::start().await;
    let (ada, mut ben, mut cid, group) = three(&home).await;
    ada.client.send_to_group(&group, "before").await.unwrap();
    ben.hears(&group, "before").await;
    cid.hears(&group, "before").await;
    let mut laptop = ben.link(&home).await;
    let text = ada.client.send_to_group(&group, "after").await.unwrap();
    assert_eq!(ben.hears(&group, "after").await, text);
    assert_eq!(laptop.hears(&group, "after").await, text, "at once, or asked for");
    let own = ben.client.send_to_group(&group, "from the phone").await.unwrap();
    assert_eq!(laptop.hears(&group, "from the phone").await, own);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_goes_on_from_its_store() {
    let home = Home::start().await;
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("ada.db");
    let open = async || loop {
        // The process before lets the file go a moment after it stopped.
        match SqliteStore::open(&path).await {
            Ok(store) => break store,
            Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
        }
    };
    let homeserver = Homeserver::new(home.connector()).unwrap();
    let account = NewAccount::new("ada", "correct horse battery staple");
    let (client, updates) = homeserver.register(open().await, &account).await.unwrap();
    let mut ada = Sdk { client, updates };
    let mut ben = Sdk::register(&home, "ben").await;
    let group = ada.client.create_group("Two", &[ben.account().clone()]).await.unwrap();
    ben.join(&group).await;
    ada.in_group(&group, Some(Standing::Owner), 3).await;
    for round in ["one", "two", "three"] {
        // Dropped at once: what is queued is sent by who opens the store next, once.
        let id = ada.client.send_to_group(&group, round).await.unwrap();
        drop(ada);
        let (client, updates) = homeserver.open(open().await).await.unwrap();
        ada = Sdk { client, updates };
        assert_eq!(ben.hears(&group, round).await, id);
        ben.client.send_to_group(&group, "heard").await.unwrap();
        ada.hears(&group, "heard").await;
    }
    let seen = ben.client.group_timeline(&group, None, 10).await.unwrap();
    let texts: Vec<_> = seen.iter().filter_map(|one| one.said.text()).collect();
    assert_eq!(texts, ["one", "heard", "two", "heard", "three", "heard"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn members_see_each_other_type_and_messages_disappear() {
    let home = Home::start().await;
    let (mut ada, mut ben, _cid, group) = three(&home).await;
    let id = ada.client.send_disappearing_to_group(&group, "burn this", 1).await.unwrap();
    let got = ben.message().await;
    assert_eq!((got.id, got.expires_after), (id, Some(1)));
    // Now everybody has the key; typing is not worth handing it out.
    let to_ada = ada.account().clone();
    ada.client.set_typing_in_group(&group, true).await.unwrap();
    // Nothing takes it back: it ends with its time.
    for (what, expected) in [("typing", true), ("its end", false)] {
        ben.wait(what, |update| match update {
            Update::TypingInGroup { group: of, user, typing } => {
                (*of == group && *user == to_ada && *typing == expected).then_some(())
            }
            _ => None,
        })
        .await;
    }
    ben.client.mark_group_read(&group).await.unwrap();
    for one in [&mut ada, &mut ben] {
        one.wait("its end", |update| match update {
            Update::Changed { id: of, change: Change::Expired, .. } if *of == id => Some(()),
            _ => None,
        })
        .await;
        let entry = one.client.message(&to_ada, id).await.unwrap().unwrap();
        assert_eq!(entry.said, posthouse_client::Said::Gone);
    }
}
