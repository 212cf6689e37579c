//! kill -9 while messages flow, twenty rounds: `cargo test --features long-tests`.

#[cfg(test)]
#[path = "crash/server.rs"]
mod server;

#[cfg(test)]
#[path = "crash/region.rs"]
mod region;

#[cfg(test)]
#[path = "crash/device.rs"]
mod device;

#[cfg(test)]
#[path = "crash/ledger.rs"]
mod ledger;

#[cfg(test)]
#[path = "crash/rounds.rs"]
mod rounds;

#[cfg(test)]
mod tests {
    use crate::{rounds::Rounds, server::Place};

    #[test]
    fn what_was_told_sent_survives_twenty_rounds_of_kill_9() {
        Rounds { rounds: 20, kills: 3 }.run(&[Place::new(&[])], 1, None);
    }
}
