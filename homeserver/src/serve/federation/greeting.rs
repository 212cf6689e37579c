//! A region that starts shows itself to the regions that it knows.
//!
//! What they could not deliver while it was away waits for their next attempt, which may be minutes
//! off; an authenticated question from here ends that wait. Nobody depends on it: an unheard greeting
//! costs that wait and nothing else.

use std::sync::Arc;

use posthouse_federation::peer::PeerClient;
use posthouse_protocol::{federation::query::Nonce, id::ServerName};
use posthouse_storage::peers::Peers;
use rand::{RngExt as _, rngs::StdRng};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// Regions that are greeted at a time. Each costs a TLS handshake.
const AT_A_TIME: usize = 16;
/// Regions that are greeted at all.
const MOST: usize = 10_000;
/// Names that are read at a time.
const PAGE: usize = 256;

/// Greets the known regions, until `stop`.
pub(super) async fn greet(
    client: Arc<PeerClient>,
    peers: Arc<dyn Peers>,
    mut rng: StdRng,
    stop: CancellationToken,
) {
    tokio::select! {
        () = stop.cancelled() => {}
        greeted = all(&client, peers.as_ref(), &mut rng) => match greeted {
            Ok(greeted) => tracing::debug!(greeted, "known regions were told that this one is here"),
            Err(err) => tracing::warn!(error = %err, "known regions could not be told that this one is here"),
        }
    }
}

/// How many answered.
async fn all(
    client: &Arc<PeerClient>,
    peers: &dyn Peers,
    rng: &mut StdRng,
) -> Result<usize, posthouse_storage::error::StoreError> {
    let (mut started, mut greeted) = (0, 0);
    let mut after: Option<ServerName> = None;
    let mut greetings = JoinSet::new();
    while started < MOST {
        let page = peers.known_peers(after.as_ref(), PAGE).await?;
        let Some(last) = page.last() else { break };
        after = Some(last.clone());
        for peer in page {
            if greetings.len() >= AT_A_TIME {
                greeted += usize::from(matches!(greetings.join_next().await, Some(Ok(true))));
            }
            started += 1;
            let client = Arc::clone(client);
            let nonce = Nonce(rng.random());
            greetings.spawn(async move { client.echo(&peer, nonce).await.is_ok() });
        }
    }
    while let Some(answered) = greetings.join_next().await {
        greeted += usize::from(matches!(answered, Ok(true)));
    }
    Ok(greeted)
}
