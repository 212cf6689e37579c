//! What operators and networks do to regions, with real processes, TLS and DNS: a closed port, dead
//! DNS, a region that moves, one that is restored from a backup, a link that is cut in mid-flow. And
//! what people of two regions think of each other. With the feature `postgres-tests` the regions keep
//! their data in PostgreSQL.

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
#[path = "faults/names.rs"]
mod names;

#[cfg(test)]
#[path = "faults/link.rs"]
mod link;

#[cfg(test)]
#[path = "faults/person.rs"]
mod person;

#[cfg(test)]
#[path = "faults/people.rs"]
mod people;

#[cfg(test)]
#[path = "faults/data.rs"]
mod data;

#[cfg(test)]
#[path = "faults/stage.rs"]
mod stage;

#[cfg(test)]
#[path = "faults/stories.rs"]
mod stories;

#[cfg(test)]
#[path = "faults/partition.rs"]
mod partition;
