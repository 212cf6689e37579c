//! Two regions as processes that speak over mutual TLS: what their people learn of each other's keys.

#[cfg(test)]
#[path = "crash/server.rs"]
mod server;

#[cfg(test)]
#[path = "crash/regions.rs"]
mod regions;

#[cfg(test)]
#[path = "region/contract.rs"]
mod contract;

#[cfg(test)]
#[path = "region/http.rs"]
mod http;

#[cfg(test)]
#[path = "region/keyring.rs"]
mod keyring;

#[cfg(test)]
#[path = "regions/person.rs"]
mod person;

#[cfg(test)]
#[path = "regions/groups.rs"]
mod groups;

#[cfg(test)]
#[path = "regions/departures.rs"]
mod departures;

#[cfg(test)]
#[path = "regions/gone.rs"]
mod gone;

#[cfg(test)]
#[path = "regions/keys.rs"]
mod keys;

#[cfg(test)]
#[path = "regions/links.rs"]
mod links;

#[cfg(test)]
#[path = "regions/phrase.rs"]
mod phrase;

#[cfg(test)]
#[path = "regions/recorder.rs"]
mod recorder;

#[cfg(test)]
#[path = "regions/presence.rs"]
mod presence;

#[cfg(test)]
#[path = "regions/sdk.rs"]
mod sdk;

#[cfg(test)]
#[path = "chaos/link.rs"]
mod chaos;

#[cfg(test)]
#[path = "chaos/talk.rs"]
mod talk;

#[cfg(test)]
#[path = "regions/sdk_chaos.rs"]
mod sdk_chaos;

#[cfg(test)]
#[path = "regions/sdk_past.rs"]
mod sdk_past;

#[cfg(test)]
#[path = "regions/sdk_groups.rs"]
mod sdk_groups;

#[cfg(test)]
#[path = "regions/sdk_people.rs"]
mod sdk_people;

#[cfg(test)]
#[path = "regions/sdk_profile.rs"]
mod sdk_profile;

/// The SDK's example, as it stands.
#[cfg(test)]
#[path = "../../client/examples/hello.rs"]
#[expect(dead_code, unreachable_pub, reason = "it is a program of its own")]
mod hello;
