//! `users`: the directory.

use posthouse_protocol::{rest::User, schema::AddressText};

use crate::documents::{Limit, Operation, operation};

/// `users::find`
pub(in crate::rest) fn find() -> Operation {
    operation(
        "Find a user",
        "What anyone may know of a user of any region. Limited against \
         enumeration.",
    )
    .path::<AddressText>("user", "A handle or an account id, percent-encoded where need be.", "bob")
    .limited(Limit::Lookup)
    .gives::<User>(
        200,
        r#"{"account_id":"01890a5d-0000-774b-bcce-b302099a8057@eu.example",
                "handle":"alice"}"#,
    )
}
