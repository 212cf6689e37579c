-- Posthouse on SQLite. Ids are UUIDs as 16 bytes, times are milliseconds since 1970.
-- STRICT: a column can only hold its type, so that damage is found where it happens.
-- Tables of the message path have no foreign keys: each check would cost a lookup per row, and one
-- transaction writes both sides. Accounts and sessions have them.

-- Names of regions, written once and referred to by number: a name may have 253 bytes.
CREATE TABLE servers (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE
) STRICT;

-- state: 0 active, 1 suspended. identity_key and device_list stay NULL until a client uploads them.
CREATE TABLE accounts (
    id BLOB PRIMARY KEY,
    handle TEXT NOT NULL UNIQUE,
    password_hash TEXT NOT NULL,
    state INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    device_list_version INTEGER NOT NULL,
    identity_key BLOB,
    device_list BLOB
) STRICT, WITHOUT ROWID;

-- Every handle that was ever given out. A row outlives its account, so that nobody can take over
-- the name that people know somebody else by.
CREATE TABLE handles (
    handle TEXT PRIMARY KEY,
    account BLOB NOT NULL
) STRICT, WITHOUT ROWID;

-- position: how far the device has acknowledged its account's inbox.
-- Rows of removed devices stay, since their numbers rest for 60 days.
CREATE TABLE devices (
    id BLOB PRIMARY KEY,
    account BLOB NOT NULL REFERENCES accounts (id),
    number INTEGER NOT NULL,
    registration_id INTEGER NOT NULL,
    name TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    removed_at INTEGER,
    active_at INTEGER NOT NULL,
    position INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX devices_by_account ON devices (account, number);

-- expires_at is that of the newest refresh token.
CREATE TABLE sessions (
    id BLOB PRIMARY KEY,
    account BLOB NOT NULL REFERENCES accounts (id),
    device BLOB NOT NULL REFERENCES devices (id),
    created_at INTEGER NOT NULL,
    refreshed_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    ended_at INTEGER
) STRICT, WITHOUT ROWID;
CREATE INDEX sessions_by_account ON sessions (account, created_at);
CREATE INDEX sessions_by_device ON sessions (device);

-- Used tokens stay as long as their session, so that a copied one is noticed.
CREATE TABLE refresh_tokens (
    hash BLOB PRIMARY KEY,
    session BLOB NOT NULL REFERENCES sessions (id) ON DELETE CASCADE,
    used_at INTEGER
) STRICT, WITHOUT ROWID;
CREATE INDEX refresh_tokens_by_session ON refresh_tokens (session);

-- blocked is the text of an account id, of whatever region.
CREATE TABLE blocks (
    account BLOB NOT NULL REFERENCES accounts (id),
    blocked TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    PRIMARY KEY (account, blocked)
) STRICT, WITHOUT ROWID;

-- highest_stamp: of all messages known here. last_number: the highest origin number of this region.
-- spoken: bits 1 and 2 of the sides of a direct conversation. group_id: of a group's conversation.
CREATE TABLE conversations (
    id BLOB PRIMARY KEY,
    highest_stamp INTEGER NOT NULL,
    last_number INTEGER NOT NULL,
    spoken INTEGER NOT NULL,
    group_id BLOB
) STRICT, WITHOUT ROWID;

-- What `prev` is compared with: the device's last accepted message. Never expires.
CREATE TABLE device_marks (
    device BLOB NOT NULL,
    conversation BLOB NOT NULL,
    last_message BLOB NOT NULL,
    PRIMARY KEY (device, conversation)
) STRICT, WITHOUT ROWID;

-- The facts of messages, each once. ref rises with acceptance: rows are appended, inboxes refer to
-- a small number, and forgetting is a walk from the low end.
-- server: the sender's region, which is the one that accepted the message.
-- device: NULL for a sender of another region.
-- class: 0 message, 1 receipt, 2 key, 3 control.
-- pointers: inbox entries and outbox intents that refer to the message; -1 once they are gone and
-- the body has been handed to the collector.
CREATE TABLE messages (
    ref INTEGER PRIMARY KEY,
    id BLOB NOT NULL,
    sender BLOB NOT NULL,
    server INTEGER NOT NULL,
    device BLOB,
    addressed_to TEXT NOT NULL,
    conversation BLOB NOT NULL,
    stamp INTEGER NOT NULL,
    origin_number INTEGER NOT NULL,
    class INTEGER NOT NULL,
    collapse TEXT,
    expires INTEGER,
    epoch INTEGER,
    device_list_version INTEGER,
    client_timestamp INTEGER NOT NULL,
    accepted_at INTEGER NOT NULL,
    body BLOB NOT NULL,
    pointers INTEGER NOT NULL
) STRICT;
-- The idempotency key. The id comes first, since statuses name a message by id alone.
CREATE UNIQUE INDEX messages_by_id ON messages (id, sender, server);
CREATE INDEX messages_unreferenced ON messages (ref) WHERE pointers = 0;

-- Ids begin with their time, so that old ones are a range.
CREATE TABLE bodies (
    id BLOB PRIMARY KEY,
    data BLOB NOT NULL
) STRICT, WITHOUT ROWID;

-- head: the highest arrival number given out.
CREATE TABLE inboxes (
    account BLOB PRIMARY KEY,
    head INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- An entry is a message (message is set) or a watermark (slot is that watermark's key).
-- slot: entries with the same slot replace each other.
CREATE TABLE inbox (
    account BLOB NOT NULL,
    arrival INTEGER NOT NULL,
    message INTEGER,
    slot BLOB,
    arrived_at INTEGER NOT NULL,
    PRIMARY KEY (account, arrival)
) STRICT, WITHOUT ROWID;
CREATE UNIQUE INDEX inbox_slots ON inbox (account, slot) WHERE slot IS NOT NULL;

-- seen: 0 delivered, 1 read. excepts: numbers below through that are not covered, each 8 bytes,
-- big-endian, ascending.
CREATE TABLE watermarks (
    conversation BLOB NOT NULL,
    reader BLOB NOT NULL,
    reader_server INTEGER NOT NULL,
    origin INTEGER NOT NULL,
    seen INTEGER NOT NULL,
    through INTEGER NOT NULL,
    excepts BLOB NOT NULL,
    at INTEGER NOT NULL,
    PRIMARY KEY (conversation, reader, reader_server, origin, seen)
) STRICT, WITHOUT ROWID;

-- head: the highest number given out to an intent for the destination.
CREATE TABLE outbox_heads (
    destination INTEGER PRIMARY KEY,
    head INTEGER NOT NULL
) STRICT;

-- lane: 0 control, 1 messages, 2 receipts, 3 bulk. sequence: NULL until assigned under the lease.
CREATE TABLE outbox (
    destination INTEGER NOT NULL,
    number INTEGER NOT NULL,
    lane INTEGER NOT NULL,
    sequence INTEGER,
    recipients BLOB NOT NULL,
    enqueued_at INTEGER NOT NULL,
    message INTEGER NOT NULL,
    PRIMARY KEY (destination, number)
) STRICT, WITHOUT ROWID;
CREATE INDEX outbox_unassigned ON outbox (destination, lane, number) WHERE sequence IS NULL;
CREATE UNIQUE INDEX outbox_sequenced ON outbox (destination, lane, sequence)
    WHERE sequence IS NOT NULL;

CREATE TABLE lanes (
    destination INTEGER NOT NULL,
    lane INTEGER NOT NULL,
    last_sequence INTEGER NOT NULL,
    PRIMARY KEY (destination, lane)
) STRICT, WITHOUT ROWID;

-- holder is NULL once the lease was given back; the row stays, so that fences only rise.
CREATE TABLE leases (
    name TEXT PRIMARY KEY,
    holder BLOB,
    fence INTEGER NOT NULL,
    expires_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
