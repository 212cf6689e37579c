//! kill -9 while messages flow: what was told `sent` arrives, once and in order. Three rounds here;
//! `crash_long` and `crash_postgres` do more.

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
    fn what_was_told_sent_survives_kill_9() {
        Rounds { rounds: 3, kills: 2 }.run(&[Place::new(&[])], 1, None);
    }
}
