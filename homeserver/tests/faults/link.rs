//! A relay of bytes in front of a region, which can be cut and can stall in the middle of anything.

use std::{net::SocketAddr, sync::Arc};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::watch,
};

/// What a link does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    /// Bytes pass.
    Up,
    /// Connections stay and nothing passes, nor is thrown away.
    Stalled,
    /// Connections break, and new ones too.
    Cut,
}

/// A link to one region.
pub(crate) struct Link {
    /// Where to dial.
    pub(crate) address: SocketAddr,
    state: Arc<watch::Sender<State>>,
}

impl Link {
    /// Relays to `target`.
    pub(crate) async fn to(target: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (state, seen) = watch::channel(State::Up);
        tokio::spawn(accept(listener, target, seen));
        Self { address, state: Arc::new(state) }
    }

    /// Changes what happens to every connection and every new one.
    pub(crate) fn set(&self, state: State) {
        self.state.send_replace(state);
    }
}

async fn accept(listener: TcpListener, target: SocketAddr, state: watch::Receiver<State>) {
    while let Ok((from, _)) = listener.accept().await {
        let state = state.clone();
        tokio::spawn(async move {
            if *state.borrow() == State::Cut {
                return;
            }
            let Ok(to) = TcpStream::connect(target).await else { return };
            let ((from_read, from_write), (to_read, to_write)) =
                (from.into_split(), to.into_split());
            // When one direction ends, so does the other.
            tokio::select! {
                () = pass(from_read, to_write, state.clone()) => {}
                () = pass(to_read, from_write, state) => {}
            }
        });
    }
}

/// Passes bytes on until an end, an error or a cut.
async fn pass(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, state: watch::Receiver<State>) {
    let (mut cut, mut stalled) = (state.clone(), state);
    let mut buffer = vec![0; 4_096];
    let passing = async {
        loop {
            if stalled.wait_for(|state| *state != State::Stalled).await.is_err() {
                return;
            }
            let Ok(length @ 1..) = from.read(&mut buffer).await else { return };
            // A stall that began meanwhile holds these bytes too.
            if stalled.wait_for(|state| *state != State::Stalled).await.is_err() {
                return;
            }
            if to.write_all(&buffer[..length]).await.is_err() {
                return;
            }
        }
    };
    tokio::select! {
        () = passing => {}
        _ = cut.wait_for(|state| *state == State::Cut) => {}
    }
}
