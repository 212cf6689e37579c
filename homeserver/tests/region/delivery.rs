//! The way of a message: acceptance, order, statuses, backlog and live traffic.

use posthouse_client::Event;
use posthouse_homeserver::delivery::accept::Policy;
use posthouse_protocol::{
    cursor::Cursor,
    frame::Class,
    id::{Address, ConversationId, MessageId},
    limits,
    status::{Seen, Status},
    time::{Clock, Stamp},
};

use super::{
    calls::call,
    device::{Device, new_id, submission, text},
    home::{Home, Settings, server},
};

async fn pair(home: &Home) -> (Device, Device) {
    let mut ada = Device::register(home, "ada").await;
    let mut ben = Device::register(home, "ben").await;
    ada.catch_up(home).await;
    ben.catch_up(home).await;
    (ada, ben)
}

#[tokio::test]
async fn a_message_and_its_three_ticks() {
    let home = Home::start().await;
    let (mut ada, mut ben) = pair(&home).await;
    let sent = ada.write(ben.account(), "hello").await;
    let message = ben.message().await;
    assert_eq!((text(&message), &message.from), ("hello", ada.account()));
    assert_eq!(message.conversation, ConversationId::direct(ada.account(), ben.account()));
    assert_eq!(sent.conversation_id, Some(message.conversation));
    let place = message.place.unwrap();
    assert_eq!((sent.stamp, sent.origin_number), (Some(place.stamp), Some(place.origin_number)));
    ben.ack(vec![message.id], Seen::Delivered).await;
    let delivered = ada.status(message.id, Status::Delivered).await;
    assert_eq!(delivered.user.as_ref(), Some(ben.account()));
    ben.ack(vec![message.id], Seen::Read).await;
    ada.status(message.id, Status::Read).await;
    let mark = ada.watermark(Status::Read).await;
    assert_eq!((mark.through, mark.conversation_id), (place.origin_number, message.conversation));
}

#[tokio::test]
async fn handles_and_ids_reach_the_same_person() {
    let home = Home::start().await;
    let (mut ada, mut ben) = pair(&home).await;
    for address in ["ben", "ben@eu.example"] {
        let mut by_handle = submission(ben.account(), address);
        by_handle.to = Address::parse(address, &server()).unwrap();
        ada.submit(by_handle).await.unwrap();
        assert_eq!(text(&ben.message().await), address);
    }
    for (address, code) in [
        ("nobody", "unknown_user"),
        ("01890a5d-ac96-774b-bcce-b302099a8057", "unknown_user"),
        ("g.01890a5d-ac96-774b-bcce-b302099a8057", "not_found"),
        ("ben@us.example", "region_unreachable"),
    ] {
        let mut refused = submission(ben.account(), "x");
        refused.to = Address::parse(address, &server()).unwrap();
        assert_eq!(ada.submit(refused).await.unwrap_err().code, code, "{address}");
    }
}

#[tokio::test]
async fn the_same_id_is_accepted_once_and_answered_alike() {
    let mut home = Home::start().await;
    let (mut ada, mut ben) = pair(&home).await;
    let original = submission(ben.account(), "once");
    let first = ada.submit(original.clone()).await.unwrap();
    let second = ada.submit(original.clone()).await.unwrap();
    assert_eq!(first, second);
    let mut changed = original.clone();
    changed.content = submission(ben.account(), "another text").content;
    assert_eq!(ada.submit(changed).await.unwrap(), first, "the first acceptance stands");
    home.stop().await;
    home.run().await;
    ada.connect(&home).await;
    assert_eq!(ada.submit(original.clone()).await.unwrap(), first, "also after a restart");
    let over_rest = ada.api.send(ada.token(), &original).await.unwrap();
    assert_eq!(Some(over_rest.stamp), first.stamp);
    let backlog = ben.catch_up(&home).await;
    assert_eq!(backlog.iter().map(text).collect::<Vec<_>>(), ["once"]);
    // An id is scoped to its sender's account: ben may use the same one.
    let mut bens = submission(ada.account(), "mine");
    bens.id = original.id;
    ben.submit(bens).await.unwrap();
    assert_eq!(text(&ada.message().await), "mine");
}

