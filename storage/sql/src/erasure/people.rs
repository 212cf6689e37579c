//! What a deleted account and others said of each other: blocks, contacts and requests, lists of
//! conversations, reports.

use posthouse_protocol::id::AccountId;

use crate::{
    db::{Script, Slot},
    statement::{Statement, statements},
};

statements! {
    DELETE_BLOCKS = Statement::new(
        "DELETE FROM blocks WHERE (account, blocked) IN (
            SELECT account, blocked FROM blocks WHERE account = ? OR blocked = ? LIMIT 0 + ?)",
    );
    DELETE_RELATIONS = Statement::new(
        "DELETE FROM relations WHERE (account, other) IN (
            SELECT account, other FROM relations WHERE account = ? OR other = ? LIMIT 0 + ?)",
    );
    DELETE_LISTS = Statement::new(
        "DELETE FROM conversation_lists WHERE (account, conversation) IN (
            SELECT account, conversation FROM conversation_lists
            WHERE account = ? OR other = ? LIMIT 0 + ?)",
    );
    DELETE_REPORTS = Statement::new(
        "DELETE FROM reports WHERE id IN (
            SELECT id FROM reports WHERE reporter = ? OR reported = ? LIMIT 0 + ?)",
    );
}

/// Adds what deletes at most `limit` rows of each kind. The slots tell how many there were.
pub(super) fn erase(script: &mut Script, account: &AccountId, limit: usize) -> [Slot; 4] {
    let text = account.to_string();
    [&DELETE_BLOCKS, &DELETE_RELATIONS, &DELETE_LISTS, &DELETE_REPORTS].map(|statement| {
        script.one(statement, |args| {
            args.uuid(account.uuid).text(&text).limit(limit);
        })
    })
}
