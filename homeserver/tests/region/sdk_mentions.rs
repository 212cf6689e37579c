//! Mentions: who is meant by a text is told, counted until it is read, and handed on.

use posthouse_client::{Change, Text, Update};

use super::{home::Home, sdk::Sdk};

#[tokio::test(flavor = "multi_thread")]
async fn who_is_mentioned_is_told_counted_and_handed_on() {
    let home = Home::start().await;
    let (ada, mut ben) = (Sdk::register(&home, "ada").await, Sdk::register(&home, "ben").await);
    let (to_ada, to_ben) = (ada.account().clone(), ben.account().clone());
    let counts = async |sdk: &Sdk| {
        let all = sdk.client.conversations().await.unwrap();
        (all[0].unread, all[0].mentioned)
    };

    let text = Text::from("Ask ").mention("@ben", &to_ben).then(" or ").mention("@me", &to_ada);
    let first = ada.client.send_text(&to_ben, text.clone()).await.unwrap();
    let heard = ben.message().await;
    assert_eq!(heard.said.text(), Some("Ask @ben or @me"));
    let pieces: Vec<_> = heard.mentions.iter().map(|one| (one.start, one.end)).collect();
    assert_eq!(pieces, [(4, 8), (12, 15)]);
    assert!(heard.mentions(&to_ben) && heard.mentions(&to_ada));
    let plain = ada.client.send_text(&to_ben, "and this").await.unwrap();
    assert!(ben.message().await.mentions.is_empty());
    assert_eq!(counts(&ben).await, (2, 1));

    // An edit brings its own mentions; what is taken back mentions nobody.
    let changed = async |sdk: &mut Sdk, of, how| {
        sdk.wait("the change", |update| match update {
            Update::Changed { id, change, .. } if *id == of && *change == how => Some(()),
            _ => None,
        })
        .await;
    };
    let edit = Text::from("hey ").mention("@ben", &to_ben);
    ada.client.edit(&to_ben, plain, edit).await.unwrap();
    changed(&mut ben, plain, Change::Edited).await;
    assert_eq!(counts(&ben).await, (2, 2));
    ada.client.edit(&to_ben, plain, "hey you").await.unwrap();
    changed(&mut ben, plain, Change::Edited).await;
    assert_eq!(counts(&ben).await, (2, 1));
    ada.client.delete(&to_ben, first).await.unwrap();
    changed(&mut ben, first, Change::Deleted).await;
    assert_eq!(counts(&ben).await, (2, 0));
    ada.client.reply(&to_ben, plain, text.clone()).await.unwrap();
    let answer = ben.message().await;
    assert_eq!(counts(&ben).await, (3, 1));

    // A device that is linked while they are unread has them too.
    let laptop = ben.link(&home).await;
    assert_eq!(counts(&laptop).await, (3, 1));
    let taken = laptop.client.message(&to_ada, answer.id).await.unwrap().unwrap();
    assert_eq!(taken.mentions, answer.mentions);
    ben.client.mark_read(&to_ada).await.unwrap();
    assert_eq!(counts(&ben).await, (0, 0));

    let group = ada.client.create_group("Hikers", std::slice::from_ref(&to_ben)).await.unwrap();
    ben.join(&group).await;
    ada.client.send_to_group(&group, text).await.unwrap();
    ben.message().await;
    let summary = ben.client.group(&group).await.unwrap();
    assert_eq!((summary.unread, summary.mentioned), (1, 1));
    ben.client.mark_group_read(&group).await.unwrap();
    let summary = ben.client.group(&group).await.unwrap();
    assert_eq!((summary.unread, summary.mentioned), (0, 0));

    // Seventeen are too many, and so is one of nothing.
    let many = (0..17).fold(Text::default(), |text, _| text.mention("x", &to_ben));
    assert!(ada.client.send_text(&to_ben, many).await.is_err());
    let nobody = Text::from("none").mention("", &to_ben);
    ada.client.send_text(&to_ben, nobody).await.unwrap();
    assert!(ben.message().await.mentions.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_said_in_a_conversation_disappears_as_it_is_set() {
    let home = Home::start().await;
    let (ada, mut ben) = (Sdk::register(&home, "ada").await, Sdk::register(&home, "ben").await);
    let to_ben = ben.account().clone();
    ada.client.set_disappearing(&to_ben, Some(3_600)).await.unwrap();
    assert_eq!(ada.client.conversations().await.unwrap()[0].disappears, Some(3_600));
    ada.client.send_text(&to_ben, "for an hour").await.unwrap();
    assert_eq!(ben.message().await.expires_after, Some(3_600));
    ada.client.send_disappearing(&to_ben, "for a minute", 60).await.unwrap();
    assert_eq!(ben.message().await.expires_after, Some(60));
    ada.client.set_disappearing(&to_ben, None).await.unwrap();
    ada.client.send_text(&to_ben, "for good").await.unwrap();
    assert_eq!(ben.message().await.expires_after, None);

    let group = ada.client.create_group("Hikers", std::slice::from_ref(&to_ben)).await.unwrap();
    ben.join(&group).await;
    ada.client.set_disappearing_in_group(&group, Some(60)).await.unwrap();
    assert_eq!(ada.client.group(&group).await.unwrap().disappears, Some(60));
    ada.client.send_to_group(&group, "for a minute").await.unwrap();
    assert_eq!(ben.message().await.expires_after, Some(60));
}
