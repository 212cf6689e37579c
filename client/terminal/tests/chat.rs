//! `posthouse-chat` as processes, against a region with real sockets and a real database.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that cannot go on fails there and then"
)]

/// The region of the homeserver's own tests.
#[path = "../../../homeserver/tests/region/home.rs"]
#[expect(dead_code, reason = "these tests ask for less of it")]
mod home;

#[path = "../../../homeserver/tests/faults/link.rs"]
mod link;

#[cfg(feature = "interop")]
#[path = "../../../homeserver/tests/region/libsignal.rs"]
mod libsignal;

#[path = "chat/account.rs"]
mod account;

#[path = "chat/backup.rs"]
mod backup;

#[path = "chat/person.rs"]
mod person;

#[path = "chat/talk.rs"]
mod talk;

#[path = "chat/failures.rs"]
mod failures;

#[path = "chat/terminal.rs"]
mod terminal;

#[path = "chat/groups.rs"]
mod groups;

#[path = "chat/grid.rs"]
mod grid;

#[path = "chat/people.rs"]
mod people;

#[path = "chat/screen.rs"]
mod screen;

#[cfg(feature = "interop")]
#[path = "chat/interop.rs"]
mod interop;
