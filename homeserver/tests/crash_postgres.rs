//! kill -9 of either of two servers that share one PostgreSQL database, five rounds:
//! `cargo test --features postgres-tests`, with the database's URL in POSTHOUSE_TEST_POSTGRES.

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

    /// The environment variable with the URL of an empty database.
    const DATABASE: &str = "POSTHOUSE_TEST_POSTGRES";

    #[test]
    fn what_was_told_sent_survives_kill_9_of_either_server() {
        let url = std::env::var_os(DATABASE).unwrap_or_else(|| panic!("{DATABASE} is not set"));
        let place = Place::new(&["--database", url.to_str().expect("a URL")]);
        Rounds { rounds: 5, kills: 3 }.run(&[place], 2, None);
    }
}
