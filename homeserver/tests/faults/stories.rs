//! The faults, one by one.

#[cfg(feature = "long-tests")]
use std::time::Duration;

use tokio::time::timeout;

use posthouse_protocol::{
    id::{Address, Handle, HandleName, MessageId, ServerName},
    status::Status,
};

use crate::{
    person::Person,
    server::At,
    stage::{PATIENCE, Stage, arrive, deliver, write},
};

/// Messages that wait in a queue.
const QUEUED: usize = 50;
/// How long it may take until a restored region's peers have everything: an incarnation is opened at
/// most once a minute.
#[cfg(feature = "long-tests")]
const INCARNATION: Duration = Duration::from_secs(110);

/// A listener that is down holds the queue up, and nothing else.
#[test]
fn a_closed_port_holds_the_queue_up_until_it_opens() {
    Stage::play(&["north.test", "south.test"], async |stage| {
        let mut ada = stage.person("ada", 0).await;
        let mut ben = stage.person("ben", 1).await;
        deliver(&mut ada, &mut ben, 3).await;
        deliver(&mut ben, &mut ada, 3).await;

        stage.regions[1].server.kill();
        ben.hang_up();
        let before = ben.received();
        let waiting = queue(&mut ada, &ben).await;
        // Her own region is as it was.
        let mut cleo = stage.person("cleo", 0).await;
        local(&mut ada, &mut cleo).await;

        let echoes = stage.regions[0].echoes().await;
        stage.regions[1].start();
        // It shows itself, so that nobody waits for the next attempt.
        timeout(PATIENCE, async {
            while stage.regions[0].echoes().await == echoes {
                tokio::task::yield_now().await;
            }
        })
        .await
        .expect("a region that starts greets those it knows");
        arrive(&mut ada, &mut ben, before, &waiting).await;
        deliver(&mut ben, &mut ada, 3).await;
        stage.equal_hashes(0, 1).await;
    });
}

/// Regions that were found once are found while DNS is down, also after a restart. Others are not,
/// and that is said; what was written to them goes when DNS is back.
#[test]
fn dead_dns_is_no_outage_for_regions_that_are_known() {
    Stage::play(&["north.test", "south.test", "east.test"], async |stage| {
        let mut ada = stage.person("ada", 0).await;
        let mut ben = stage.person("ben", 1).await;
        let mut eva = stage.person("eva", 2).await;
        deliver(&mut ada, &mut ben, 3).await;

        stage.names.fall_silent();
        stage.regions[0].server.kill();
        stage.regions[0].start();
        ada.hang_up();
        deliver(&mut ada, &mut ben, 3).await;
        deliver(&mut ben, &mut ada, 3).await;

        let handle = Handle {
            name: HandleName::parse("somebody").unwrap(),
            server: ServerName::parse("east.test").unwrap(),
        };
        ada.write(&Address::Handle(handle), &["hello".to_owned()]).await;
        ada.until("a refusal", PATIENCE, |ada| ada.refusal().is_some()).await;
        assert_eq!(ada.refusal().unwrap().code, "region_unreachable");
        let waiting = queue(&mut ada, &eva).await;

        stage.publish();
        eva.until("the first", PATIENCE, |eva| eva.received() > 0).await;
        arrive(&mut ada, &mut eva, 0, &waiting).await;
        stage.equal_hashes(0, 1).await;
        stage.equal_hashes(0, 2).await;
    });
}

