//! Typing notices, and what ends them.

use posthouse_protocol::limits::TYPING_SECONDS;
use serde_json::json;

use super::{
    acquainted,
    world::{Device, START},
};
use crate::Update;

const HOLDS: u64 = TYPING_SECONDS * 1_000;

/// What the server tells of somebody.
fn notice(of: &Device, status: &str) -> String {
    json!({"type": "presence", "user_id": of.account(), "status": status}).to_string()
}

#[tokio::test]
async fn a_notice_ends_with_its_time_although_nothing_takes_it_back() {
    let (mut ada, ben) = acquainted().await;
    let told = |typing| [Update::Typing { user: ben.account().clone(), typing }];
    assert_eq!(ada.frame(&notice(&ben, "typing")).await.passing, told(true));
    assert!(ada.due_at().is_some_and(|at| at <= START + HOLDS), "the device wakes up for it");
    ada.wait(HOLDS - 1);
    assert_eq!(ada.pass_time().await.passing, []);
    // Who goes on says so again.
    assert_eq!(ada.frame(&notice(&ben, "typing")).await.passing, told(true));
    ada.wait(HOLDS - 1);
    assert_eq!(ada.pass_time().await.passing, []);
    ada.wait(1);
    assert_eq!(ada.pass_time().await.passing, told(false));
    assert_eq!(ada.pass_time().await.passing, [], "it ends once");
    assert_eq!(ada.frame(&notice(&ben, "stopped_typing")).await.passing, [], "it has ended");
}

#[tokio::test]
async fn a_notice_ends_when_it_is_taken_back_or_what_was_typed_is_there() {
    let (mut ada, mut ben) = acquainted().await;
    let user = ben.account().clone();
    let told = |typing| [Update::Typing { user: user.clone(), typing }];
    ada.frame(&notice(&ben, "typing")).await;
    assert_eq!(ada.frame(&notice(&ben, "stopped_typing")).await.passing, told(false));
    let frames = ben.say(&mut ada, "one").await;
    assert_eq!(ada.deliver_all(&ben, &frames).await.passing, [], "nobody typed");
    ada.frame(&notice(&ben, "typing")).await;
    ben.taken(&frames).await;
    let frames = ben.say(&mut ada, "two").await;
    assert_eq!(ada.deliver_all(&ben, &frames).await.passing, told(false));
    ada.wait(HOLDS);
    assert_eq!(ada.pass_time().await.passing, []);
}
