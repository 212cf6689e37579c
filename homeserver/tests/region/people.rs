//! Contacts, blocks, message requests, privacy, profiles, reports and lists of conversations, over
//! real sockets.

use posthouse_client::Event;
use posthouse_homeserver::operator::order::{Answer as Ordered, Order};
use posthouse_protocol::{
    frame::{ClientFrame, Presence, PresenceUpdate},
    id::{AccountId, Address, ConversationId},
    problem::Code,
    rest::{Conversations, Profile},
    status::{Seen, Status},
};
use serde_json::{Value, json};

use super::{
    calls::call,
    device::{Device, submission, text},
    home::Home,
    http::Answer,
};

async fn get(home: &Home, by: &Device, path: &str) -> Value {
    let answer = call(home, "GET", path, Some(by.token()), None).await;
    assert_eq!(answer.status, 200, "{path}: {answer:?}");
    answer.body
}

async fn post(home: &Home, by: &Device, path: &str, body: Value) -> Answer {
    call(home, "POST", path, Some(by.token()), Some(body)).await
}

async fn put(home: &Home, by: &Device, path: &str, body: Value) -> Answer {
    call(home, "PUT", path, Some(by.token()), Some(body)).await
}

async fn delete(home: &Home, by: &Device, path: &str) -> Answer {
    call(home, "DELETE", path, Some(by.token()), None).await
}

/// The ids in a list.
fn ids(list: &Value) -> Vec<&str> {
    list.as_array().unwrap().iter().map(|one| one["account_id"].as_str().unwrap()).collect()
}

async fn present(home: &Home, handle: &str) -> Device {
    let mut device = Device::register(home, handle).await;
    device.catch_up(home).await;
    device
}

async fn inbox(home: &Home, of: &Device) -> Vec<String> {
    let page = get(home, of, "/v1/messages/sync?since=c0&limit=1000").await;
    let messages = page["messages"].as_array().unwrap().iter();
    messages.map(|one| one["content"]["body"].as_str().unwrap().to_owned()).collect()
}

fn no_message(event: &Event) -> bool {
    !matches!(event, Event::Message(_) | Event::Presence(_))
}

#[tokio::test]
async fn contacts_are_kept_listed_and_removed_for_the_account_alone() {
    let home = Home::start().await;
    let mut ada = present(&home, "ada").await;
    let mut other = Device::log_in(&home, "ada").await;
    other.catch_up(&home).await;
    let eve = present(&home, "eve").await;
    let mut friends = Vec::new();
    for handle in ["ben", "cid", "dot"] {
        friends.push(Device::register(&home, handle).await.account().to_string());
        let added = post(&home, &ada, "/v1/contacts", json!({"user": handle, "label": "x"})).await;
        assert_eq!(added.status, 204, "{added:?}");
    }
    other
        .wait(|event| match event {
            Event::Changed { .. } => Some(()),
            _ => None,
        })
        .await;
    friends.sort();
    let page = get(&home, &ada, "/v1/contacts?limit=2").await;
    assert_eq!(ids(&page["contacts"]), friends[..2]);
    assert_eq!(page["contacts"][0]["label"], "x");
    let rest = format!("/v1/contacts?after={}", page["next"].as_str().unwrap());
    let rest = get(&home, &ada, &rest).await;
    assert_eq!((ids(&rest["contacts"]), &rest["next"]), (vec![friends[2].as_str()], &Value::Null));

    // Eve's list is another one, and she can neither see nor remove what is on Ada's.
    assert_eq!(get(&home, &eve, "/v1/contacts").await["contacts"], json!([]));
    assert_eq!(delete(&home, &eve, "/v1/contacts/ben").await.code(), "not_found");
    assert_eq!(delete(&home, &ada, "/v1/contacts/ben").await.status, 204);
    assert_eq!(delete(&home, &ada, "/v1/contacts/ben").await.code(), "not_found");
    assert_eq!(get(&home, &ada, "/v1/contacts").await["contacts"].as_array().unwrap().len(), 2);
    let unknown = post(&home, &ada, "/v1/contacts", json!({"user": "nobody"})).await;
    assert_eq!((unknown.status, unknown.code()), (404, "unknown_user"));
    for query in ["limit=0", "limit=501", "limit=x", "after=ben"] {
        let path = format!("/v1/contacts?{query}");
        let answer = call(&home, "GET", &path, Some(ada.token()), None).await;
        assert_eq!(answer.status, 400, "{query}");
    }
    ada.settle().await;
}

