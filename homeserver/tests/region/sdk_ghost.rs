//! A homeserver that adds a ghost to somebody's devices, or to a group, and wants it given ciphertexts:
//! between Ada's device and the region stands one who changes what it answers.

use std::{
    collections::BTreeSet,
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use posthouse_client::{
    ChainFault, Connector, Endpoint, Home as Homeserver, MemoryStore, Misbehaviour, NewAccount,
    Trust, Update,
};
use posthouse_crypto::e2ee::{
    primitives::curve::KeyPair,
    signed::group_epoch::{Change, Person},
};
use posthouse_protocol::{
    id::AccountId,
    rest::{
        groups::{EpochDocument, Epochs, Standing},
        keys::UserDevices,
    },
};
use rand::{SeedableRng as _, rngs::StdRng};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader, copy_bidirectional},
    net::{TcpListener, TcpStream},
};

use super::{home::Home, sdk::Sdk};

/// The number of the ghost.
const GHOST: u8 = 9;
/// The ghost in groups.
const GHOST_MEMBER: &str = "01890a5d-9999-774b-bcce-b302099a8057@eu.example";

/// Which bundles were asked for: the first line of the request, and its body.
type Asked = Arc<Mutex<Vec<(String, Value)>>>;

/// Relays to the region, and adds a ghost to every answer about devices or a group's chain.
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
        let claim = serde_json::from_slice(&body).unwrap();
        asked.lock().unwrap().push((first.clone(), claim));
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
    if first.contains("GET /v1/groups/") && first.contains("/epochs") && head.contains(" 200 ") {
        body = serde_json::to_string(&haunted(serde_json::from_str(&body).unwrap())).unwrap();
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

/// A piece of a chain with one epoch more, in which its last actor adds the ghost. The server does not
/// have the actor's key, so it signs with another one.
fn haunted(mut piece: Epochs) -> Epochs {
    let Some(last) = piece.epochs.last() else { return piece };
    let mut rng = StdRng::seed_from_u64(9);
    let (ghost, forged) = (KeyPair::generate(&mut rng), KeyPair::generate(&mut rng));
    let ghost = Person { account: GHOST_MEMBER.to_owned(), identity: ghost.public };
    let mut epoch = last.0.unverified().unwrap();
    epoch.epoch += 1;
    epoch.previous = Some(last.0.hash());
    epoch.change = Change::Add(ghost);
    piece.epochs.push(EpochDocument(epoch.sign(&forged.private, &mut rng)));
    piece
}

/// Ada's device, whose homeserver lies.
async fn haunted_ada(home: &Home, asked: &Asked) -> Sdk {
    let at = hostile(home.address(), Arc::clone(asked)).await;
    let endpoint = Endpoint::parse(&format!("http://{at}")).unwrap();
    let homeserver = Homeserver::new(Connector::new(endpoint, Trust::System).unwrap()).unwrap();
    let account = NewAccount::new("ada", "correct horse battery staple");
    let (client, updates) = homeserver.register(MemoryStore::new(), &account).await.unwrap();
    Sdk { client, updates }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_adds_a_ghost_to_a_group_is_caught() {
    let home = Home::start().await;
    let mut ben = Sdk::register(&home, "ben").await;
    let asked = Asked::default();
    let mut ada = haunted_ada(&home, &asked).await;
    let group = ada.client.create_group("Hikers", &[ben.account().clone()]).await.unwrap();
    ben.join(&group).await;
    // Either may come first.
    let (mut named, mut newest) = (None, 0);
    let fault = ada.wait("the ghost is named, and the group as it is", |update| {
        match update {
            Update::GroupRefused { group: of, fault } if *of == group => {
                named = Some(fault.clone());
            }
            Update::Group { group: of, standing: Some(Standing::Owner), epoch } if *of == group => {
                newest = *epoch;
            }
            _ => {}
        }
        named.take_if(|_| newest >= 3)
    });
    let ChainFault::Ghost { account, .. } = fault.await else { panic!("another fault") };
    assert_eq!(account, AccountId::parse(GHOST_MEMBER).unwrap());
    let id = ada.client.send_to_group(&group, "for ben alone").await.unwrap();
    assert_eq!(ben.message().await.id, id);
    let members = ada.client.members(&group).await.unwrap();
    let members: BTreeSet<_> = members.into_iter().map(|member| member.account).collect();
    assert_eq!(members, BTreeSet::from([ada.account().clone(), ben.account().clone()]));
    let asked = asked.lock().unwrap();
    assert!(!asked.is_empty());
    let about_ghost = asked.iter().filter(|(request, _)| request.contains(&GHOST_MEMBER[..36]));
    assert_eq!(about_ghost.count(), 0, "no session is begun with the ghost");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_adds_a_ghost_device_is_caught() {
    let home = Home::start().await;
    let mut ben = Sdk::register(&home, "ben").await;
    let asked = Asked::default();
    let mut ada = haunted_ada(&home, &asked).await;
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
    for (_, claim) in asked {
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
