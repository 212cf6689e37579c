//! kill -9 of either of two regions while messages flow both ways: what was told `sent` arrives, once
//! and in order. Two rounds here; thirty with the feature `long-tests`; thirty on PostgreSQL
//! with `postgres-tests` and the URLs of two empty databases in POSTHOUSE_TEST_POSTGRES and
//! POSTHOUSE_TEST_POSTGRES_SECOND.

#[cfg(test)]
#[path = "crash/server.rs"]
mod server;

#[cfg(test)]
#[path = "crash/regions.rs"]
mod regions;

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
    #[cfg(feature = "postgres-tests")]
    use std::ffi::OsString;
    use std::net::UdpSocket;

    use crate::{rounds::Rounds, server::Place};

    fn two_regions(rounds: usize, flags: [&[&str]; 2]) {
        let dns = UdpSocket::bind("127.0.0.1:0").unwrap();
        dns.set_nonblocking(true).unwrap();
        let [north, south] = flags;
        let regions = [("north.test", north), ("south.test", south)];
        let places = Place::federated(dns.local_addr().unwrap(), &regions);
        Rounds { rounds, kills: 3 }.run(&places, 1, Some(dns));
    }

    #[test]
    fn what_was_told_sent_survives_kill_9_of_either_region() {
        two_regions(2, [&[], &[]]);
    }

    #[cfg(feature = "long-tests")]
    #[test]
    fn what_was_told_sent_survives_thirty_rounds_of_kill_9() {
        two_regions(30, [&[], &[]]);
    }

    #[cfg(feature = "postgres-tests")]
    #[test]
    fn what_was_told_sent_survives_kill_9_of_either_region_on_postgres() {
        let url = |name: &str| match std::env::var_os(name).map(OsString::into_string) {
            Some(Ok(url)) => url,
            _ => panic!("{name} is not set"),
        };
        let [first, second] =
            [url("POSTHOUSE_TEST_POSTGRES"), url("POSTHOUSE_TEST_POSTGRES_SECOND")];
        two_regions(30, [&["--database", &first], &["--database", &second]]);
    }
}