#[tokio::test]
async fn the_blocked_cannot_tell_and_are_not_heard() {
    let home = Home::start().await;
    let (mut ada, mut eve) = (present(&home, "ada").await, present(&home, "eve").await);
    ada.write(eve.account(), "hello").await;
    eve.write(ada.account(), "hello yourself").await;
    assert_eq!(get(&home, &ada, "/v1/requests").await["requests"], json!([]), "she answered");
    ada.message().await;
    ada.settle().await;
    let before = inbox(&home, &ada).await;
    assert_eq!(post(&home, &ada, "/v1/blocks", json!({"user": "eve"})).await.status, 204);
    let blocks = get(&home, &ada, "/v1/blocks").await;
    assert_eq!(ids(&blocks["blocks"]), [eve.account().to_string()]);

    // What she can see is what she would see of somebody who is not there.
    let sent = eve.write(ada.account(), "can you hear me?").await;
    assert_eq!(sent.status, Status::Sent);
    let rest = post(
        &home,
        &eve,
        "/v1/messages",
        json!({"id": super::device::new_id(), "to": ada.account(),
            "content": {"type": "text", "encrypted": false, "body": "and now?"}}),
    );
    assert_eq!(rest.await.body["status"], "sent");
    let ada_address = Address::Account(ada.account().clone());
    eve.send(ClientFrame::Presence(PresenceUpdate::Typing { to: ada_address, started: true }))
        .await;
    let told = eve.settle().await;
    let is_quiet = |event: &Event| !matches!(event, Event::Refused(_) | Event::Watermark(_));
    assert!(told.iter().all(is_quiet), "{told:?}");
    assert!(ada.settle().await.iter().all(no_message));
    assert_eq!(inbox(&home, &ada).await, before, "nothing of it is in the inbox");
    let mut again = ada.again(&home);
    ada.leave().await;
    let backlog = again.catch_up(&home).await;
    assert!(backlog.iter().all(|message| !text(message).contains("hear")), "{backlog:?}");
    // Nor by looking at presence, nor at the list of blocks.
    let path = format!("/v1/presence?users={}", ada.account());
    assert_eq!(get(&home, &eve, &path).await["presence"], json!([]));
    assert_eq!(get(&home, &eve, "/v1/blocks").await["blocks"], json!([]));
    assert!(get(&home, &eve, "/v1/conversations").await["conversations"][0]["with"].is_string());
    assert_eq!(get(&home, &again, "/v1/conversations").await["conversations"], json!([]));

    let refused = again.submit(submission(eve.account(), "to the blocked")).await.unwrap_err();
    assert_eq!(refused.code, Code::Forbidden.as_str());
    assert_eq!(delete(&home, &again, "/v1/blocks/eve").await.status, 204);
    assert_eq!(delete(&home, &again, "/v1/blocks/eve").await.code(), "not_found");
    eve.write(ada.account(), "once more").await;
    assert_eq!(text(&again.message().await), "once more");
    let all = inbox(&home, &again).await;
    assert!(!all.iter().any(|body| body.contains("hear") || body == "and now?"), "{all:?}");
    let own = json!({"user": "ada"});
    assert_eq!(post(&home, &again, "/v1/blocks", own).await.code(), "bad_request");
}

