//! A link between regions: whoever dials a region goes through a relay of bytes here, which can be
//! cut and healed. What goes through it is TLS between the regions.

use std::{io, net::SocketAddr};

use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
    sync::watch,
    task::JoinHandle,
};

/// A relay in front of one region.
pub(crate) struct Link {
    address: SocketAddr,
    up: watch::Sender<bool>,
    relaying: JoinHandle<()>,
}

impl Link {
    /// Relays what comes to `listen` to `target`, a host and port that is looked up for each
    /// connection anew.
    ///
    /// # Errors
    /// [`io::Error`] of the listener.
    pub(crate) async fn open(listen: SocketAddr, target: String) -> io::Result<Self> {
        let listener = TcpListener::bind(listen).await?;
        let address = listener.local_addr()?;
        let (up, state) = watch::channel(true);
        let relaying = tokio::spawn(relay(listener, target, state));
        Ok(Self { address, up, relaying })
    }

    /// Where to dial.
    pub(crate) fn address(&self) -> SocketAddr {
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

async fn relay(listener: TcpListener, target: String, state: watch::Receiver<bool>) {
    while let Ok((mut from, _)) = listener.accept().await {
        let (mut state, target) = (state.clone(), target.clone());
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