#[tokio::test]
async fn nothing_overtakes_a_refused_message() {
    let home = Home::start().await;
    let (mut ada, ben) = pair(&home).await;
    let first = ada.write(ben.account(), "1").await;
    let refused = new_id();
    let mut third = submission(ben.account(), "3");
    third.prev = Some(refused);
    assert_eq!(ada.submit(third.clone()).await.unwrap_err().code, "out_of_order");
    let mut second = submission(ben.account(), "2");
    second.id = refused;
    second.prev = Some(first.message_id);
    ada.submit(second).await.unwrap();
    ada.submit(third).await.unwrap();
}

#[tokio::test]
async fn a_reply_sorts_after_what_it_answers() {
    let home = Home::start().await;
    let (mut ada, mut ben) = pair(&home).await;
    home.clock.pass(60_000);
    let question = ada.write(ben.account(), "?").await;
    let mut reply = submission(ada.account(), "!");
    reply.after = question.stamp;
    let answered = ben.submit(reply).await.unwrap();
    assert!(answered.stamp > question.stamp);
    let mut from_the_future = submission(ada.account(), "!!");
    from_the_future.after = Some(Stamp(answered.stamp.unwrap().0 + (1 << 32)));
    assert_eq!(ben.submit(from_the_future).await.unwrap_err().code, "after_unknown");
}

#[tokio::test]
async fn the_backlog_comes_first_then_live_traffic_without_gap_or_double() {
    let home = Home::start().await;
    let mut ada = Device::register(&home, "ada").await;
    let mut ben = Device::register(&home, "ben").await;
    ada.catch_up(&home).await;
    let total = 3 * limits::WINDOW;
    for n in 0..total / 2 {
        ada.write(ben.account(), &n.to_string()).await;
    }
    // The rest is written while ben reads.
    let to = ben.account().clone();
    let writing = tokio::spawn(async move {
        for n in total / 2..total {
            ada.write(&to, &n.to_string()).await;
        }
        ada
    });
    ben.connect(&home).await;
    let (mut next, mut caught_up, mut last) = (0, false, None);
    while next < total {
        match ben.next().await {
            Event::Message(message) => {
                assert_eq!(text(&message), next.to_string());
                let place = message.place.unwrap();
                assert!(Some(place.cursor) > last);
                last = Some(place.cursor);
                next += 1;
                if next % 50 == 0 {
                    ben.ack_through(place.cursor).await;
                }
            }
            Event::CaughtUp { .. } => {
                assert!(!caught_up, "told once");
                caught_up = true;
            }
            other => panic!("{other:?}"),
        }
    }
    writing.await.unwrap();
    assert!(caught_up);
}

#[tokio::test]
async fn the_window_holds_back_and_an_ack_opens_it() {
    let home = Home::start().await;
    let (mut ada, mut ben) = pair(&home).await;
    for n in 0..limits::WINDOW + 10 {
        ada.write(ben.account(), &n.to_string()).await;
    }
    let in_flight = ben.settle().await;
    let count = in_flight.iter().filter(|event| matches!(event, Event::Message(_))).count();
    assert!(count <= limits::WINDOW, "{count}");
    let mut seen = count;
    while seen < limits::WINDOW {
        ben.message().await;
        seen += 1;
    }
    assert!(ben.settle().await.is_empty(), "the window is full");
    let first = in_flight.iter().find_map(|event| match event {
        Event::Message(message) => Some(message.id),
        _ => None,
    });
    ben.ack(vec![first.unwrap()], Seen::Delivered).await;
    assert_eq!(text(&ben.message().await), limits::WINDOW.to_string());
}

