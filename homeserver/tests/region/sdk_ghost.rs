//! A homeserver that adds a ghost to somebody's devices, and wants it given ciphertexts: between
//! Ada's device and the region stands one who changes what it answers.

use std::{
    collections::BTreeSet,
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use posthouse_client::{
    Connector, Endpoint, Home as Homeserver, MemoryStore, Misbehaviour, NewAccount, Trust, Update,
};
use posthouse_protocol::rest::keys::UserDevices;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader, copy_bidirectional},
    net::{TcpListener, TcpStream},
};

use super::{home::Home, sdk::Sdk};

/// The number of the ghost.
const GHOST: u8 = 9;

/// Which bundles were asked for.
type Asked = Arc<Mutex<Vec<Value>>>;

/// Relays to the region, and adds a ghost to every answer about devices.
async fn hostile(target: SocketAddr, asked: Asked) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((from, _)) = listener.accept().await {
            tokio::spawn(serve(from, target, Arc::clone(&asked)));
        }
    });
    address
}

/// One request a connection; a socket is passed through.
async fn serve(from: TcpStream, target: SocketAddr, asked: Asked) -> std::io::Result<()> {
    let mut from = BufReader::new(from);
    let (mut head, mut length) = (String::new(), 0);
    while !head.ends_with("\r\n\r\n") {
        let start = head.len();
        if from.read_line(&mut head).await? == 0 {
            return Ok(());
        }
        if let Some(value) = head[start..].to_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().unwrap();
        }
    }
    let mut body = vec![0; length];
    from.read_exact(&mut body).await?;
    let mut to = TcpStream::connect(target).await?;
    let first = head.lines().next().unwrap_or_default().to_owned();
    if first.contains("/v1/connect") {
        to.write_all(head.as_bytes()).await?;
        copy_bidirectional(&mut from, &mut to).await?;
        return Ok(());
    }
    if first.contains("/bundles") {
        asked.lock().unwrap().push(serde_json::from_slice(&body).unwrap());
    }
    // One request each: the answer ends with the connection.
    let head = head.replacen("\r\n", "\r\nconnection: close\r\n", 1);
    to.write_all(head.as_bytes()).await?;
    to.write_all(&body).await?;
    let mut answer = Vec::new();
    to.read_to_end(&mut answer).await?;
    let answer = String::from_utf8(answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    let mut body = body.to_owned();
    if first.contains("/v1/users/") && first.contains("/devices") && head.contains(" 200 ") {
        let mut devices: UserDevices = serde_json::from_str(&body).unwrap();
        let mut ghost = devices.devices[0].clone();
        ghost.device = GHOST.try_into().unwrap();
        devices.devices.push(ghost);
        body = serde_json::to_string(&devices).unwrap();
    }
    let status = head.lines().next().unwrap();
    let length = body.len();
    let answer = format!(
        "{status}\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\
         connection: close\r\n\r\n{body}"
    );
    from.write_all(answer.as_bytes()).await?;
    from.shutdown().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_adds_a_ghost_device_is_caught() {
    let home = Home::start().await;
    let mut ben = Sdk::register(&home, "ben").await;
    let asked = Asked::default();
    let at = hostile(home.address(), Arc::clone(&asked)).await;
    let endpoint = Endpoint::parse(&format!("http://{at}")).unwrap();
    let homeserver = Homeserver::new(Connector::new(endpoint, Trust::System).unwrap()).unwrap();
    let account = NewAccount::new("ada", "correct horse battery staple");
    let (client, updates) = homeserver.register(MemoryStore::new(), &account).await.unwrap();
    let mut ada = Sdk { client, updates };
    let id = ada.client.send_text(ben.account(), "for ben alone").await.unwrap();
    // Of her own account she is told of a ghost as well.
    let mut named = BTreeSet::from([ada.account().clone(), ben.account().clone()]);
    ada.wait("both ghosts are named", |update| {
        if let Update::Refused { user, reason: Misbehaviour::Ghost { device: GHOST } } = update {
            named.remove(user);
        }
        named.is_empty().then_some(())
    })
    .await;
    let got = tokio::time::timeout(Duration::from_secs(20), ben.message()).await.unwrap();
    assert_eq!((got.id, got.said.text()), (id, Some("for ben alone")));
    let asked = asked.lock().unwrap().clone();
    assert!(!asked.is_empty());
    for claim in asked {
        assert_eq!(claim["devices"], json!([1]), "nothing is begun with the ghost");
    }
}

/// Whoever has the password, the operator too, can log a device in. Nobody has signed it.
#[tokio::test(flavor = "multi_thread")]
async fn a_device_that_logs_in_with_the_password_alone_is_sent_nothing() {
    let home = Home::start().await;
    let (ada, mut ben) = (Sdk::register(&home, "ada").await, Sdk::register(&home, "ben").await);
    let request = super::device::log_in("ben", "correct horse battery staple");
    let ghost = super::device::Device::log_in_with(&home, &request).await;
    let id = ada.client.send_text(ben.account(), "for ben alone").await.unwrap();
    assert_eq!(ben.message().await.id, id);
    let access = &ghost.tokens.access_token;
    let inbox = ghost.api.sync(access, None, 100).await.unwrap();
    assert!(inbox.messages.iter().all(|one| !one.get().contains("ciphertexts")), "{inbox:?}");
    let devices = ben.client.devices().await.unwrap();
    assert_eq!(devices.iter().map(|one| one.listed).collect::<Vec<_>>(), [true, false]);
}
