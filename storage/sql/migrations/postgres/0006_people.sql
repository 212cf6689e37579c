-- Whom accounts know, their privacy settings, profiles, reports, and their lists of conversations.

-- other: the text of an account id, of whatever region.
-- state: 0 contact, 1 accepted, 2 has asked to write, 3 was declined.
-- label: what the account calls a contact. at: since when it is in this state.
CREATE TABLE relations (
    account BYTEA NOT NULL REFERENCES accounts (id),
    other TEXT COLLATE "C" NOT NULL,
    state BIGINT NOT NULL,
    label TEXT COLLATE "C",
    at BIGINT NOT NULL,
    PRIMARY KEY (account, other)
);
CREATE INDEX relations_by_other ON relations (other);
CREATE INDEX relations_by_state ON relations (account, state, other);
-- Requests and declined ones, the oldest first.
CREATE INDEX relations_asked ON relations (account, at) WHERE state >= 2;
CREATE INDEX relations_declined ON relations (at) WHERE state = 3;

-- last_seen: 0 exact, 1 hour, 2 nobody. stories, groups: 0 everyone, 1 contacts, 2 nobody.
-- writers: 0 everyone, 1 contacts.
CREATE TABLE privacy (
    account BYTEA PRIMARY KEY REFERENCES accounts (id),
    last_seen BIGINT NOT NULL,
    read_receipts BIGINT NOT NULL,
    stories BIGINT NOT NULL,
    group_invites BIGINT NOT NULL,
    writers BIGINT NOT NULL
);

-- Encrypted by clients.
CREATE TABLE profiles (
    account BYTEA PRIMARY KEY REFERENCES accounts (id),
    version BIGINT NOT NULL,
    name TEXT COLLATE "C",
    about TEXT COLLATE "C",
    avatar TEXT COLLATE "C",
    updated_at BIGINT NOT NULL
);

-- reported: the text of an account id. reason: 0 spam, 1 harassment, 2 impersonation, 3 illegal,
-- 4 other. evidence: JSON, as the reporter's client sent it.
CREATE TABLE reports (
    id BYTEA PRIMARY KEY,
    reporter BYTEA NOT NULL,
    reported TEXT COLLATE "C" NOT NULL,
    reason BIGINT NOT NULL,
    comment TEXT COLLATE "C",
    evidence TEXT COLLATE "C" NOT NULL,
    at BIGINT NOT NULL,
    resolved_at BIGINT,
    note TEXT COLLATE "C"
);
CREATE INDEX reports_waiting ON reports (at, id) WHERE resolved_at IS NULL;
CREATE INDEX reports_resolved ON reports (resolved_at) WHERE resolved_at IS NOT NULL;
CREATE INDEX reports_by_reporter ON reports (reporter);
CREATE INDEX reports_by_reported ON reports (reported);

-- The conversations of an account: written when a side first speaks, never afterwards. When something
-- was last said is in `conversations`.
-- other: the text of an account or group. hidden: not shown up to this stamp.
CREATE TABLE conversation_lists (
    account BYTEA NOT NULL,
    conversation BYTEA NOT NULL,
    other TEXT COLLATE "C" NOT NULL,
    hidden BIGINT NOT NULL DEFAULT 0,
    PRIMARY KEY (account, conversation)
);
CREATE INDEX conversation_lists_by_other ON conversation_lists (other);
