//! `people`: contacts, blocks, message requests, privacy, reports.

use posthouse_protocol::{
    id::AccountId,
    problem::Code,
    rest::{Blocks, Contacts, FileReport, Named, Privacy, PutContact, ReportFiled, Requests},
    schema::AddressText,
};

use super::ListLimit;
use crate::documents::{Limit, Operation, operation};

/// `people::privacy`
pub(in crate::rest) fn privacy() -> Operation {
    operation("The privacy settings", "Of the account.").gives::<Privacy>(
        200,
        r#"{"last_seen":"exact","read_receipts":true,"stories":"contacts",
                "groups":"contacts","messages":"everyone"}"#,
    )
}

/// `people::set_privacy`
pub(in crate::rest) fn set_privacy() -> Operation {
    operation("Choose privacy settings", "All of them at once.")
        .takes::<Privacy>(
            r#"{"last_seen":"exact","read_receipts":true,"stories":"contacts",
                "groups":"contacts","messages":"everyone"}"#,
        )
        .done()
}

/// `people::contacts`
pub(in crate::rest) fn contacts() -> Operation {
    operation("List the contacts", "In the order of their ids.")
        .query::<Option<AccountId>>(
            "after",
            "What `next` was on the page before.",
            "01890a5d-1111-774b-bcce-b302099a8057@us.example",
        )
        .query::<ListLimit>("limit", "Entries of the page: 1 to 500; 100 if absent.", "100")
        .gives::<Contacts>(
            200,
            r#"{"contacts":[{"account_id":"01890a5d-1111-774b-bcce-b302099a8057@us.example",
                "label":"c2VhbGVk","added_at":1705234567890}],
                "next":"01890a5d-1111-774b-bcce-b302099a8057@us.example"}"#,
        )
}

/// `people::put_contact`
pub(in crate::rest) fn put_contact() -> Operation {
    operation(
        "Add a contact",
        "Or change its label. A contact may write; two people who have each other \
         as contacts see each other's presence.",
    )
    .takes::<PutContact>(r#"{"user":"bob","label":"c2VhbGVk"}"#)
    .fails(&[Code::TooMany])
    .limited(Limit::Lookup)
    .done()
}

/// `people::remove_contact`
pub(in crate::rest) fn remove_contact() -> Operation {
    operation("Remove a contact", "From the own list; the contact is not told.")
        .path::<AddressText>(
            "user",
            "A handle or an account id, percent-encoded where need be.",
            "bob",
        )
        .fails(&[Code::NotFound])
        .limited(Limit::Lookup)
        .done()
}

/// `people::blocks`
pub(in crate::rest) fn blocks() -> Operation {
    operation("List who is blocked", "In the order of their ids.")
        .query::<Option<AccountId>>(
            "after",
            "What `next` was on the page before.",
            "01890a5d-1111-774b-bcce-b302099a8057@us.example",
        )
        .query::<ListLimit>("limit", "Entries of the page: 1 to 500; 100 if absent.", "100")
        .gives::<Blocks>(
            200,
            r#"{"blocks":[{"account_id":"01890a5d-1111-774b-bcce-b302099a8057@us.example",
                "blocked_at":1705234567890}]}"#,
        )
}

/// `people::block`
pub(in crate::rest) fn block() -> Operation {
    operation(
        "Block a user",
        "Who is blocked cannot tell: what they write is accepted and discarded.",
    )
    .takes::<Named>(r#"{"user":"bob"}"#)
    .fails(&[Code::TooMany])
    .limited(Limit::Lookup)
    .done()
}

/// `people::unblock`
pub(in crate::rest) fn unblock() -> Operation {
    operation("Unblock a user", "What was discarded meanwhile does not come back.")
        .path::<AddressText>(
            "user",
            "A handle or an account id, percent-encoded where need be.",
            "bob",
        )
        .fails(&[Code::NotFound])
        .limited(Limit::Lookup)
        .done()
}

/// `people::requests`
pub(in crate::rest) fn requests() -> Operation {
    operation("List message requests", "Strangers who have written and wait for an answer.")
        .query::<Option<AccountId>>(
            "after",
            "What `next` was on the page before.",
            "01890a5d-1111-774b-bcce-b302099a8057@us.example",
        )
        .query::<ListLimit>("limit", "Entries of the page: 1 to 500; 100 if absent.", "100")
        .gives::<Requests>(
            200,
            r#"{"requests":[{"account_id":"01890a5d-1111-774b-bcce-b302099a8057@us.example",
                "conversation_id":"abababababababababababababababab",
                "requested_at":1705234567890}]}"#,
        )
}

/// `people::accept`
pub(in crate::rest) fn accept() -> Operation {
    operation("Accept a message request", "Writing back and adding a contact accept as well.")
        .takes::<Named>(r#"{"user":"bob"}"#)
        .fails(&[Code::NotFound])
        .limited(Limit::Lookup)
        .done()
}

/// `people::decline`
pub(in crate::rest) fn decline() -> Operation {
    operation(
        "Decline a message request",
        "For 30 days what the user writes is discarded; the user is not told.",
    )
    .takes::<Named>(r#"{"user":"bob"}"#)
    .fails(&[Code::NotFound])
    .limited(Limit::Lookup)
    .done()
}

/// `people::report`
pub(in crate::rest) fn report() -> Operation {
    operation(
        "Report a user",
        "Shows the operator of the own region what somebody has written. The \
         reported user is not told.",
    )
    .takes::<FileReport>(
        r#"{"user":"bob","reason":"harassment","comment":"Threats since Monday.",
                "messages":[{"id":"01890a5d-ac96-774b-bcce-b302099a8057",
                "from":"01890a5d-1111-774b-bcce-b302099a8057@us.example",
                "content":{"text":"I know where you live."},
                "stamp":"111754252641894400"}]}"#,
    )
    .fails(&[Code::TooMany])
    .limited(Limit::Lookup)
    .gives::<ReportFiled>(201, r#"{"report_id":"01890a5d-3333-774b-bcce-b302099a8057"}"#)
}
