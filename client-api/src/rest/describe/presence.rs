//! `presence`: who is there.

use posthouse_protocol::problem::Code;

use super::UserList;
use crate::documents::{Operation, operation};
use crate::rest::presence::Answer as PresenceAnswer;

/// `presence::query`
pub(in crate::rest) fn query() -> Operation {
    operation("Some users' presence", "Those whose presence the caller may not see are left out. Users of other regions are named by \
         their account ids.")
        .query::<UserList>(
            "users",
            "1 to 100 handles or account ids, separated by commas.",
            "bob,01890a5d-0000-774b-bcce-b302099a8057@eu.example",
        )
        .required()
        .fails(&[Code::TooLarge, Code::UnknownUser, Code::RegionUnreachable])
        .gives::<PresenceAnswer>(
            200,
            r#"{"presence":[{"type":"presence",
                "user_id":"01890a5d-0000-774b-bcce-b302099a8057@eu.example",
                "status":"online"}]}"#,
        )
}
