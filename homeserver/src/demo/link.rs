//! The link between the demo's regions: whoever dials a region goes through a relay of bytes here,
//! which can be cut and healed. What goes through it is TLS between the regions.

use std::{net::SocketAddr, sync::Arc};

use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
    sync::watch,
    task::JoinHandle,
};

use super::failed;
use crate::failure::Failure;

/// A relay in front of one region.
pub(super) struct Link {
    address: SocketAddr,
    up: Arc<watch::Sender<bool>>,
    relaying: JoinHandle<()>,
}

impl Link {
    /// Relays to `target`.
    pub(super) async fn to(target: SocketAddr) -> Result<Self, Failure> {
        let listener = TcpListener::bind(("127.0.0.1", 0))
            .await
            .map_err(|err| failed(format!("The demo's link cannot be opened: {err}.")))?;
        let address = listener
            .local_addr()
            .map_err(|err| failed(format!("The demo's link has no address: {err}.")))?;
        let (up, state) = watch::channel(true);
        let relaying = tokio::spawn(relay(listener, target, state));
        Ok(Self { address, up: Arc::new(up), relaying })
    }

    /// Where to dial.
    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Breaks every connection, and every new one.
    pub(super) fn cut(&self) {
        self.up.send_replace(false);
    }

    /// Lets connections through again.
    pub(super) fn heal(&self) {
        self.up.send_replace(true);
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.relaying.abort();
    }
}

async fn relay(listener: TcpListener, target: SocketAddr, state: watch::Receiver<bool>) {
    while let Ok((mut from, _)) = listener.accept().await {
        let mut state = state.clone();
        if !*state.borrow_and_update() {
            continue;
        }
        tokio::spawn(async move {
            let through = async {
                let mut to = TcpStream::connect(target).await?;
                copy_bidirectional(&mut from, &mut to).await
            };
            tokio::select! {
                _ = through => {}
                _ = state.wait_for(|up| !up) => {}
            }
        });
    }
}
