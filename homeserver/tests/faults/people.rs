//! Requests, blocks, settings and profiles between people of two regions.

use std::net::SocketAddr;

use posthouse_protocol::status::Status;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::{
    person::Person,
    stage::{PATIENCE, Stage, deliver, write},
};

/// One call; the status and the body.
async fn call(at: SocketAddr, by: &Person, call: &str, body: Option<Value>) -> (u16, Value) {
    let body = body.map(|body| body.to_string()).unwrap_or_default();
    let request = format!(
        "{call} HTTP/1.1\r\nhost: region\r\nconnection: close\r\nauthorization: Bearer {}\r\n\
         content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        by.tokens.access_token.0,
        body.len()
    );
    let mut stream = TcpStream::connect(at).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    (status, serde_json::from_str(body).unwrap_or_default())
}

/// The other region signs for what it discards, as for anything else; nobody gets it.
#[test]
fn the_blocked_of_another_region_cannot_tell() {
    Stage::play(&["north.test", "south.test"], async |stage| {
        let mut ada = stage.person("ada", 0).await;
        let mut cleo = stage.person("cleo", 0).await;
        let mut ben = stage.person("ben", 1).await;
        let south = stage.regions[1].server.at.client;
        deliver(&mut ada, &mut ben, 1).await;
        let (_, requests) = call(south, &ben, "GET /v1/requests", None).await;
        assert_eq!(requests["requests"][0]["account_id"], ada.account.to_string().as_str());
        deliver(&mut ben, &mut ada, 1).await;
        let (_, requests) = call(south, &ben, "GET /v1/requests", None).await;
        assert_eq!(requests["requests"], json!([]), "he has answered");

        let named = json!({"user": ada.account.to_string()});
        assert_eq!(call(south, &ben, "POST /v1/blocks", Some(named)).await.0, 204);
        let before = ben.received();
        let unheard = write(&mut ada, &ben, 3).await;
        ada.until("`accepted`", PATIENCE, |ada| ada.reached(&unheard, Status::Accepted)).await;
        // What came later on the same lane is there, and only that.
        let heard = deliver(&mut cleo, &mut ben, 1).await;
        assert_eq!(ben.ids().split_off(before), heard);
        assert!(!ada.reached(&unheard, Status::Delivered));
        assert!(ada.refusal().is_none());
        let path = format!("DELETE /v1/blocks/{}", ada.account);
        assert_eq!(call(south, &ben, &path, None).await.0, 204);
        let before = ben.received();
        let heard = write(&mut ada, &ben, 1).await;
        ben.until("a message", PATIENCE, |ben| ben.received() > before).await;
        assert_eq!(ben.ids().split_off(before), heard);
        stage.equal_hashes(0, 1).await;
    });
}

/// A profile is asked for where its person lives, and remembered while that region is away.
#[test]
fn profiles_are_seen_from_other_regions() {
    Stage::play(&["north.test", "south.test"], async |stage| {
        let mut ada = stage.person("ada", 0).await;
        let mut ben = stage.person("ben", 1).await;
        let (north, south) = (stage.regions[0].server.at.client, stage.regions[1].server.at.client);
        let profile = json!({"replaces": 0, "name": "c2VhbGVk", "avatar": "cGljdHVyZQ=="});
        let put = call(south, &ben, "PUT /v1/users/me/profile", Some(profile)).await;
        assert_eq!((put.0, &put.1["version"]), (200, &json!(1)));
        let path = format!("GET /v1/users/{}/profile", ben.account);
        let (status, seen) = call(north, &ada, &path, None).await;
        assert_eq!((status, &seen["name"]), (200, &json!("c2VhbGVk")), "{seen}");
        assert_eq!(seen["account_id"], ben.account.to_string().as_str());
        let nobody = format!("GET /v1/users/{}@south.test/profile", ada.account.uuid);
        let (status, nobody) = call(north, &ada, &nobody, None).await;
        assert_eq!((status, &nobody["code"]), (404, &json!("unknown_user")));

        // Who takes messages from people whom they know takes none of a stranger, and says so.
        let (_, mut privacy) = call(south, &ben, "GET /v1/account/privacy", None).await;
        privacy["messages"] = json!("contacts");
        assert_eq!(call(south, &ben, "PUT /v1/account/privacy", Some(privacy)).await.0, 204);
        ada.expect_failures();
        let refused = write(&mut ada, &ben, 1).await;
        ada.until("`failed`", PATIENCE, |ada| ada.reached(&refused, Status::Failed)).await;
        deliver(&mut ben, &mut ada, 1).await;
        deliver(&mut ada, &mut ben, 1).await;

        stage.regions[1].server.kill();
        let (status, seen) = call(north, &ada, &path, None).await;
        assert_eq!((status, &seen["name"]), (200, &json!("c2VhbGVk")), "{seen}");
    });
}
