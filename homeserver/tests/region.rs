//! One region over real sockets and a real SQLite database: what a client can rely on.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that cannot go on fails there and then"
)]

#[path = "region/accounts.rs"]
mod accounts;
#[path = "region/authorisation.rs"]
mod authorisation;
#[path = "region/calls.rs"]
mod calls;
#[path = "chaos/link.rs"]
mod chaos;
#[path = "region/contract.rs"]
mod contract;
#[path = "region/delivery.rs"]
mod delivery;
#[path = "region/device.rs"]
mod device;
#[path = "region/devices.rs"]
mod devices;
#[path = "region/frames.rs"]
mod frames;
#[path = "region/group_lies.rs"]
mod group_lies;
#[path = "region/group_talk.rs"]
mod group_talk;
#[path = "region/groups.rs"]
mod groups;
#[path = "region/home.rs"]
mod home;
#[path = "region/http.rs"]
mod http;
#[path = "region/keyring.rs"]
mod keyring;
#[path = "region/keys.rs"]
mod keys;
#[path = "region/leaving.rs"]
mod leaving;
#[cfg(feature = "interop")]
#[path = "region/libsignal.rs"]
mod libsignal;
#[path = "faults/link.rs"]
mod link;
#[path = "region/links.rs"]
mod links;
#[path = "region/people.rs"]
mod people;
#[path = "region/presence.rs"]
mod presence;
#[path = "region/protection.rs"]
mod protection;
#[path = "region/published.rs"]
mod published;
#[path = "region/sdk.rs"]
mod sdk;
#[path = "region/sdk_backup.rs"]
mod sdk_backup;
#[path = "region/sdk_chaos.rs"]
mod sdk_chaos;
#[path = "region/sdk_crash.rs"]
mod sdk_crash;
#[path = "region/sdk_ghost.rs"]
mod sdk_ghost;
#[path = "region/sdk_group_crash.rs"]
mod sdk_group_crash;
#[path = "region/sdk_groups.rs"]
mod sdk_groups;
#[path = "region/sdk_history.rs"]
mod sdk_history;
#[path = "region/sdk_leaving.rs"]
mod sdk_leaving;
#[cfg(feature = "interop")]
#[path = "region/sdk_libsignal.rs"]
mod sdk_libsignal;
#[path = "region/sdk_mentions.rs"]
mod sdk_mentions;
#[path = "region/sdk_people.rs"]
mod sdk_people;
#[path = "region/sdk_profile.rs"]
mod sdk_profile;
#[path = "region/signer.rs"]
mod signer;
#[path = "region/supplements.rs"]
mod supplements;
#[path = "region/sync.rs"]
mod sync;
#[cfg(test)]
#[path = "chaos/talk.rs"]
mod talk;

/// The SDK's example, as it stands.
#[path = "../../client/examples/hello.rs"]
#[expect(dead_code, unreachable_pub, reason = "it is a program of its own")]
mod hello;
