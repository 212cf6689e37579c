-- Whom accounts know, their privacy settings, profiles, reports, and their lists of conversations.

-- other: the text of an account id, of whatever region.
-- state: 0 contact, 1 accepted, 2 has asked to write, 3 was declined.
-- label: what the account calls a contact. at: since when it is in this state.
CREATE TABLE relations (
    account BLOB NOT NULL REFERENCES accounts (id),
    other TEXT NOT NULL,
    state INTEGER NOT NULL,
    label TEXT,
    at INTEGER NOT NULL,
    PRIMARY KEY (account, other)
) STRICT, WITHOUT ROWID;
CREATE INDEX relations_by_other ON relations (other);
CREATE INDEX relations_by_state ON relations (account, state, other);
-- Requests and declined ones, the oldest first.
CREATE INDEX relations_asked ON relations (account, at) WHERE state >= 2;
CREATE INDEX relations_declined ON relations (at) WHERE state = 3;

-- last_seen: 0 exact, 1 hour, 2 nobody. stories, groups: 0 everyone, 1 contacts, 2 nobody.
-- writers: 0 everyone, 1 contacts.
CREATE TABLE privacy (
    account BLOB PRIMARY KEY REFERENCES accounts (id),
    last_seen INTEGER NOT NULL,
    read_receipts INTEGER NOT NULL,
    stories INTEGER NOT NULL,
    group_invites INTEGER NOT NULL,
    writers INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- Encrypted by clients.
CREATE TABLE profiles (
    account BLOB PRIMARY KEY REFERENCES accounts (id),
    version INTEGER NOT NULL,
    name TEXT,
    about TEXT,
    avatar TEXT,
    updated_at INTEGER NOT NULL
) STRICT;

-- reported: the text of an account id. reason: 0 spam, 1 harassment, 2 impersonation, 3 illegal,
-- 4 other. evidence: JSON, as the reporter's client sent it.
CREATE TABLE reports (
    id BLOB PRIMARY KEY,
    reporter BLOB NOT NULL,
    reported TEXT NOT NULL,
    reason INTEGER NOT NULL,
    comment TEXT,
    evidence TEXT NOT NULL,
    at INTEGER NOT NULL,
    resolved_at INTEGER,
    note TEXT
) STRICT;
CREATE INDEX reports_waiting ON reports (at, id) WHERE resolved_at IS NULL;
CREATE INDEX reports_resolved ON reports (resolved_at) WHERE resolved_at IS NOT NULL;
CREATE INDEX reports_by_reporter ON reports (reporter);
CREATE INDEX reports_by_reported ON reports (reported);

-- The conversations of an account: written when a side first speaks, never afterwards. When something
-- was last said is in `conversations`.
-- other: the text of an account or group. hidden: not shown up to this stamp.
CREATE TABLE conversation_lists (
    account BLOB NOT NULL,
    conversation BLOB NOT NULL,
    other TEXT NOT NULL,
    hidden INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (account, conversation)
) STRICT, WITHOUT ROWID;
CREATE INDEX conversation_lists_by_other ON conversation_lists (other);
