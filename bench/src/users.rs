//! The accounts of a run.

use posthouse_client::{Api, Connection, Connector};
use posthouse_protocol::{
    id::HandleName,
    rest::{NewDevice, Register, Secret, SessionTokens},
};
use tokio::task::JoinSet;

use crate::{failure::Failure, report::Console, target::Target};

/// Registrations at a time: hashing the passwords keeps every core busy anyway.
const AT_A_TIME: u32 = 8;

/// An account with one device.
#[derive(Debug)]
pub(crate) struct User {
    /// Its account id.
    pub(crate) address: String,
    connector: Connector,
    /// Its session.
    pub(crate) access: Secret,
}

impl User {
    /// The calls of its region.
    pub(crate) fn api(&self) -> Api {
        Api::new(self.connector.clone())
    }

    /// Connects the device.
    pub(crate) async fn connect(&self) -> Result<Connection, Failure> {
        Ok(Connection::open(&self.connector, &self.access).await?)
    }
}

/// Registers `count` accounts. `run` makes their handles differ from other runs'.
pub(crate) async fn register(target: &Target, run: u64, count: u32) -> Result<Vec<User>, Failure> {
    let mut users: Vec<(u32, User)> = Vec::new();
    let mut tasks = JoinSet::new();
    let mut next = 0;
    while users.len() < count as usize {
        while next < count && tasks.len() < AT_A_TIME as usize {
            tasks.spawn(register_one(target.connector(next), run, next));
            next += 1;
        }
        let Some(done) = tasks.join_next().await else { break };
        users.push(done??);
        Console::progress(format_args!("{} of {count} accounts registered", users.len()));
    }
    users.sort_unstable_by_key(|(place, _)| *place);
    Ok(users.into_iter().map(|(_, user)| user).collect())
}

async fn register_one(connector: Connector, run: u64, place: u32) -> Result<(u32, User), Failure> {
    let handle = HandleName::parse(&format!("b{run:016x}.{place}"))
        .map_err(|err| posthouse_client::Error::Unexpected(err.to_string()))?;
    let request = Register {
        handle,
        password: Secret(format!("{run:016x}-{place}")),
        invite: None,
        device: NewDevice::default(),
    };
    let tokens: SessionTokens = Api::new(connector.clone()).register(&request).await?;
    let address = tokens.account_id.to_string();
    Ok((place, User { address, connector, access: tokens.access_token }))
}