/// A region that moves is found at its new place by whoever knew the old one.
#[test]
fn a_region_that_moves_is_found_without_a_restart() {
    Stage::play(&["north.test", "south.test"], async |stage| {
        let mut ada = stage.person("ada", 0).await;
        let mut ben = stage.person("ben", 1).await;
        deliver(&mut ada, &mut ben, 3).await;

        let south = &mut stage.regions[1];
        let old = south.server.at;
        south.server.kill();
        ben.hang_up();
        // Somebody else has the old port now, so that the region cannot get it again.
        let stranger = std::net::TcpListener::bind(old.federation).unwrap();
        let before = ben.received();
        let waiting = queue(&mut ada, &ben).await;
        stage.regions[1].start_at(At { federation: At::any().federation, ..old });
        assert_ne!(stage.regions[1].server.at.federation, old.federation);
        stage.publish();
        arrive(&mut ada, &mut ben, before, &waiting).await;
        deliver(&mut ben, &mut ada, 3).await;
        stage.equal_hashes(0, 1).await;
        drop(stranger);
    });
}

/// A region comes back with the database of a while ago, in which it had only received. What it had
/// signed for since is sent again by the region that holds it, and is shown once.
#[test]
fn a_region_that_was_restored_is_sent_again_what_it_had_signed_for() {
    Stage::play(&["north.test", "south.test"], async |stage| {
        let mut ada = stage.person("ada", 0).await;
        let mut ben = stage.person("ben", 1).await;
        let mut to_ben = deliver(&mut ada, &mut ben, 20).await;
        stage.equal_hashes(0, 1).await;

        // Nobody acknowledges in the south, which therefore sends nothing.
        ben.hang_up();
        stage.regions[1].server.kill();
        let backup = stage.regions[1].back_up();
        stage.regions[1].start();
        let since = write(&mut ada, &ben, 15).await;
        ada.until("`accepted`", PATIENCE, |ada| ada.reached(&since, Status::Accepted)).await;
        assert!(!ada.reached(&since[..1], Status::Delivered));
        to_ben.extend(since);

        stage.regions[1].server.kill();
        stage.regions[1].restore(&backup);
        stage.regions[1].start();
        assert_eq!(ben.kept().await, to_ben[..20], "the region did go back");
        to_ben.extend(write(&mut ada, &ben, 5).await);
        ben.until("all", PATIENCE, |ben| ben.received() >= to_ben.len()).await;
        assert_eq!(ben.ids(), to_ben, "each once, in order");
        ada.until("`delivered`", PATIENCE, |ada| ada.reached(&to_ben, Status::Delivered)).await;
        stage.equal_hashes(0, 1).await;
        assert_eq!(ben.kept().await, to_ben, "in the inbox: each once, in order");
        let south = stage.regions[1].streams("north.test").await;
        assert_eq!(south["voids"], 0, "north had everything still");
    });
}

/// A region comes back with the database of a while ago, and what it had signed for since is kept
/// nowhere any more. The region that sent it names the gap, which both operators see, and goes on
/// after it. Takes more than the minute that lies between two incarnations.
#[cfg(feature = "long-tests")]
#[test]
fn what_nobody_keeps_any_more_is_named_and_the_stream_goes_on() {
    Stage::play(&["north.test", "south.test"], async |stage| {
        let mut ada = stage.person("ada", 0).await;
        let mut ben = stage.person("ben", 1).await;
        let mut to_ben = deliver(&mut ada, &mut ben, 10).await;
        stage.equal_hashes(0, 1).await;

        ben.hang_up();
        stage.regions[1].server.kill();
        let backup = stage.regions[1].back_up();
        stage.regions[1].start();
        let lost = write(&mut ada, &ben, 5).await;
        ada.until("`accepted`", PATIENCE, |ada| ada.reached(&lost, Status::Accepted)).await;
        stage.regions[1].server.kill();
        stage.regions[1].restore(&backup);

        // North's operator keeps nothing for others. What is old is given up at the start.
        stage.regions[0].server.kill();
        stage.regions[0].place.settings.push("federation.keep=0s".to_owned());
        stage.regions[0].start();
        ada.hang_up();
        stage.regions[1].start();
        to_ben.extend(write(&mut ada, &ben, 5).await);
        ben.until("what came after", INCARNATION, |ben| ben.received() >= to_ben.len()).await;
        assert_eq!(ben.ids(), to_ben, "each once, in order, without what is lost");
        ada.until("`delivered`", PATIENCE, |ada| ada.reached(&to_ben, Status::Delivered)).await;
        assert!(!ada.reached(&lost, Status::Delivered), "nobody is told that it arrived");
        stage.equal_hashes(0, 1).await;
        let south = stage.regions[1].streams("north.test").await;
        assert_eq!(south["voids"], 1, "the gap is named: {south}");
    });
}