#[tokio::test]
async fn a_strangers_first_message_asks_and_is_answered() {
    let home = Home::start().await;
    let mut ada = present(&home, "ada").await;
    let (mut ben, mut eve) = (present(&home, "ben").await, present(&home, "eve").await);
    ben.write(ada.account(), "hello").await;
    eve.write(ada.account(), "buy this").await;
    ada.message().await;
    ada.message().await;
    let waiting = get(&home, &ada, "/v1/requests").await;
    let mut both = [ben.account().to_string(), eve.account().to_string()];
    both.sort();
    assert_eq!(ids(&waiting["requests"]), both);
    let conversation = ConversationId::direct(ada.account(), ben.account()).to_string();
    let named = waiting["requests"].as_array().unwrap().iter();
    assert!(named.clone().any(|one| one["conversation_id"] == conversation.as_str()));
    assert_eq!(get(&home, &ben, "/v1/requests").await["requests"], json!([]));

    // Nobody answers for her.
    let by_ben = post(&home, &ben, "/v1/requests/accept", json!({"user": "eve"})).await;
    assert_eq!(by_ben.code(), "not_found");
    // Writing back accepts.
    ada.write(ben.account(), "hello Ben").await;
    assert_eq!(
        ids(&get(&home, &ada, "/v1/requests").await["requests"]),
        [eve.account().to_string()]
    );
    let declined = post(&home, &ada, "/v1/requests/decline", json!({"user": "eve"})).await;
    assert_eq!(declined.status, 204);
    assert_eq!(get(&home, &ada, "/v1/requests").await["requests"], json!([]));
    ada.settle().await;
    assert_eq!(eve.write(ada.account(), "buy that").await.status, Status::Sent);
    assert!(ada.settle().await.iter().all(no_message), "she is not heard");
    ben.write(ada.account(), "how are you?").await;
    assert_eq!(text(&ada.message().await), "how are you?");
    // A contact is heard again.
    assert_eq!(post(&home, &ada, "/v1/contacts", json!({"user": "eve"})).await.status, 204);
    eve.write(ada.account(), "thank you").await;
    assert_eq!(text(&ada.message().await), "thank you");
}

#[tokio::test]
async fn privacy_settings_hold() {
    let home = Home::start().await;
    let (mut ada, mut ben) = (present(&home, "ada").await, present(&home, "ben").await);
    let mut eve = present(&home, "eve").await;
    let mut privacy = get(&home, &ada, "/v1/account/privacy").await;
    assert_eq!(privacy["last_seen"], "exact");
    ada.write(ben.account(), "hello").await;
    let first = ben.write(ada.account(), "hello").await.message_id;
    ada.message().await;
    let presence = format!("/v1/presence?users={}", ada.account());
    let shown = get(&home, &ben, &presence).await;
    assert_eq!(shown["presence"][0]["status"], "online");

    privacy["last_seen"] = json!("nobody");
    privacy["messages"] = json!("contacts");
    privacy["read_receipts"] = json!(false);
    let set = put(&home, &ada, "/v1/account/privacy", privacy.clone()).await;
    assert_eq!(set.status, 204, "{set:?}");
    assert_eq!(get(&home, &ada, "/v1/account/privacy").await, privacy);
    assert_eq!(get(&home, &ben, "/v1/account/privacy").await["messages"], "everyone");
    assert_eq!(get(&home, &ben, &presence).await["presence"], json!([]));
    let of_ben = format!("/v1/presence?users={}", ben.account());
    assert_eq!(get(&home, &ada, &of_ben).await["presence"], json!([]), "who shows none sees none");

    // Strangers are refused, blocked or not, in the same words.
    let refused = eve.submit(submission(ada.account(), "hello?")).await.unwrap_err();
    assert_eq!(refused.code, Code::Forbidden.as_str());
    post(&home, &ada, "/v1/blocks", json!({"user": "eve"})).await;
    let again = eve.submit(submission(ada.account(), "hello?")).await.unwrap_err();
    assert_eq!((again.code, again.message), (refused.code, refused.message));

    // What is read counts as delivered.
    ada.ack(vec![first], Seen::Read).await;
    ada.settle().await;
    ben.watermark(Status::Delivered).await;
    let told = ben.settle().await;
    let is_read = |event: &Event| match event {
        Event::Status(status) => status.status == Status::Read,
        Event::Watermark(mark) => mark.status == Status::Read,
        _ => false,
    };
    assert!(!told.iter().any(is_read), "{told:?}");
}

