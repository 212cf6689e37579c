//! `keys`: keys that others encrypt for.

use posthouse_protocol::{
    problem::Code,
    rest::keys::{
        Bundles, ClaimBundles, KeyChanges, PreKeyStatus, PutDeviceList, SetIdentity, UploadPreKeys,
        UserDevices,
    },
    schema::AddressText,
};

use crate::documents::{Limit, Operation, operation};

/// `keys::set_identity`
pub(in crate::rest) fn set_identity() -> Operation {
    operation(
        "Set the identity key",
        "The account's, by its first device. The same key again changes nothing; \
         another key asks for the `password` and is told to people.",
    )
    .takes::<SetIdentity>(r#"{"identity_key":"BYUg8AmJMKdUdIt93LQ+91oNvzoNJjga9OukqY6qm05q"}"#)
    .fails(&[Code::WrongCredentials, Code::Conflict, Code::Overloaded])
    .done()
}

/// `keys::put_list`
pub(in crate::rest) fn put_list() -> Operation {
    operation(
        "Publish the signed device list",
        "It is taken if the identity key signed it, its version follows the \
         newest, and it names exactly the devices of the account.",
    )
    .takes::<PutDeviceList>(concat!(
        r#"{"list":""#,
        "glhqpgABAXgvMDE4OTBhNWQtYWM5Ni03NzRiLWJjY2UtYjMwMjA5OWE4MDU3QGV1LmV4YW",
        "1wbGUCAwMbAAABi8/laAAEgoMBGE0bAAABi8/laACDAxhOGwAAAYvP5WgABYGCAhsAAAGL",
        "z+VoAFhAmcTMYngaIZ7qEPDdF8iity3DAnjeHYif9nAMBM3w94xBP9FvlD1RI8yxI1jEew",
        "hT/7bUToufYElLjlQcdR5aDA==",
        r#""}"#
    ))
    .fails(&[Code::BadSignature, Code::DeviceListRefused, Code::NoIdentity, Code::Conflict])
    .done()
}

/// `keys::upload`
pub(in crate::rest) fn upload() -> Operation {
    operation(
        "Upload prekeys",
        "Of the calling device. Each member may be absent, not all of them. Ids \
         of one-time keys rise; those that are not above the highest are passed \
         over, so an upload may be sent again.",
    )
    .takes::<UploadPreKeys>(
        r#"{"one_time":[{"id":1,
                "key":"BYUg8AmJMKdUdIt93LQ+91oNvzoNJjga9OukqY6qm05q"}]}"#,
    )
    .fails(&[Code::BadSignature, Code::TooMany, Code::NoIdentity, Code::Conflict])
    .gives::<PreKeyStatus>(200, r#"{"one_time":100,"one_time_kem":100,"signed":1,"last_resort":2}"#)
}

/// `keys::status`
pub(in crate::rest) fn status() -> Operation {
    operation("Prekeys that are left", "What is stored for the calling device.")
        .gives::<PreKeyStatus>(
            200,
            r#"{"one_time":100,"one_time_kem":100,"signed":1,"last_resort":2}"#,
        )
}

/// `keys::user_devices`
pub(in crate::rest) fn user_devices() -> Operation {
    operation(
        "A user's devices",
        "Their identity key, signed device list, and the devices that the server \
         knows. Believe a device only if the signed list names it.",
    )
    .path::<AddressText>("user", "A handle or an account id, percent-encoded where need be.", "bob")
    .fails(&[Code::AnswerRefused])
    .limited(Limit::Lookup)
    .gives::<UserDevices>(
        200,
        r#"{"account_id":"01890a5d-0000-774b-bcce-b302099a8057@eu.example",
                "identity_key":"BYUg8AmJMKdUdIt93LQ+91oNvzoNJjga9OukqY6qm05q",
                "version":0,"devices":[{"device":1,"registration_id":4711,
                "listed":false}]}"#,
    )
}

/// `keys::key_changes`
pub(in crate::rest) fn key_changes() -> Operation {
    operation(
        "A user's identity keys",
        "The newest 100, the oldest first, of a user of this region.",
    )
    .path::<AddressText>("user", "A handle or an account id, percent-encoded where need be.", "bob")
    .limited(Limit::Lookup)
    .gives::<KeyChanges>(
        200,
        r#"{"account_id":"01890a5d-0000-774b-bcce-b302099a8057@eu.example",
                "changes":[{"number":1,"at":1705234567890,
                "identity_key":"BYUg8AmJMKdUdIt93LQ+91oNvzoNJjga9OukqY6qm05q"}]}"#,
    )
}

/// `keys::claim`
pub(in crate::rest) fn claim() -> Operation {
    operation(
        "Claim prekey bundles",
        "What sessions with a user's devices begin with. A one-time key is handed \
         out once, ever; the same `request_id` is given the same answer for 24 \
         hours.",
    )
    .path::<AddressText>("user", "A handle or an account id, percent-encoded where need be.", "bob")
    .takes::<ClaimBundles>(
        r#"{"request_id":"01890a5d-ac96-774b-bcce-b302099a8057","devices":[1,2]}"#,
    )
    .fails(&[Code::NoIdentity, Code::UnknownUser, Code::RegionUnreachable, Code::AnswerRefused])
    .gives::<Bundles>(
        200,
        r#"{"account_id":"01890a5d-0000-774b-bcce-b302099a8057@eu.example",
                "identity_key":"BYUg8AmJMKdUdIt93LQ+91oNvzoNJjga9OukqY6qm05q",
                "bundles":[],"without_keys":[1]}"#,
    )
}
