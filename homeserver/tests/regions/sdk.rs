//! The SDK's example over two regions.

use tokio::sync::mpsc;

use crate::{
    hello::hello,
    person::{PATIENCE, Pair},
};

#[tokio::test(flavor = "multi_thread")]
async fn the_example_greets_somebody_of_the_other_region() {
    let pair = Pair::start();
    let dir = tempfile::tempdir().unwrap();
    let file = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
    let [north, south] = [&pair.north, &pair.south].map(|at| format!("http://{}", at.at.client));
    let (bob, alice) = (file("bob.db"), file("alice.db"));
    let (show, mut shown) = mpsc::unbounded_channel();
    let also = show.clone();
    let waits = tokio::spawn(async move {
        let _ = hello(&[&south, &bob, "bob"], |line| also.send(line).unwrap()).await;
    });
    assert!(shown.recv().await.unwrap().starts_with("bob is "));
    let words = [north.as_str(), &alice, "alice", "bob@south.test"];
    let greets = hello(&words, |line| show.send(line).unwrap());
    tokio::time::timeout(PATIENCE, greets).await.unwrap().unwrap();
    waits.abort();
    assert!(shown.recv().await.unwrap().starts_with("alice is "));
    assert_eq!(shown.recv().await.unwrap(), "bob is told: Hello!");
    assert_eq!(shown.recv().await.unwrap(), "alice is told: Hello to you!");
}