#[tokio::test]
async fn last_seen_is_coarse_if_that_is_wished() {
    let home = Home::start().await;
    let (mut ada, mut ben) = (present(&home, "ada").await, present(&home, "ben").await);
    // Contacts of each other see presence without ever having written.
    for (by, of) in [(&ada, "ben"), (&ben, "ada")] {
        assert_eq!(post(&home, by, "/v1/contacts", json!({"user": of})).await.status, 204);
    }
    let mut privacy = get(&home, &ben, "/v1/account/privacy").await;
    privacy["last_seen"] = json!("hour");
    assert_eq!(put(&home, &ben, "/v1/account/privacy", privacy).await.status, 204);
    ada.send(ClientFrame::Subscribe(vec![Address::Account(ben.account().clone())])).await;
    let presence = |event| match event {
        Event::Presence(frame) => Some(*frame),
        _ => None,
    };
    assert_eq!(ada.wait(presence).await.status, Presence::Online);
    ben.leave().await;
    let gone = ada.wait(presence).await;
    assert_eq!(gone.status, Presence::Offline);
    assert_eq!(gone.last_seen.unwrap().0 % 3_600_000, 0);
    // No longer a contact: no longer watched.
    ben.connect(&home).await;
    assert_eq!(ada.wait(presence).await.status, Presence::Online);
    assert_eq!(delete(&home, &ben, "/v1/contacts/ada").await.status, 204);
    let path = format!("/v1/presence?users={}", ben.account());
    assert_eq!(get(&home, &ada, &path).await["presence"], json!([]));
}

#[tokio::test]
async fn profiles_are_shown_to_all_and_written_by_their_own() {
    let home = Home::start().await;
    let (ada, ben) = (present(&home, "ada").await, present(&home, "ben").await);
    let of_ada = format!("/v1/users/{}/profile", ada.account());
    assert_eq!(get(&home, &ben, &of_ada).await["version"], 0);
    let first = json!({"replaces": 0, "name": "c2VhbGVk", "avatar": "cGljdHVyZQ=="});
    let answer = put(&home, &ada, "/v1/users/me/profile", first.clone()).await;
    assert_eq!((answer.status, &answer.body["version"]), (200, &json!(1)));
    let shown: Profile = serde_json::from_value(get(&home, &ben, &of_ada).await).unwrap();
    assert_eq!((shown.version, &shown.account_id), (1, ada.account()));
    assert_eq!(shown.avatar.unwrap().as_str(), "cGljdHVyZQ==");
    assert_eq!(get(&home, &ben, "/v1/users/ada/profile").await["name"], "c2VhbGVk");
    assert_eq!(get(&home, &ben, "/v1/users/me/profile").await["version"], 0, "his own");
    let late = put(&home, &ada, "/v1/users/me/profile", first).await;
    assert_eq!((late.status, late.code()), (409, "conflict"));
    let second = json!({"replaces": 1, "about": "YWJvdXQ="});
    assert_eq!(put(&home, &ada, "/v1/users/me/profile", second).await.body["version"], 2);
    let shown = get(&home, &ben, &of_ada).await;
    assert_eq!((&shown["about"], &shown["name"]), (&json!("YWJvdXQ="), &Value::Null));
    // Somebody else's cannot be written.
    let path = format!("/v1/users/{}/profile", ada.account());
    let by_ben = put(&home, &ben, &path, json!({"replaces": 2, "name": "x"})).await;
    assert_eq!(by_ben.status, 405);
    let large = json!({"replaces": 2, "name": "x".repeat(513)});
    assert_eq!(put(&home, &ada, "/v1/users/me/profile", large).await.status, 400);
}

