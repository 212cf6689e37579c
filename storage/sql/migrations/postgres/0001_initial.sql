-- Posthouse on PostgreSQL. Ids are UUIDs as 16 bytes, times are milliseconds since 1970.
-- The columns are those of SQLite, so that one text of a statement serves both. Texts that are
-- compared sort by their bytes (COLLATE "C"), as they do there.
-- Tables of the message path have no foreign keys: each check would cost a lookup per row, and one
-- transaction writes both sides. Accounts and sessions have them.

-- Tables whose rows are updated in place leave room on their pages (fillfactor), so that an update
-- of an unindexed column stays on its page and touches no index.

-- Names of regions, written once and referred to by number: a name may have 253 bytes.
CREATE TABLE servers (
    id BIGINT PRIMARY KEY GENERATED ALWAYS AS IDENTITY,
    name TEXT COLLATE "C" NOT NULL UNIQUE
);

-- state: 0 active, 1 suspended. identity_key and device_list stay NULL until a client uploads them.
CREATE TABLE accounts (
    id BYTEA PRIMARY KEY,
    handle TEXT COLLATE "C" NOT NULL UNIQUE,
    password_hash TEXT NOT NULL,
    state BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    device_list_version BIGINT NOT NULL,
    identity_key BYTEA,
    device_list BYTEA
);

-- Every handle that was ever given out. A row outlives its account, so that nobody can take over
-- the name that people know somebody else by.
CREATE TABLE handles (
    handle TEXT COLLATE "C" PRIMARY KEY,
    account BYTEA NOT NULL
);

-- position: how far the device has acknowledged its account's inbox.
-- Rows of removed devices stay, since their numbers rest for 60 days.
CREATE TABLE devices (
    id BYTEA PRIMARY KEY,
    account BYTEA NOT NULL REFERENCES accounts (id),
    number BIGINT NOT NULL,
    registration_id BIGINT NOT NULL,
    name TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    removed_at BIGINT,
    active_at BIGINT NOT NULL,
    position BIGINT NOT NULL
) WITH (fillfactor = 70);
CREATE INDEX devices_by_account ON devices (account, number);

-- expires_at is that of the newest refresh token.
CREATE TABLE sessions (
    id BYTEA PRIMARY KEY,
    account BYTEA NOT NULL REFERENCES accounts (id),
    device BYTEA NOT NULL REFERENCES devices (id),
    created_at BIGINT NOT NULL,
    refreshed_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    ended_at BIGINT
);
CREATE INDEX sessions_by_account ON sessions (account, created_at);
CREATE INDEX sessions_by_device ON sessions (device);

-- Used tokens stay as long as their session, so that a copied one is noticed.
CREATE TABLE refresh_tokens (
    hash BYTEA PRIMARY KEY,
    session BYTEA NOT NULL REFERENCES sessions (id) ON DELETE CASCADE,
    used_at BIGINT
);
CREATE INDEX refresh_tokens_by_session ON refresh_tokens (session);

-- blocked is the text of an account id, of whatever region.
CREATE TABLE blocks (
    account BYTEA NOT NULL REFERENCES accounts (id),
    blocked TEXT COLLATE "C" NOT NULL,
    created_at BIGINT NOT NULL,
    PRIMARY KEY (account, blocked)
);

-- highest_stamp: of all messages known here. last_number: the highest origin number of this region.
-- spoken: bits 1 and 2 of the sides of a direct conversation. group_id: of a group's conversation.
CREATE TABLE conversations (
    id BYTEA PRIMARY KEY,
    highest_stamp BIGINT NOT NULL,
    last_number BIGINT NOT NULL,
    spoken BIGINT NOT NULL,
    group_id BYTEA
) WITH (fillfactor = 70);

-- What `prev` is compared with: the device's last accepted message. Never expires.
CREATE TABLE device_marks (
    device BYTEA NOT NULL,
    conversation BYTEA NOT NULL,
    last_message BYTEA NOT NULL,
    PRIMARY KEY (device, conversation)
) WITH (fillfactor = 70);

