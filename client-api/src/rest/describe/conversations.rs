//! `conversations`: the list of conversations, and deleting for oneself.

use posthouse_protocol::{
    id::ConversationId,
    problem::Code,
    rest::{Conversations, DeleteMessages, Deleted},
};

use super::{ConversationPlace, ListLimit};
use crate::documents::{Operation, operation};

/// `conversations::list`
pub(in crate::rest) fn list() -> Operation {
    operation("List the conversations", "Those with the latest activity first.")
        .query::<Option<ConversationPlace>>(
            "before",
            "What `next` was on the page before.",
            "111754252641119232.abababababababababababababababab",
        )
        .query::<ListLimit>("limit", "Entries of the page: 1 to 500; 100 if absent.", "100")
        .gives::<Conversations>(
            200,
            r#"{"conversations":[{"conversation_id":"abababababababababababababababab",
                "with":"01890a5d-1111-774b-bcce-b302099a8057@us.example",
                "last_activity":1705234567890,"last_stamp":"111754252641119232"}],
                "next":"111754252641119232.abababababababababababababababab"}"#,
        )
}

/// `conversations::delete`
pub(in crate::rest) fn delete() -> Operation {
    operation(
        "Delete a conversation",
        "For this account alone. `overloaded` means that there is more than is \
         deleted at once: call again.",
    )
    .path::<ConversationId>(
        "id",
        "A conversation of the account.",
        "abababababababababababababababab",
    )
    .fails(&[Code::NotFound, Code::Overloaded])
    .done()
}

/// `conversations::delete_messages`
pub(in crate::rest) fn delete_messages() -> Operation {
    operation("Delete messages", "From the account's own inbox. The sender is not told.")
        .takes::<DeleteMessages>(
            r#"{"messages":[{"from":"01890a5d-1111-774b-bcce-b302099a8057@us.example",
                "id":"01890a5d-ac96-774b-bcce-b302099a8057"}]}"#,
        )
        .gives::<Deleted>(200, r#"{"deleted":1}"#)
}
