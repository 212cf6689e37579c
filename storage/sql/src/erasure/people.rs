//! What a deleted account and others said of each other: blocks, contacts and requests, lists of
//! conversations, reports; and what only the account's own region knows of it in groups. What it did
//! in groups stays in their chains: that is the other members'.

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
    /// By the whole name alone: an account of another region may have the UUID of one of this.
    FORGET_RELATIONS = Statement::new(
        "DELETE FROM relations WHERE (account, other) IN (
            SELECT account, other FROM relations WHERE other = ? LIMIT 0 + ?)",
    );
    FORGET_LISTS = Statement::new(
        "DELETE FROM conversation_lists WHERE (account, conversation) IN (
            SELECT account, conversation FROM conversation_lists WHERE other = ? LIMIT 0 + ?)",
    );
    DELETE_LEFT_GROUPS = Statement::new(
        "DELETE FROM group_people WHERE (group_id, account) IN (
            SELECT group_id, account FROM group_people
            WHERE local = ? AND standing = 4 LIMIT 0 + ?)",
    );
    /// The account stays in the group until somebody takes it out, and gets nothing any more.
    LEAVE_GROUPS = Statement::new(
        "UPDATE group_people SET local = NULL WHERE (group_id, account) IN (
            SELECT group_id, account FROM group_people WHERE local = ? LIMIT 0 + ?)",
    );
    DELETE_PENDING = Statement::new(
        "DELETE FROM group_pending WHERE hash IN (
            SELECT hash FROM group_pending WHERE local = ? LIMIT 0 + ?)",
    );
    DELETE_GROUP_LINKS = Statement::new(
        "DELETE FROM group_links WHERE id IN (
            SELECT id FROM group_links WHERE made_by = ? LIMIT 0 + ?)",
    );
    DELETE_GROUP_ASKS = Statement::new(
        "DELETE FROM group_asks WHERE (group_id, account) IN (
            SELECT group_id, account FROM group_asks WHERE account = ? LIMIT 0 + ?)",
    );
    /// Those about the account stay for the operator: whoever is reported could take the evidence
    /// along otherwise.
    DELETE_REPORTS = Statement::new(
        "DELETE FROM reports WHERE id IN (
            SELECT id FROM reports WHERE reporter = ? LIMIT 0 + ?)",
    );
}

/// Adds what deletes at most `limit` rows of each kind. The slots tell how many there were.
pub(super) fn erase(script: &mut Script, account: &AccountId, limit: usize) -> Vec<Slot> {
    let text = account.to_string();
    let both = [&DELETE_BLOCKS, &DELETE_RELATIONS, &DELETE_LISTS];
    let mut slots: Vec<Slot> = Vec::new();
    for statement in both {
        slots.push(script.one(statement, |args| {
            args.uuid(account.uuid).text(&text).limit(limit);
        }));
    }
    for statement in [&DELETE_REPORTS, &DELETE_LEFT_GROUPS, &LEAVE_GROUPS, &DELETE_PENDING] {
        slots.push(script.one(statement, |args| {
            args.uuid(account.uuid).limit(limit);
        }));
    }
    for statement in [&DELETE_GROUP_LINKS, &DELETE_GROUP_ASKS] {
        slots.push(script.one(statement, |args| {
            args.text(&text).limit(limit);
        }));
    }
    slots
}

/// Adds what deletes at most `limit` rows of each kind that people here keep of an account of another
/// region. The slots tell how many there were.
pub(super) fn forget(script: &mut Script, account: &AccountId, limit: usize) -> Vec<Slot> {
    let text = account.to_string();
    let statements = [&FORGET_RELATIONS, &FORGET_LISTS, &DELETE_GROUP_ASKS];
    let slots = statements.map(|statement| {
        script.one(statement, |args| {
            args.text(&text).limit(limit);
        })
    });
    slots.into()
}