#[tokio::test]
async fn an_absent_sender_learns_everything_later() {
    let home = Home::start().await;
    let (mut ada, mut ben) = pair(&home).await;
    let mut ids = Vec::new();
    for n in 0..5 {
        ids.push(ada.write(ben.account(), &n.to_string()).await.message_id);
    }
    ada.vanish();
    for id in &ids {
        assert_eq!(ben.message().await.id, *id);
    }
    ben.ack(ids.clone(), Seen::Delivered).await;
    ben.ack(vec![ids[2]], Seen::Read).await;
    ben.settle().await;
    ada.connect(&home).await;
    // One collapsed entry of each kind, however many messages.
    let delivered = ada.watermark(Status::Delivered).await;
    assert_eq!((delivered.through, delivered.except.len()), (5, 0));
    assert_eq!(&delivered.user, ben.account());
    let read = ada.watermark(Status::Read).await;
    assert_eq!(read.through, 3, "read covers what came before, and nothing after");
}

#[tokio::test]
async fn acknowledgements_survive_and_what_was_not_acknowledged_comes_again() {
    let mut home = Home::start().await;
    let (mut ada, mut ben) = pair(&home).await;
    let mut ids: Vec<MessageId> = Vec::new();
    for n in 0..4 {
        ids.push(ada.write(ben.account(), &n.to_string()).await.message_id);
    }
    for _ in 0..4 {
        ben.message().await;
    }
    // The second is missing: the position stops before it.
    ben.ack(vec![ids[0], ids[2]], Seen::Delivered).await;
    ada.status(ids[2], Status::Delivered).await;
    ben.vanish();
    let again: Vec<_> = ben.catch_up(&home).await.iter().map(|m| m.id).collect();
    assert_eq!(again, ids[1..], "at once, before anything was written to the store");
    home.stop().await;
    home.run().await;
    let again: Vec<_> = ben.catch_up(&home).await.iter().map(|m| m.id).collect();
    assert_eq!(again, ids[1..]);
}

#[tokio::test]
async fn policy_bounds_what_is_sent() {
    let home = Home::start().await;
    let (mut ada, ben) = pair(&home).await;
    let mut late = submission(ben.account(), "x");
    late.expires = Some(home.clock.now().minus_millis(1));
    assert_eq!(ada.submit(late).await.unwrap_err().code, "bad_request");
    let mut too_far = submission(ben.account(), "x");
    too_far.expires = Some(home.clock.now().plus_millis(limits::MAX_EXPIRES_MS + 60_000));
    assert_eq!(ada.submit(too_far).await.unwrap_err().code, "bad_request");
}

#[tokio::test]
async fn a_region_may_insist_on_encryption_and_on_moderation() {
    let policy = Policy {
        allow_unencrypted: false,
        messages_per_second: 1,
        message_burst: 3,
        new_people_per_day: 100,
    };
    let registration = posthouse_homeserver::accounts::Registration::Open;
    let home = Home::start_with(Settings { registration, policy }).await;
    let (mut ada, mut ben) = pair(&home).await;
    let plain = ada.submit(submission(ben.account(), "x")).await.unwrap_err();
    assert_eq!(plain.code, "unencrypted_refused");
    let mut sealed = submission(ben.account(), "AAAA");
    sealed.content.kind = "encrypted".into();
    sealed.content.encrypted = true;
    ada.submit(sealed.clone()).await.unwrap();
    ben.message().await;
    let mut codes = Vec::new();
    for _ in 0..3 {
        sealed.id = new_id();
        codes.push(ada.submit(sealed.clone()).await.err().map(|err| (err.code, err.retry_after)));
    }
    assert_eq!(codes.last().unwrap(), &Some(("rate_limited".to_owned(), Some(1))));
}