-- The facts of messages, each once. ref rises with acceptance: rows are appended, inboxes refer to
-- a small number, and forgetting is a walk from the low end.
-- server: the sender's region, which is the one that accepted the message.
-- device: NULL for a sender of another region.
-- class: 0 message, 1 receipt, 2 key, 3 control.
-- pointers: inbox entries and outbox intents that refer to the message; -1 once they are gone and
-- the body has been handed to the collector.
-- Numbers for messages.ref: each value stands for itself and the 255 after it, so that one call
-- numbers a whole commit. What the commit does not use is skipped.
CREATE SEQUENCE message_refs INCREMENT BY 256;

CREATE TABLE messages (
    ref BIGINT PRIMARY KEY,
    id BYTEA NOT NULL,
    sender BYTEA NOT NULL,
    server BIGINT NOT NULL,
    device BYTEA,
    addressed_to TEXT NOT NULL,
    conversation BYTEA NOT NULL,
    stamp BIGINT NOT NULL,
    origin_number BIGINT NOT NULL,
    class BIGINT NOT NULL,
    collapse TEXT,
    expires BIGINT,
    epoch BIGINT,
    device_list_version BIGINT,
    client_timestamp BIGINT NOT NULL,
    accepted_at BIGINT NOT NULL,
    body BYTEA NOT NULL,
    pointers BIGINT NOT NULL
);
-- The idempotency key. The id comes first, since statuses name a message by id alone.
CREATE UNIQUE INDEX messages_by_id ON messages (id, sender, server);
CREATE INDEX messages_unreferenced ON messages (ref) WHERE pointers = 0;

-- Ids begin with their time, so that old ones are a range.
CREATE TABLE bodies (
    id BYTEA PRIMARY KEY,
    data BYTEA NOT NULL
);

-- head: the highest arrival number given out.
CREATE TABLE inboxes (
    account BYTEA PRIMARY KEY,
    head BIGINT NOT NULL
) WITH (fillfactor = 70);

-- An entry is a message (message is set) or a watermark (slot is that watermark's key).
-- slot: entries with the same slot replace each other.
CREATE TABLE inbox (
    account BYTEA NOT NULL,
    arrival BIGINT NOT NULL,
    message BIGINT,
    slot BYTEA,
    arrived_at BIGINT NOT NULL,
    PRIMARY KEY (account, arrival)
);
CREATE UNIQUE INDEX inbox_slots ON inbox (account, slot) WHERE slot IS NOT NULL;

-- seen: 0 delivered, 1 read. excepts: numbers below through that are not covered, each 8 bytes,
-- big-endian, ascending.
CREATE TABLE watermarks (
    conversation BYTEA NOT NULL,
    reader BYTEA NOT NULL,
    reader_server BIGINT NOT NULL,
    origin BIGINT NOT NULL,
    seen BIGINT NOT NULL,
    through BIGINT NOT NULL,
    excepts BYTEA NOT NULL,
    at BIGINT NOT NULL,
    PRIMARY KEY (conversation, reader, reader_server, origin, seen)
) WITH (fillfactor = 70);

-- head: the highest number given out to an intent for the destination.
CREATE TABLE outbox_heads (
    destination BIGINT PRIMARY KEY,
    head BIGINT NOT NULL
) WITH (fillfactor = 70);

-- lane: 0 control, 1 messages, 2 receipts, 3 bulk. sequence: NULL until assigned under the lease.
CREATE TABLE outbox (
    destination BIGINT NOT NULL,
    number BIGINT NOT NULL,
    lane BIGINT NOT NULL,
    sequence BIGINT,
    recipients BYTEA NOT NULL,
    enqueued_at BIGINT NOT NULL,
    message BIGINT NOT NULL,
    PRIMARY KEY (destination, number)
);
CREATE INDEX outbox_unassigned ON outbox (destination, lane, number) WHERE sequence IS NULL;
CREATE UNIQUE INDEX outbox_sequenced ON outbox (destination, lane, sequence)
    WHERE sequence IS NOT NULL;

CREATE TABLE lanes (
    destination BIGINT NOT NULL,
    lane BIGINT NOT NULL,
    last_sequence BIGINT NOT NULL,
    PRIMARY KEY (destination, lane)
);

-- holder is NULL once the lease was given back; the row stays, so that fences only rise.
CREATE TABLE leases (
    name TEXT COLLATE "C" PRIMARY KEY,
    holder BYTEA,
    fence BIGINT NOT NULL,
    expires_at BIGINT NOT NULL
);