/// A region comes back with the database of a while ago. What it had signed for since is sent again
/// by those who hold it; what it had sent since stays with those who took it; nobody is shown
/// anything twice; and everybody agrees at the end. Takes more than the minute that lies between two
/// incarnations.
#[cfg(feature = "long-tests")]
#[test]
fn a_region_that_was_restored_begins_its_own_stream_anew() {
    Stage::play(&["north.test", "south.test"], async |stage| {
        let mut ada = stage.person("ada", 0).await;
        let mut ben = stage.person("ben", 1).await;
        let mut to_ben = deliver(&mut ada, &mut ben, 20).await;
        let mut to_ada = deliver(&mut ben, &mut ada, 20).await;

        stage.regions[1].server.kill();
        let backup = stage.regions[1].back_up();
        stage.regions[1].start();
        ben.hang_up();
        to_ben.extend(deliver(&mut ada, &mut ben, 15).await);
        to_ada.extend(deliver(&mut ben, &mut ada, 10).await);
        stage.equal_hashes(0, 1).await;

        stage.regions[1].server.kill();
        stage.regions[1].restore(&backup);
        stage.regions[1].start();
        ben.hang_up();
        to_ben.extend(write(&mut ada, &ben, 5).await);
        to_ada.extend(write(&mut ben, &ada, 5).await);
        let (waits_for_ben, waits_for_ada) = (to_ben.len(), to_ada.len());
        ben.until("all", PATIENCE, |ben| ben.received() >= waits_for_ben).await;
        ada.until("all", INCARNATION, |ada| ada.received() >= waits_for_ada).await;
        assert_eq!(ben.ids(), to_ben, "each once, in order");
        assert_eq!(ada.ids(), to_ada, "each once, in order");
        // Without another pause.
        to_ben.extend(deliver(&mut ada, &mut ben, 3).await);
        to_ada.extend(deliver(&mut ben, &mut ada, 3).await);
        stage.equal_hashes(0, 1).await;
        assert_eq!(ada.kept().await, to_ada, "in the inbox: each once, in order");
        assert_eq!(sorted(ben.kept().await), sorted(to_ben), "in the inbox: each once");
        let south = stage.regions[1].streams("north.test").await;
        let north = stage.regions[0].streams("south.test").await;
        assert_eq!(north["receives"]["incarnation"], 2, "south's stream began anew: {north}");
        assert_eq!(south["receives"]["incarnation"], 1, "north's went back: {south}");
        assert_eq!(south["voids"], 0, "north had everything still");
    });
}

#[cfg(feature = "long-tests")]
fn sorted(mut ids: Vec<MessageId>) -> Vec<MessageId> {
    ids.sort_unstable();
    ids
}

/// Writes to somebody whose region does not answer: `sent`, and then `queued`.
async fn queue(from: &mut Person, to: &Person) -> Vec<MessageId> {
    let ids = write(from, to, QUEUED).await;
    let last = ids[QUEUED - 1];
    from.until("`queued`", PATIENCE, |from| from.was_told_queued(last)).await;
    assert!(!from.reached(&ids[..1], Status::Accepted));
    ids
}

/// A message within one region.
async fn local(from: &mut Person, to: &mut Person) {
    let before = to.received();
    let ids = write(from, to, 1).await;
    to.until("a local message", PATIENCE, |to| to.received() > before).await;
    from.until("`delivered`", PATIENCE, |from| from.reached(&ids, Status::Delivered)).await;
}