#[tokio::test]
async fn a_clock_that_is_put_back_refuses_nobody() {
    let policy = Policy {
        allow_unencrypted: true,
        messages_per_second: 10,
        message_burst: 3,
        new_people_per_day: 100,
    };
    let registration = posthouse_homeserver::accounts::Registration::Open;
    let home = Home::start_with(Settings { registration, policy }).await;
    let hour = 3_600_000;
    home.clock.pass(hour);
    let mut ada = Device::register(&home, "ada").await;
    ada.catch_up(&home).await;
    let own = ada.account().clone();
    ada.write(&own, "now").await;
    home.clock.put_back(hour);
    ada.write(&own, "an hour before").await;
}

#[tokio::test]
async fn an_expired_message_is_passed_over_and_never_counted_as_seen() {
    let home = Home::start().await;
    let (mut ada, mut ben) = pair(&home).await;
    ben.leave().await;
    let first = ada.write(ben.account(), "stays").await;
    let mut brief = submission(ben.account(), "goes");
    brief.expires = Some(home.clock.now().plus_millis(60_000));
    ada.submit(brief).await.unwrap();
    let third = ada.write(ben.account(), "stays too").await;
    home.clock.pass(61_000);
    let backlog = ben.catch_up(&home).await;
    assert_eq!(backlog.iter().map(text).collect::<Vec<_>>(), ["stays", "stays too"]);
    ben.ack(vec![first.message_id, third.message_id], Seen::Delivered).await;
    let mark = ada.watermark(Status::Delivered).await;
    assert_eq!((mark.through, mark.except), (3, vec![2]));
}

#[tokio::test]
async fn a_newer_message_with_the_same_collapse_key_replaces_the_waiting_one() {
    let home = Home::start().await;
    let (mut ada, mut ben) = pair(&home).await;
    ben.leave().await;
    for n in 0..3 {
        let mut receipt = submission(ben.account(), &n.to_string());
        receipt.class = Class::Receipt;
        receipt.collapse = Some("read".into());
        ada.submit(receipt).await.unwrap();
    }
    let backlog = ben.catch_up(&home).await;
    assert_eq!(backlog.iter().map(text).collect::<Vec<_>>(), ["2"]);
    assert_eq!(backlog[0].class, Class::Receipt);
}

#[tokio::test]
async fn ephemeral_messages_reach_acquaintances_who_are_there_and_nobody_else() {
    let home = Home::start().await;
    let (mut ada, mut ben) = pair(&home).await;
    let ephemeral = |to: &Device, body: &str| {
        let mut message = submission(to.account(), body);
        message.class = Class::Ephemeral;
        posthouse_protocol::frame::ClientFrame::Message(Box::new(message))
    };
    ada.send(ephemeral(&ben, "from a stranger")).await;
    ada.settle().await;
    ada.write(ben.account(), "hello").await;
    assert_eq!(text(&ben.message().await), "hello", "a stranger's notice is dropped");
    ben.write(ada.account(), "hello").await;
    ada.message().await;
    ada.send(ephemeral(&ben, "typing")).await;
    let notice = ben.message().await;
    assert_eq!((text(&notice), notice.place, notice.class), ("typing", None, Class::Ephemeral));
    let mut by_rest = submission(ben.account(), "refused");
    by_rest.class = Class::Ephemeral;
    let refused = ada.api.send(ada.token(), &by_rest).await.unwrap_err();
    assert_eq!(refused.code(), Some("bad_request"));
    assert!(!ben.settle().await.iter().any(|event| matches!(event, Event::Message(_))));
    ben.leave().await;
    ada.send(ephemeral(&ben, "lost")).await;
    ada.settle().await;
    let backlog = ben.catch_up(&home).await;
    assert_eq!(backlog.iter().map(text).collect::<Vec<_>>(), ["hello"], "nothing is stored");
}

