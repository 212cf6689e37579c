//! `groups`: chains of epochs, invite links, and who asks to join.

use posthouse_protocol::{
    id::{ConversationId, GroupId},
    problem::Code,
    rest::groups::{
        CreateGroupLink, DeclineJoin, EpochTaken, Epochs, GroupInfo, GroupLinkCreated, GroupLinks,
        Groups, JoinGroup, JoinRequests, RevokeGroupLink, SubmitEpoch,
    },
};

use super::{EpochNumber, EpochsLimit, ListLimit};
use crate::documents::{Draft, Limit, Operation, operation};

const SUBMIT: &str = concat!(
    r#"{"epoch":""#,
    "gljhpgABAXgxZy4wMWEyMjUzMy04YTA4LTcwM2MtYWYwYi02ZTNhNjMxYWQ3MWJAZXUuZXhh",
    "bXBsZQIBBHgvMDFhMjI1MzMtODlhYS03MWQxLWE4OTUtYjQ2OGU1M2I3NGQ3QGV1LmV4YW1w",
    "bGUFhQB4LzAxYTIyNTMzLTg5YWEtNzFkMS1hODk1LWI0NjhlNTNiNzRkN0BldS5leGFtcGxl",
    "WCEFOz23y2q0KMjsgFiVD7HZkxvk+DUj3+hZ7ISBUNWjiWdqZXUuZXhhbXBsZUllbmNyeXB0",
    "ZWQGGwAAAYvP5WgAWEBTxlDsVjkJvmN+lGSFBhXMRliRcy3co+5zZfo87iGNUboU/AA9JiSe",
    "bMTBGYogoahhV88YuRa06K5jS2IxDZkM",
    r#""}"#
);

const TAKEN: &str = r#"{"group_id":"g.01a22533-8a08-703c-af0b-6e3a631ad71b@eu.example",
    "status":"taken","epoch":1,"hash":"LUTksRI/MzIpcTuaX3VYWsQeDjf6fdhRW6uhisVRwt0="}"#;

/// A call on one group. Whoever has nothing to do with it gets `not_found`.
fn on_a_group(summary: &'static str, description: &'static str) -> Draft {
    operation(summary, description)
        .path::<GroupId>(
            "id",
            "A group id, percent-encoded where need be. Whoever has nothing to do with the group \
             gets `not_found`, whether or not it exists.",
            "g.01a22533-8a08-703c-af0b-6e3a631ad71b@eu.example",
        )
        .fails(&[Code::NotFound])
}

/// `groups::create`
pub(in crate::rest) fn create() -> Operation {
    operation(
        "Create a group",
        "With its first epoch: a document that the owner signs. The client draws the group's id. \
         The same epoch again is answered in the same way.",
    )
    .takes::<SubmitEpoch>(SUBMIT)
    .fails(&[
        Code::Forbidden,
        Code::BadSignature,
        Code::NoIdentity,
        Code::Conflict,
        Code::StaleEpoch,
        Code::TooMany,
    ])
    .gives::<EpochTaken>(201, TAKEN)
}

/// `groups::list`
pub(in crate::rest) fn list() -> Operation {
    operation(
        "List the groups",
        "Those of the account, and those to which it is invited, in the order of their \
         conversation ids.",
    )
    .query::<Option<ConversationId>>(
        "after",
        "What `next` was on the page before.",
        "c0d39035acafae7520af432a93789db6",
    )
    .query::<ListLimit>("limit", "Entries of the page: 1 to 500; 100 if absent.", "100")
    .gives::<Groups>(
        200,
        r#"{"groups":[{"group_id":"g.01a22533-8a08-703c-af0b-6e3a631ad71b@eu.example",
            "conversation_id":"c0d39035acafae7520af432a93789db6","role":"owner","epoch":1,
            "hash":"LUTksRI/MzIpcTuaX3VYWsQeDjf6fdhRW6uhisVRwt0="}],
            "next":"c0d39035acafae7520af432a93789db6"}"#,
    )
}

/// `groups::show`
pub(in crate::rest) fn show() -> Operation {
    on_a_group(
        "A group",
        "As the server reads its chain: a convenience, since clients believe the chain.",
    )
    .gives::<GroupInfo>(
        200,
        r#"{"group_id":"g.01a22533-8a08-703c-af0b-6e3a631ad71b@eu.example",
            "conversation_id":"c0d39035acafae7520af432a93789db6","region":"eu.example",
            "epoch":1,"hash":"LUTksRI/MzIpcTuaX3VYWsQeDjf6fdhRW6uhisVRwt0=",
            "title":"ZW5jcnlwdGVk","members":[
            {"account_id":"01a22533-89aa-71d1-a895-b468e53b74d7@eu.example","role":"owner",
            "identity_key":"BTs9t8tqtCjI7IBYlQ+x2ZMb5Pg1I9/oWeyEgVDVo4ln","since":1}],
            "deputies":[],"unacknowledged":[{"region":"us.example","from":1}]}"#,
    )
}

