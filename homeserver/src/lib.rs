//! The homeserver.

pub mod accounts;

pub mod delivery;

pub mod devices;
pub mod operator;

pub mod people;

pub mod presence;

pub mod random;

pub mod federation;

pub mod region;

pub mod regions;

pub mod cli;

pub mod serve;

pub mod init;

pub mod config;

pub mod database;

pub mod keys;

pub mod tls;

pub mod logging;

pub mod clock;

pub mod console;

mod exchange;

pub mod demo;

pub mod check;

pub mod groups;
pub mod health;

pub mod doctor;

pub mod failure;
