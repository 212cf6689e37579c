//! The list of an account's conversations, and deleting one of them for that account.

use posthouse_client_api::ports::Caller;
use posthouse_protocol::{
    id::ConversationId,
    problem::{Code, Rejection},
    rest::{ConversationInfo, Conversations as Page},
};
use posthouse_storage::conversations::{Conversations, ListPlace, Listed};

use crate::accounts::store_failed;

/// Entries of an inbox that go in one transaction.
const PIECE: usize = 1_000;

/// Most pieces of one call: what is left after so many is deleted by the next call.
const PIECES: usize = 100;

/// A page of the list.
pub(super) async fn page(
    lists: &dyn Conversations,
    caller: &Caller,
    before: Option<ListPlace>,
    limit: usize,
) -> Result<Page, Rejection> {
    let account = caller.account.uuid;
    let found = lists.conversations(account, before, limit.saturating_add(1)).await;
    let mut found = found.map_err(|err| store_failed(&err))?;
    let more = found.len() > limit;
    found.truncate(limit);
    let next = found.last().filter(|_| more).map(|last| format!("{}.{}", last.highest, last.id));
    let info = |Listed { id, other, highest }| ConversationInfo {
        conversation_id: id,
        with: other,
        last_activity: highest.time(),
        last_stamp: highest,
    };
    Ok(Page { conversations: found.into_iter().map(info).collect(), next })
}

/// Takes a conversation off the list until something is said in it, and deletes what the inbox holds
/// of it.
pub(super) async fn delete(
    lists: &dyn Conversations,
    caller: &Caller,
    conversation: ConversationId,
) -> Result<(), Rejection> {
    let account = caller.account.uuid;
    let hidden = lists.hide(account, conversation).await.map_err(|err| store_failed(&err))?;
    if !hidden {
        return Err(Rejection::new(Code::NotFound, "the account has no such conversation"));
    }
    for _ in 0..PIECES {
        let cleared = lists.clear(account, conversation, PIECE).await;
        if cleared.map_err(|err| store_failed(&err))? < PIECE {
            return Ok(());
        }
    }
    let detail = "there is more than is deleted at once; delete it again";
    Err(Rejection::new(Code::Overloaded, detail).retry_after(1))
}
