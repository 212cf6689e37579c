//! `posthouse-chat` between people of two regions that are processes of their own and speak over mutual
//! TLS; the demo, and the commands that it offers.
//!
//! The homeserver's binary belongs to another package and need not be there when these tests run. So
//! this program is the homeserver, too, if its first argument is one of the homeserver's commands; it
//! has its own `main` for that.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that cannot go on fails there and then"
)]
#![expect(clippy::print_stdout, reason = "this is a test harness: it says what it runs")]

#[path = "regions/demo.rs"]
mod demo;

#[path = "chat/person.rs"]
#[expect(dead_code, reason = "these tests ask for less of it")]
mod person;

#[path = "regions/region.rs"]
mod region;

#[path = "regions/talk.rs"]
mod talk;

#[path = "chat/grid.rs"]
mod grid;

#[path = "chat/terminal.rs"]
#[expect(dead_code, reason = "these tests ask for less of it")]
mod terminal;

use std::process::ExitCode;

const TESTS: &[(&str, fn())] = &[
    ("the_demo_offers_commands_that_work", demo::the_demo_offers_commands_that_work),
    ("people_of_two_regions", talk::people_of_two_regions),
];

fn main() -> ExitCode {
    let wanted: Vec<String> = std::env::args().skip(1).collect();
    let command = wanted.first().map(String::as_str);
    if matches!(command, Some("certificate" | "demo" | "init" | "serve")) {
        return posthouse_homeserver::cli::main();
    }
    let filters: Vec<_> = wanted.iter().filter(|word| !word.starts_with('-')).collect();
    for (name, run) in TESTS {
        if filters.is_empty() || filters.iter().any(|part| name.contains(part.as_str())) {
            // Whatever fails panics, which ends the program with an error.
            run();
            println!("test {name} ... ok");
        }
    }
    ExitCode::SUCCESS
}
