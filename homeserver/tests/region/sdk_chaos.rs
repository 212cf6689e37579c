//! The SDK behind a link that breaks all the time, in one region.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use posthouse_client::{
    Connector, Endpoint, Home as Homeserver, MemoryStore, NewAccount, Trust, Update,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional},
    net::{TcpListener, TcpStream},
    sync::oneshot,
};

use super::{home::Home, sdk::Sdk};
use crate::{
    chaos::{Chaos, Weather},
    talk::{Talker, greet, seed, talk},
};

/// Somebody who is registered while the link is good.
async fn talker(home: &Home, name: &str, seed: u64) -> Talker {
    let link = Chaos::to(home.address(), seed).await;
    let Sdk { client, updates } = register(link.address, name).await;
    Talker { client, updates, link }
}

async fn register(at: SocketAddr, name: &str) -> Sdk {
    let endpoint = Endpoint::parse(&format!("http://{at}")).unwrap();
    let homeserver = Homeserver::new(Connector::new(endpoint, Trust::System).unwrap()).unwrap();
    let account = NewAccount::new(name, "correct horse battery staple");
    let opened = homeserver.register(MemoryStore::new(), &account).await;
    let (client, updates) = opened.unwrap();
    Sdk { client, updates }
}

#[tokio::test(flavor = "multi_thread")]
async fn three_hundred_messages_through_chaos_are_shown_once_and_in_order() {
    let (home, seed) = (Home::start().await, seed());
    let mut both = [talker(&home, "ada", seed).await, talker(&home, "ben", !seed).await];
    greet(&mut both).await;
    let weather = Weather { doublings: 6, silence_ms: 100, late_ms: 200 };
    talk(both, 150, weather, Duration::from_mins(1)).await;
}

/// Here an attempt to connect may come after the client has given it up. Silence ends after five
/// seconds at most.
#[cfg(feature = "long-tests")]
#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_messages_through_chaos_are_shown_once_and_in_order() {
    let (home, seed) = (Home::start().await, seed());
    let both = [talker(&home, "ada", seed).await, talker(&home, "ben", !seed).await];
    let weather = Weather { doublings: 9, silence_ms: 5_000, late_ms: 12_000 };
    talk(both, 5_000, weather, Duration::from_mins(30)).await;
}

/// Resets the first socket's attempt on the client's side, and brings it to the server when told to.
async fn holding_back(target: SocketAddr, bring: oneshot::Receiver<()>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let bring = Arc::new(Mutex::new(Some(bring)));
    tokio::spawn(async move {
        while let Ok((from, _)) = listener.accept().await {
            // One by one: a client may connect and say nothing, to have a connection at hand.
            tokio::spawn(pass_or_hold_back(from, target, Arc::clone(&bring)));
        }
    });
    address
}

async fn pass_or_hold_back(
    mut from: TcpStream,
    target: SocketAddr,
    bring: Arc<Mutex<Option<oneshot::Receiver<()>>>>,
) {
    let mut first = vec![0; 16_384];
    let Ok(length) = from.read(&mut first).await else { return };
    first.truncate(length);
    let is_socket = first.starts_with(b"GET /v1/connect ");
    let bring = is_socket.then(|| bring.lock().unwrap().take()).flatten();
    if let Some(bring) = bring {
        from.set_zero_linger().unwrap();
        drop(from);
        bring.await.unwrap();
        let mut to = TcpStream::connect(target).await.unwrap();
        to.write_all(&first).await.unwrap();
        // Open as long as the server likes.
        while to.read(&mut first).await.is_ok_and(|length| length > 0) {}
    } else {
        let mut to = TcpStream::connect(target).await.unwrap();
        to.write_all(&first).await.unwrap();
        let _ = copy_bidirectional(&mut from, &mut to).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_own_attempt_that_reaches_the_server_late_does_not_end_the_device() {
    let home = Home::start().await;
    let (bring, brought) = oneshot::channel();
    let at = holding_back(home.address(), brought).await;
    let mut ada = register(at, "ada").await;
    let is = |wanted: Update| move |update: &Update| (*update == wanted).then_some(());
    ada.wait("a connection", is(Update::Connected)).await;
    bring.send(()).unwrap();
    ada.wait("the other one in its place", is(Update::Disconnected)).await;
    ada.wait("a connection again", is(Update::Connected)).await;
    let mut ben = Sdk::register(&home, "ben").await;
    let id = ada.client.send_text(ben.account(), "still here").await.unwrap();
    assert_eq!(ben.message().await.id, id);
}
