//! Presence across regions: between people who have each other as contacts, and to nobody else.

use posthouse_client::{Connection, Connector, Endpoint, Event, Trust};
use posthouse_protocol::{
    frame::{ClientFrame, Presence, PresenceFrame, PresenceUpdate},
    id::Address,
};
use serde_json::{Value, json};
use tokio::time::timeout;
use uuid::Uuid;

use crate::{
    person::{PATIENCE, Pair, Person, until},
    server::Server,
};

pub(crate) async fn connect(person: &Person, server: &Server) -> Connection {
    let endpoint = Endpoint::parse(&format!("http://{}", server.at.client)).unwrap();
    let connector = Connector::new(endpoint, Trust::System).unwrap();
    Connection::open(&connector, &person.tokens.access_token).await.unwrap()
}

async fn told(connection: &mut Connection) -> PresenceFrame {
    let next = async {
        loop {
            if let Event::Presence(frame) = connection.next().await.unwrap() {
                return *frame;
            }
        }
    };
    timeout(PATIENCE, next).await.expect("presence comes in time")
}

async fn meet(one: &Person, other: &Person) {
    for (one, other) in [(one, other), (other, one)] {
        let body = json!({ "user": other.account() });
        let answer = one.call("POST", "/v1/contacts", Some(body)).await;
        assert!(answer.status < 300, "{answer:?}");
    }
}

async fn write(from: &Person, to: &Person) {
    let content = json!({ "type": "encrypted", "encrypted": true, "body": "c2VhbGVk" });
    let message = json!({ "id": Uuid::from_u128(7), "to": to.account(), "content": content });
    let answer = from.call("POST", "/v1/messages", Some(message)).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    until("the message arrives", async || {
        let page = to.call("GET", "/v1/messages/sync", None).await;
        page.body["messages"].as_array().is_some_and(|messages| !messages.is_empty())
    })
    .await;
}

async fn asked(by: &Person, of: &Person) -> Vec<Value> {
    let path = format!("/v1/presence?users={}", of.account());
    let answer = by.call("GET", &path, None).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.body["presence"].as_array().unwrap().clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn contacts_of_two_regions_see_each_other_come_and_go() {
    let pair = Pair::start();
    let ada = Person::register(&pair.north, "ada", 1).await;
    let cem = Person::register(&pair.north, "cem", 2).await;
    let ben = Person::register(&pair.south, "ben", 3).await;
    meet(&ada, &ben).await;
    write(&ada, &ben).await;
    let mut sees = connect(&ada, &pair.north).await;
    let watch = ClientFrame::Subscribe(vec![Address::Account(ben.account().clone())]);
    sees.send(&watch).await.unwrap();
    let first = told(&mut sees).await;
    assert_eq!((&first.user_id, first.status), (ben.account(), Presence::Offline));

    let mut there = connect(&ben, &pair.south).await;
    assert_eq!(told(&mut sees).await.status, Presence::Online);
    assert_eq!(asked(&ada, &ben).await[0]["status"], "online");
    assert_eq!(asked(&cem, &ben).await, [] as [Value; 0], "a stranger is told nothing");
    there.send(&ClientFrame::Presence(PresenceUpdate::Away)).await.unwrap();
    assert_eq!(told(&mut sees).await.status, Presence::Away);
    there.close().await;
    let gone = told(&mut sees).await;
    assert_eq!(gone.status, Presence::Offline);
    assert!(gone.last_seen.is_some());

    // Who shows nothing is not seen any more, also by who watched before.
    let path = "/v1/account/privacy";
    let mut privacy = ben.call("GET", path, None).await.body;
    privacy["last_seen"] = json!("nobody");
    let set = ben.call("PUT", path, Some(privacy)).await;
    assert!(set.status < 300, "{set:?}");
    until("nothing is told", async || asked(&ada, &ben).await.is_empty()).await;
}

/// Two regions that never had to do with each other: nobody writes, and the other one is away when it
/// is first asked.
#[tokio::test(flavor = "multi_thread")]
async fn contacts_who_never_wrote_see_each_other_once_the_other_region_is_there() {
    let mut pair = Pair::start();
    let ada = Person::register(&pair.north, "ada", 1).await;
    let dia = Person::register(&pair.north, "dia", 2).await;
    let ben = Person::register(&pair.south, "ben", 3).await;
    meet(&ada, &ben).await;
    pair.south.kill();
    let mut sees = connect(&ada, &pair.north).await;
    let watch = ClientFrame::Subscribe(vec![Address::Account(ben.account().clone())]);
    sees.send(&watch).await.unwrap();
    assert_eq!(asked(&ada, &ben).await, [] as [Value; 0], "nobody answers");
    assert_eq!(asked(&dia, &ben).await, [] as [Value; 0], "nor to somebody who may not ask");

    pair.restart_south();
    assert_eq!(told(&mut sees).await.status, Presence::Offline);
    let mut there = connect(&ben, &pair.south).await;
    assert_eq!(told(&mut sees).await.status, Presence::Online);
    // And the other way round.
    let watch = ClientFrame::Subscribe(vec![Address::Account(ada.account().clone())]);
    there.send(&watch).await.unwrap();
    assert_eq!(told(&mut there).await.status, Presence::Online);
    assert_eq!(asked(&dia, &ben).await, [] as [Value; 0]);
}