#[tokio::test]
async fn conversations_are_listed_by_activity_and_deleted_for_oneself() {
    let home = Home::start().await;
    let mut ada = present(&home, "ada").await;
    let mut friends = Vec::new();
    for handle in ["ben", "cid", "dot"] {
        let friend = present(&home, handle).await;
        ada.write(friend.account(), &format!("hello {handle}")).await;
        friends.push(friend);
    }
    let with = |page: &Conversations| -> Vec<AccountId> {
        let all = page.conversations.iter();
        all.map(|one| AccountId::parse(&one.with).unwrap()).collect()
    };
    let list = async |by: &Device, query: &str| -> Conversations {
        serde_json::from_value(get(&home, by, &format!("/v1/conversations{query}")).await).unwrap()
    };
    let accounts: Vec<AccountId> = friends.iter().map(|one| one.account().clone()).collect();
    let account = |n: usize| accounts[n].clone();
    let expected = [account(2), account(1), account(0)];
    assert_eq!(with(&list(&ada, "").await), expected);
    let first = list(&ada, "?limit=2").await;
    let rest = list(&ada, &format!("?before={}", first.next.clone().unwrap())).await;
    assert_eq!((with(&rest), rest.next), (vec![account(0)], None));
    assert_eq!(with(&list(&friends[0], "").await), [ada.account().clone()]);

    // Ben answers, and comes first; then Ada deletes the conversation, for herself.
    let (ben, cid) = (friends[0].account().clone(), friends[1].account().clone());
    friends[0].write(ada.account(), "hello Ada").await;
    ada.message().await;
    let page = list(&ada, "").await;
    assert_eq!(page.conversations[0].with, ben.to_string());
    let id = page.conversations[0].conversation_id;
    let path = format!("/v1/conversations/{id}");
    assert_eq!(delete(&home, &friends[1], &path).await.code(), "not_found", "it is not his");
    assert_eq!(delete(&home, &ada, &path).await.status, 204);
    assert_eq!(with(&list(&ada, "").await), [account(2), cid.clone()]);
    assert!(!inbox(&home, &ada).await.contains(&"hello Ada".to_owned()));
    assert!(inbox(&home, &friends[0]).await.contains(&"hello ben".to_owned()), "he keeps his");
    friends[0].write(ada.account(), "still there?").await;
    assert_eq!(text(&ada.message().await), "still there?");
    assert_eq!(with(&list(&ada, "").await)[0], ben);

    // Single messages; those of others' inboxes stay.
    let sent = friends[1].write(ada.account(), "a secret").await.message_id;
    ada.message().await;
    let named = json!({"messages": [{"from": cid, "id": sent}, {"from": ben, "id": sent}]});
    let by_ben = post(&home, &friends[0], "/v1/messages/delete", named.clone()).await;
    assert_eq!(by_ben.body["deleted"], 0);
    let by_ada = post(&home, &ada, "/v1/messages/delete", named).await;
    assert_eq!((by_ada.status, &by_ada.body["deleted"]), (200, &json!(1)));
    assert!(!inbox(&home, &ada).await.contains(&"a secret".to_owned()));
    for (method, path) in [
        ("GET", "/v1/conversations?before=x"),
        ("GET", "/v1/conversations?limit=501"),
        ("DELETE", "/v1/conversations/x"),
    ] {
        let answer = call(&home, method, path, Some(ada.token()), None).await;
        assert_eq!(answer.status, 400, "{method} {path}");
    }
}

