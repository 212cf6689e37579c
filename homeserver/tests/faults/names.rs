//! A DNS server that can fall silent, and be told that a region has moved.

use std::net::{SocketAddr, UdpSocket};

use posthouse_federation::zone::Zone;
use posthouse_protocol::id::ServerName;
use tokio::task::JoinHandle;

/// The names of the tests' regions.
pub(crate) struct Names {
    socket: UdpSocket,
    answering: Option<JoinHandle<std::io::Result<()>>>,
}

impl Names {
    /// A server that does not answer yet.
    pub(crate) fn silent() -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.set_nonblocking(true).unwrap();
        Self { socket, answering: None }
    }

    /// Where to ask.
    pub(crate) fn address(&self) -> SocketAddr {
        self.socket.local_addr().unwrap()
    }

    /// Says from now on where these regions are, and that there are no others.
    pub(crate) fn answer<'a>(&mut self, regions: impl IntoIterator<Item = (&'a str, SocketAddr)>) {
        self.fall_silent();
        let regions = regions.into_iter();
        let zone = Zone::new(regions.map(|(name, at)| (ServerName::parse(name).unwrap(), at)));
        let socket = self.socket.try_clone().unwrap();
        let serving = zone.serve(tokio::net::UdpSocket::from_std(socket).unwrap());
        self.answering = Some(tokio::spawn(serving));
    }

    /// Questions are swallowed from now on.
    pub(crate) fn fall_silent(&mut self) {
        if let Some(answering) = self.answering.take() {
            answering.abort();
        }
    }
}