/// `groups::epochs`
pub(in crate::rest) fn epochs() -> Operation {
    on_a_group(
        "A piece of a group's chain",
        "Signed documents without a gap. Who does not belong to the group any more reads it up to \
         the epoch that says so.",
    )
    .query::<EpochNumber>("from", "The number of the first one; 1 if absent.", "1")
    .query::<EpochsLimit>("limit", "Epochs of the page: 1 to 256; 256 if absent.", "256")
    .gives::<Epochs>(200, EPOCHS)
}

const EPOCHS: &str = concat!(
    r#"{"epochs":[""#,
    "gljhpgABAXgxZy4wMWEyMjUzMy04YTA4LTcwM2MtYWYwYi02ZTNhNjMxYWQ3MWJAZXUuZXhh",
    "bXBsZQIBBHgvMDFhMjI1MzMtODlhYS03MWQxLWE4OTUtYjQ2OGU1M2I3NGQ3QGV1LmV4YW1w",
    "bGUFhQB4LzAxYTIyNTMzLTg5YWEtNzFkMS1hODk1LWI0NjhlNTNiNzRkN0BldS5leGFtcGxl",
    "WCEFOz23y2q0KMjsgFiVD7HZkxvk+DUj3+hZ7ISBUNWjiWdqZXUuZXhhbXBsZUllbmNyeXB0",
    "ZWQGGwAAAYvP5WgAWEBTxlDsVjkJvmN+lGSFBhXMRliRcy3co+5zZfo87iGNUboU/AA9JiSe",
    "bMTBGYogoahhV88YuRa06K5jS2IxDZkM",
    r#""],"next":2}"#
);

/// `groups::submit`
pub(in crate::rest) fn submit() -> Operation {
    on_a_group(
        "Change a group",
        "Invite, accept or decline, add, remove, leave, roles, title, deputies: each is the next \
         epoch of the chain, signed by who makes it. Who is invited declines by leaving. `stale_epoch` names the head that it has to follow.",
    )
    .takes::<SubmitEpoch>(SUBMIT)
    .fails(&[
        Code::StaleEpoch,
        Code::Forbidden,
        Code::BadSignature,
        Code::ConsentNeeded,
        Code::UnknownUser,
        Code::NoIdentity,
        Code::Conflict,
        Code::TooMany,
        Code::RegionUnreachable,
    ])
    .gives::<EpochTaken>(200, TAKEN)
}

/// `groups::links`
pub(in crate::rest) fn links() -> Operation {
    on_a_group("List the invite links", "Those that hold, the earliest end first. For admins.")
        .fails(&[Code::Forbidden])
        .gives::<GroupLinks>(
            200,
            r#"{"links":[{"link_id":"01890a5d-3333-774b-bcce-b302099a8057",
                "made_by":"01a22533-89aa-71d1-a895-b468e53b74d7@eu.example",
                "expires_at":1705238167890}]}"#,
        )
}

/// `groups::create_link`
pub(in crate::rest) fn create_link() -> Operation {
    on_a_group("Make an invite link", "For admins. Its code is told this once.")
        .takes::<CreateGroupLink>(r#"{"expires_in":3600}"#)
        .fails(&[Code::Forbidden, Code::TooMany])
        .gives::<GroupLinkCreated>(
            201,
            r#"{"link_id":"01890a5d-3333-774b-bcce-b302099a8057",
                "code":"8f3b2a9cdd10e47b6a5c4d3e2f100f1e","expires_at":1705238167890}"#,
        )
}

/// `groups::revoke_link`
pub(in crate::rest) fn revoke_link() -> Operation {
    on_a_group("End an invite link", "For admins. Who asks to join already goes on asking.")
        .takes::<RevokeGroupLink>(r#"{"link_id":"01890a5d-3333-774b-bcce-b302099a8057"}"#)
        .fails(&[Code::Forbidden])
        .done()
}

/// `groups::join`
pub(in crate::rest) fn join() -> Operation {
    on_a_group(
        "Ask to join a group",
        "With the code of an invite link. A wrong code, a link that has ended and a group that does \
         not exist are answered alike.",
    )
    .takes::<JoinGroup>(r#"{"code":"8f3b2a9cdd10e47b6a5c4d3e2f100f1e"}"#)
    .fails(&[Code::Conflict, Code::TooMany, Code::RegionUnreachable])
    .limited(Limit::Lookup)
    .done()
}

/// `groups::join_requests`
pub(in crate::rest) fn join_requests() -> Operation {
    on_a_group("Who asks to join", "The earliest first. For admins.")
        .fails(&[Code::Forbidden])
        .gives::<JoinRequests>(
        200,
        r#"{"requests":[{"account_id":"01890a5d-1111-774b-bcce-b302099a8057@eu.example",
                "asked_at":1705234567890}]}"#,
    )
}

/// `groups::decline_join`
pub(in crate::rest) fn decline_join() -> Operation {
    on_a_group(
        "Take somebody off the list of who asks",
        "For admins. They are not told, and may ask again.",
    )
    .takes::<DeclineJoin>(r#"{"user":"01890a5d-1111-774b-bcce-b302099a8057@eu.example"}"#)
    .fails(&[Code::Forbidden])
    .done()
}