#[tokio::test]
async fn reports_reach_the_operator_with_their_evidence() {
    let home = Home::start().await;
    let (ada, eve) = (present(&home, "ada").await, present(&home, "eve").await);
    let message = super::device::new_id();
    let evidence =
        |from: &AccountId| json!({"id": message, "from": from, "content": {"text": "\u{7}!"}});
    let report = |from: &AccountId| {
        json!({"user": "eve", "reason": "harassment", "comment": "since Monday",
            "messages": [evidence(from)]})
    };
    let filed = post(&home, &ada, "/v1/reports", report(eve.account())).await;
    assert_eq!(filed.status, 201, "{filed:?}");
    let id = filed.body["report_id"].as_str().unwrap().parse().unwrap();
    let stranger = Device::register(&home, "ben").await;
    let wrong = post(&home, &ada, "/v1/reports", report(stranger.account())).await;
    assert_eq!(wrong.code(), "bad_request", "messages of somebody else");
    let own = post(&home, &ada, "/v1/reports", json!({"user": "ada", "reason": "spam"})).await;
    assert_eq!(own.code(), "bad_request");

    let operator = home.operator();
    let Ordered::Reports { reports } = operator.carry_out(Order::ReportList).await.unwrap() else {
        panic!("a list is expected");
    };
    assert_eq!(reports.len(), 1);
    assert_eq!((&reports[0].reporter, &reports[0].reported), (ada.account(), eve.account()));
    let shown = operator.carry_out(Order::ReportShow { id }).await.unwrap();
    let Ordered::Report { evidence: shown, comment, .. } = shown else { panic!() };
    assert_eq!(comment.as_deref(), Some("since Monday"));
    let shown: Value = serde_json::from_str(&shown).unwrap();
    assert_eq!(shown, json!([evidence(eve.account())]));
    let resolve = |note: &str| Order::ReportResolve { id, note: Some(note.into()) };
    assert_eq!(operator.carry_out(resolve("suspended")).await.unwrap(), Ordered::Done);
    let again = operator.carry_out(resolve("again")).await.unwrap_err();
    assert_eq!(again.code, Code::NotFound);
    let left = operator.carry_out(Order::ReportList).await.unwrap();
    assert_eq!(left, Ordered::Reports { reports: vec![] });
}

/// A region whose accounts may write to two new people a day.
#[tokio::test]
async fn new_people_are_limited_and_known_ones_are_not() {
    let mut home = Home::start().await;
    home.stop().await;
    home.settings.policy.new_people_per_day = 2;
    home.run().await;
    let mut ada = present(&home, "ada").await;
    let mut friends = Vec::new();
    for handle in ["ben", "cid", "dot"] {
        friends.push(Device::register(&home, handle).await.account().clone());
    }
    ada.write(&friends[0], "one").await;
    ada.write(&friends[1], "two").await;
    let refused = ada.submit(submission(&friends[2], "three")).await.unwrap_err();
    assert_eq!(refused.code, Code::RateLimited.as_str());
    assert!(refused.retry_after.unwrap() > 3_600, "{refused:?}");
    ada.write(&friends[0], "again").await;
    let rest = post(
        &home,
        &ada,
        "/v1/messages",
        json!({"id": super::device::new_id(), "to": friends[2],
            "content": {"type": "text", "encrypted": false, "body": "three"}}),
    );
    let rest = rest.await;
    assert_eq!((rest.status, rest.code()), (429, "rate_limited"));
    assert!(rest.retry_after.unwrap() > 3_600);
}

#[tokio::test]
async fn what_was_kept_of_a_deleted_account_goes() {
    let home = Home::start().await;
    let (ada, eve) = (present(&home, "ada").await, present(&home, "eve").await);
    post(&home, &ada, "/v1/contacts", json!({"user": "eve"})).await;
    post(&home, &ada, "/v1/blocks", json!({"user": "eve"})).await;
    put(&home, &eve, "/v1/users/me/profile", json!({"replaces": 0, "name": "x"})).await;
    let confirmed = json!({"current_password": super::device::PASSWORD});
    assert_eq!(post(&home, &eve, "/v1/account/delete", confirmed).await.status, 204);
    let path = format!("/v1/users/{}/profile", eve.account());
    let profile = call(&home, "GET", &path, Some(ada.token()), None).await;
    assert_eq!(profile.code(), "unknown_user");
    let deadline = tokio::time::Instant::now() + super::device::PATIENCE;
    loop {
        let contacts = get(&home, &ada, "/v1/contacts").await;
        let blocks = get(&home, &ada, "/v1/blocks").await;
        if contacts["contacts"] == json!([]) && blocks["blocks"] == json!([]) {
            return;
        }
        assert!(tokio::time::Instant::now() < deadline, "{contacts} {blocks}");
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
}
