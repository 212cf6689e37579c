//! `profiles`: encrypted names and pictures.

use posthouse_protocol::{
    problem::Code,
    rest::{Profile, PutProfile},
    schema::AddressText,
};

use crate::documents::{Limit, Operation, operation};

/// `profiles::show`
pub(in crate::rest) fn show() -> Operation {
    operation(
        "A profile",
        "What its person's client has encrypted for whom it likes. Who has none \
         has `version` 0 and nothing else.",
    )
    .path::<AddressText>("user", "A handle or an account id, percent-encoded where need be.", "bob")
    .limited(Limit::Lookup)
    .gives::<Profile>(
        200,
        r#"{"account_id":"01890a5d-1111-774b-bcce-b302099a8057@us.example",
                "version":3,"name":"c2VhbGVk","about":"c2VhbGVk","avatar":"c2VhbGVk",
                "updated_at":1705234567890}"#,
    )
}

/// `profiles::own`
pub(in crate::rest) fn own() -> Operation {
    operation("The own profile", "As anybody is shown it.").gives::<Profile>(
        200,
        r#"{"account_id":"01890a5d-1111-774b-bcce-b302099a8057@us.example",
                "version":3,"name":"c2VhbGVk","about":"c2VhbGVk","avatar":"c2VhbGVk",
                "updated_at":1705234567890}"#,
    )
}

/// `profiles::put`
pub(in crate::rest) fn put() -> Operation {
    operation(
        "Replace the own profile",
        "The whole of it: absent members are removed. `replaces` is the version \
         that was seen last, 0 if there was none.",
    )
    .takes::<PutProfile>(r#"{"replaces":2,"name":"c2VhbGVk","about":"c2VhbGVk"}"#)
    .fails(&[Code::Conflict])
    .gives::<Profile>(
        200,
        r#"{"account_id":"01890a5d-1111-774b-bcce-b302099a8057@us.example",
                "version":3,"name":"c2VhbGVk","about":"c2VhbGVk","avatar":"c2VhbGVk",
                "updated_at":1705234567890}"#,
    )
}
