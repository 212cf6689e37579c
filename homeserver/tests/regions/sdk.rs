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
    let greets = tokio::time::timeout(PATIENCE, async {
        // Bob may not have registered yet; then the device is opened again.
        let words = [north.as_str(), &alice, "alice", "bob@south.test"];
        while hello(&words, |line| show.send(line).unwrap()).await.is_err() {
            tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        }
    });
    greets.await.unwrap();
    waits.abort();
    assert_eq!(shown.recv().await.unwrap(), "bob is told: Hello!");
    assert_eq!(shown.recv().await.unwrap(), "alice is told: Hello to you!");
}
