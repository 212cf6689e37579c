//! The `posthouse` binary as its operator meets it: real processes, files and sockets; every failure
//! with its exit code and its advice.

#[cfg(test)]
#[path = "cli/harness.rs"]
mod harness;

#[cfg(test)]
#[path = "cli/init.rs"]
mod init;

#[cfg(test)]
#[path = "cli/config.rs"]
mod config;

#[cfg(test)]
#[path = "cli/keys.rs"]
mod keys;

#[cfg(test)]
#[path = "cli/database.rs"]
mod database;

#[cfg(test)]
#[path = "cli/disk.rs"]
mod disk;

#[cfg(test)]
#[path = "cli/serve.rs"]
mod serve;

#[cfg(test)]
#[path = "cli/certificate.rs"]
mod certificate;

#[cfg(test)]
#[path = "cli/check.rs"]
mod check;

#[cfg(test)]
#[path = "cli/people.rs"]
mod people;
