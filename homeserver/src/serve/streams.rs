//! `/federation`: the streams to and from other regions, for the operator.

use posthouse_protocol::{
    federation::stream::{Lane, RunningHash, Standing},
    id::ServerName,
};
use posthouse_storage::{outbox::Outbox, peers::Peers, reception::Receptions};
use posthouse_storage_sql::SqlStore;
use serde::Serialize;

use super::federation::Running;

/// Most regions that are listed.
const MAX_LISTED: usize = 1_000;

/// One region.
#[derive(Serialize)]
pub(super) struct Peer {
    region: ServerName,
    /// Since when it does not answer.
    unreachable_since: Option<u64>,
    /// Why nothing is delivered to it, as of the last attempt.
    last_error: Option<String>,
    /// What goes there.
    sends: Vec<Sent>,
    /// What came from there.
    receives: Option<Received>,
    /// Sequences that it said are void.
    voids: usize,
}

/// One lane of what goes there.
#[derive(Serialize)]
struct Sent {
    lane: &'static str,
    /// Entries that it has signed for.
    receipted: u64,
    /// Entries that may have been sent.
    offered: u64,
    /// The running hash at the receipted mark, in the present incarnation.
    hash: String,
}

/// What came from there.
#[derive(Serialize)]
struct Received {
    incarnation: u64,
    lanes: Vec<Taken>,
}

/// One lane of it.
#[derive(Serialize)]
struct Taken {
    lane: &'static str,
    through: u64,
    hash: String,
}

/// All regions that are known, as JSON.
pub(super) async fn json(store: &SqlStore, running: &Running) -> Result<String, String> {
    let mut peers = Vec::new();
    let known = store.known_peers(None, MAX_LISTED).await.map_err(|err| err.to_string())?;
    for peer in known {
        peers.push(one(store, running, peer).await.map_err(|err| err.to_string())?);
    }
    serde_json::to_string(&peers).map_err(|err| err.to_string())
}

async fn one(
    store: &SqlStore,
    running: &Running,
    peer: ServerName,
) -> Result<Peer, posthouse_storage::error::StoreError> {
    let sends = match store.marks(&peer).await? {
        Some(stream) => stream
            .lanes
            .iter()
            .map(|(lane, marks)| Sent {
                lane: name(lane),
                receipted: marks.receipted.index,
                offered: marks.offered,
                hash: hex(marks.receipted.hash),
            })
            .collect(),
        None => Vec::new(),
    };
    let receives = store.inbound(&peer).await?.standing.map(|standing| received(&standing));
    let voids = store.voids(&peer, MAX_LISTED).await?.len();
    let unreachable = running.observer().unreachable(&peer);
    let unreachable_since = unreachable.as_ref().map(|known| known.since.0);
    let last_error = unreachable.map(|known| known.why.to_string());
    Ok(Peer { region: peer, unreachable_since, last_error, sends, receives, voids })
}

fn received(standing: &Standing) -> Received {
    let lanes = standing.lanes.iter().map(|(lane, position)| Taken {
        lane: name(lane),
        through: position.through,
        hash: hex(position.hash),
    });
    Received { incarnation: standing.incarnation.number, lanes: lanes.collect() }
}

fn name(lane: Lane) -> &'static str {
    match lane {
        Lane::Control => "control",
        Lane::Messages => "messages",
        Lane::Receipts => "receipts",
        Lane::Bulk => "bulk",
    }
}

fn hex(hash: RunningHash) -> String {
    use core::fmt::Write;

    hash.0.iter().fold(String::with_capacity(64), |mut text, byte| {
        // Writing into memory does not fail.
        _ = write!(text, "{byte:02x}");
        text
    })
}