#[tokio::test]
async fn a_full_inbox_is_an_explicit_refusal() {
    use posthouse_protocol::{frame::Class, id::ConversationId, limits, time::Timestamp};
    use posthouse_storage::{
        bodies::BodyId,
        ledger::{Accept, Ledger as _, Outcome},
    };

    let home = Home::start().await;
    let mut ada = Device::register(&home, "ada").await;
    let ben = Device::register(&home, "ben").await;
    ada.catch_up(&home).await;
    ada.write(ben.account(), "there is room").await;
    let (from, to) = (ada.account().clone(), ben.account().clone());
    let now = Timestamp(1_700_000_000_000);
    let large = Accept {
        part: 0,
        conversation: ConversationId::direct(&from, &to),
        device: ada.tokens.device_id,
        device_number: ada.tokens.device,
        id: new_id(),
        side: 1,
        prev: None,
        after: None,
        recipients: vec![to.uuid],
        destinations: Vec::new(),
        to: to.to_string(),
        class: Class::Message,
        collapse: None,
        expires: None,
        epoch: None,
        device_list_version: None,
        client_timestamp: now,
        now,
        body: BodyId::new(now, [1; 10]),
        discard: false,
        size: limits::MAX_INBOX_BYTES - 100,
        sender: from,
    };
    let outcomes = home.store().commit(&[large], &[]).await.unwrap();
    assert!(matches!(outcomes[0], Outcome::Accepted(_)));
    let refusal = ada.submit(submission(&to, "too much")).await.unwrap_err();
    assert_eq!(refusal.code, "queue_full");
    let other = Device::register(&home, "cem").await;
    ada.write(other.account(), "others are not held back").await;
}

/// What expired at the end of what a device acknowledged is not delivered by what follows.
#[tokio::test]
async fn what_expired_last_stays_undelivered_after_a_reconnection() {
    let home = Home::start().await;
    let (mut ada, mut ben) = pair(&home).await;
    ben.leave().await;
    ada.write(ben.account(), "first").await;
    let mut brief = submission(ben.account(), "too late");
    brief.expires = Some(home.clock.now().plus_millis(60_000));
    let brief = ada.submit(brief).await.unwrap();
    home.clock.pass(61_000);
    let backlog = ben.catch_up(&home).await;
    assert_eq!(backlog.iter().map(text).collect::<Vec<_>>(), ["first"]);
    // Up to the end of the inbox, which lies behind what expired.
    ben.ack_through(Cursor(u64::MAX >> 1)).await;
    ben.settle().await;
    ben.leave().await;
    assert_eq!(ben.catch_up(&home).await.len(), 0);
    let last = ada.write(ben.account(), "last").await;
    let got = ben.message().await;
    assert_eq!(text(&got), "last");
    ben.ack(vec![last.message_id], Seen::Delivered).await;
    let mark = loop {
        let mark = ada.watermark(Status::Delivered).await;
        if Some(mark.through) == last.origin_number {
            break mark;
        }
    };
    assert_eq!(Some(mark.except), brief.origin_number.map(|number| vec![number]));
}

/// Decision 0017.
#[tokio::test]
async fn what_was_blocked_is_never_told_as_delivered() {
    let home = Home::start().await;
    let (mut ada, mut ben) = pair(&home).await;
    let block = serde_json::json!({ "user": ada.account() });
    let blocked = call(&home, "POST", "/v1/blocks", Some(ben.token()), Some(block)).await;
    assert_eq!(blocked.status, 204, "{blocked:?}");
    let lost = ada.write(ben.account(), "lost").await;
    let path = format!("/v1/blocks/{}", ada.account());
    let unblocked = call(&home, "DELETE", &path, Some(ben.token()), None).await;
    assert_eq!(unblocked.status, 204, "{unblocked:?}");
    let heard = ada.write(ben.account(), "heard").await;
    assert_eq!(text(&ben.message().await), "heard");
    ben.ack(vec![heard.message_id], Seen::Delivered).await;
    let mark = ada.watermark(Status::Delivered).await;
    assert_eq!(Some(mark.through), heard.origin_number);
    assert_eq!(Some(mark.except), lost.origin_number.map(|number| vec![number]));
}
