//! Opens the listeners, and explains why one cannot be opened.

use std::{io, net::SocketAddr};

use tokio::net::TcpListener;

use crate::{
    config::{Config, setting::Described, table},
    failure::{Exit, Failure},
};

/// The listeners for clients.
pub(super) async fn clients(config: &Config) -> Result<Vec<TcpListener>, Failure> {
    let mut listeners = Vec::new();
    for address in &config.client.listen {
        listeners.push(bind(*address, &table::CLIENT_LISTEN).await?);
    }
    Ok(listeners)
}

/// The listener for other regions, if there is to be one.
pub(super) async fn federation(config: &Config) -> Result<Option<TcpListener>, Failure> {
    match config.federation.listen {
        Some(address) => bind(address, &table::FEDERATION_LISTEN).await.map(Some),
        None => Ok(None),
    }
}

/// The operator's listener, if there is to be one.
pub(super) async fn operator(config: &Config) -> Result<Option<TcpListener>, Failure> {
    match config.operator {
        Some(address) => bind(address, &table::OPERATOR_LISTEN).await.map(Some),
        None => Ok(None),
    }
}

async fn bind(address: SocketAddr, setting: &dyn Described) -> Result<TcpListener, Failure> {
    TcpListener::bind(address).await.map_err(|err| explain(address, setting, &err))
}

fn explain(address: SocketAddr, setting: &dyn Described, err: &io::Error) -> Failure {
    let key = setting.key();
    let port = address.port();
    let (fact, advice) = match err.kind() {
        io::ErrorKind::AddrInUse => (
            format!("Port {port} is taken: another program listens on {address}."),
            format!(
                "Stop that program (`ss -ltnp 'sport = :{port}'` shows it), or choose another port \
                 with the setting {key}."
            ),
        ),
        io::ErrorKind::AddrNotAvailable => (
            format!("This machine has no address {}.", address.ip()),
            format!("Correct the setting {key}; 0.0.0.0 and [::] stand for all addresses."),
        ),
        io::ErrorKind::PermissionDenied => (
            format!("This user may not listen on port {port}."),
            format!(
                "Ports below 1024 need the capability CAP_NET_BIND_SERVICE (AmbientCapabilities in \
                 systemd). Or choose a higher port with the setting {key}."
            ),
        ),
        _ => (
            format!("No listener can be opened on {address}: {err}."),
            format!("Check the setting {key}."),
        ),
    };
    Failure::new(Exit::Network, fact, advice)
}
