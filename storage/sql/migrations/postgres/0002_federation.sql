-- Queues to other regions and streams from them.

-- The sender's device, by the number that recipients know.
ALTER TABLE messages ADD COLUMN device_number BIGINT;

-- seen: 0 delivered, 1 read, 2 accepted.
-- told: the index of the newest outbox entry that tells the watermark's origin of it; 0 for none.
ALTER TABLE watermarks ADD COLUMN told BIGINT NOT NULL DEFAULT 0;

-- Nothing was ever sent from the first form of the outbox.
DROP TABLE outbox;
DROP TABLE outbox_heads;
DROP TABLE lanes;

-- lane: 0 control, 1 messages, 2 receipts, 3 bulk. head: the highest index given out.
CREATE TABLE outbox_heads (
    destination BIGINT NOT NULL,
    lane BIGINT NOT NULL,
    head BIGINT NOT NULL,
    PRIMARY KEY (destination, lane)
) WITH (fillfactor = 70);

-- idx: given by the commit, without a hole. state: 0 as it was queued, 1 failed, 2 refused.
-- message: of a message; watermark: the key of a watermark, as in inbox.slot.
-- recipients: accounts at the destination, 16 bytes each. size: bytes of the content.
-- expires: after this it fails; NULL for a watermark.
CREATE TABLE outbox (
    destination BIGINT NOT NULL,
    lane BIGINT NOT NULL,
    idx BIGINT NOT NULL,
    state BIGINT NOT NULL,
    id BYTEA NOT NULL,
    sender BYTEA,
    message BIGINT,
    watermark BYTEA,
    recipients BYTEA NOT NULL,
    payload_version BIGINT NOT NULL,
    size BIGINT NOT NULL,
    expires BIGINT,
    PRIMARY KEY (destination, lane, idx)
);

-- state: the federation's own.
CREATE TABLE outbox_streams (
    destination BIGINT PRIMARY KEY,
    state BYTEA NOT NULL
) WITH (fillfactor = 70);

-- The marks of storage/src/outbox.rs.
CREATE TABLE outbox_lanes (
    destination BIGINT NOT NULL,
    lane BIGINT NOT NULL,
    floor BIGINT NOT NULL,
    floor_hash BYTEA NOT NULL,
    receipted BIGINT NOT NULL,
    receipted_hash BYTEA NOT NULL,
    offered BIGINT NOT NULL,
    PRIMARY KEY (destination, lane)
) WITH (fillfactor = 70);

-- When entries up to an index were receipted: one row for each receipt, for the grace.
CREATE TABLE outbox_receipts (
    destination BIGINT NOT NULL,
    lane BIGINT NOT NULL,
    through BIGINT NOT NULL,
    at BIGINT NOT NULL,
    PRIMARY KEY (destination, lane, through)
);

-- standing: incarnation and lanes, in CBOR as on the wire; NULL before the first envelope.
CREATE TABLE inbound_streams (
    origin BIGINT PRIMARY KEY,
    standing BYTEA,
    since BIGINT
) WITH (fillfactor = 70);

-- Events that were not taken, for repetitions. sender: nil for a server's own event.
-- reason: the number on the wire.
CREATE TABLE rejected_events (
    id BYTEA NOT NULL,
    sender BYTEA NOT NULL,
    origin BIGINT NOT NULL,
    reason BIGINT NOT NULL,
    at BIGINT NOT NULL,
    PRIMARY KEY (id, sender, origin)
);
CREATE INDEX rejected_events_by_time ON rejected_events (at);

-- Sequences that carried nothing, as their origin said.
CREATE TABLE voids (
    number BIGINT PRIMARY KEY GENERATED ALWAYS AS IDENTITY,
    origin BIGINT NOT NULL,
    lane BIGINT NOT NULL,
    first BIGINT NOT NULL,
    last BIGINT NOT NULL,
    reason BIGINT NOT NULL,
    at BIGINT NOT NULL
);
CREATE INDEX voids_by_origin ON voids (origin, number);

-- key_head: the newest trusted entry of the peer's key log.
CREATE TABLE peers (
    server BIGINT PRIMARY KEY,
    key_head BYTEA NOT NULL
);

-- account: NULL if nobody had the handle.
CREATE TABLE remote_handles (
    server BIGINT NOT NULL,
    handle TEXT COLLATE "C" NOT NULL,
    account BYTEA,
    until BIGINT NOT NULL,
    number BIGINT NOT NULL,
    PRIMARY KEY (server, handle)
);
CREATE INDEX remote_handles_by_number ON remote_handles (number);
