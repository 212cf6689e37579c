-- Queues to other regions and streams from them.

-- The sender's device, by the number that recipients know.
ALTER TABLE messages ADD COLUMN device_number INTEGER;

-- seen: 0 delivered, 1 read, 2 accepted.
-- told: the index of the newest outbox entry that tells the watermark's origin of it; 0 for none.
ALTER TABLE watermarks ADD COLUMN told INTEGER NOT NULL DEFAULT 0;

-- Nothing was ever sent from the first form of the outbox.
DROP TABLE outbox;
DROP TABLE outbox_heads;
DROP TABLE lanes;

-- lane: 0 control, 1 messages, 2 receipts, 3 bulk. head: the highest index given out.
CREATE TABLE outbox_heads (
    destination INTEGER NOT NULL,
    lane INTEGER NOT NULL,
    head INTEGER NOT NULL,
    PRIMARY KEY (destination, lane)
) STRICT, WITHOUT ROWID;

-- idx: given by the commit, without a hole. state: 0 as it was queued, 1 failed, 2 refused.
-- message: of a message; watermark: the key of a watermark, as in inbox.slot.
-- recipients: accounts at the destination, 16 bytes each. size: bytes of the content.
-- expires: after this it fails; NULL for a watermark.
CREATE TABLE outbox (
    destination INTEGER NOT NULL,
    lane INTEGER NOT NULL,
    idx INTEGER NOT NULL,
    state INTEGER NOT NULL,
    id BLOB NOT NULL,
    sender BLOB,
    message INTEGER,
    watermark BLOB,
    recipients BLOB NOT NULL,
    payload_version INTEGER NOT NULL,
    size INTEGER NOT NULL,
    expires INTEGER,
    PRIMARY KEY (destination, lane, idx)
) STRICT, WITHOUT ROWID;

-- state: the federation's own.
CREATE TABLE outbox_streams (
    destination INTEGER PRIMARY KEY,
    state BLOB NOT NULL
) STRICT;

-- The marks of storage/src/outbox.rs.
CREATE TABLE outbox_lanes (
    destination INTEGER NOT NULL,
    lane INTEGER NOT NULL,
    floor INTEGER NOT NULL,
    floor_hash BLOB NOT NULL,
    receipted INTEGER NOT NULL,
    receipted_hash BLOB NOT NULL,
    offered INTEGER NOT NULL,
    PRIMARY KEY (destination, lane)
) STRICT, WITHOUT ROWID;

-- When entries up to an index were receipted: one row for each receipt, for the grace.
CREATE TABLE outbox_receipts (
    destination INTEGER NOT NULL,
    lane INTEGER NOT NULL,
    through INTEGER NOT NULL,
    at INTEGER NOT NULL,
    PRIMARY KEY (destination, lane, through)
) STRICT, WITHOUT ROWID;

-- standing: incarnation and lanes, in CBOR as on the wire; NULL before the first envelope.
CREATE TABLE inbound_streams (
    origin INTEGER PRIMARY KEY,
    standing BLOB,
    since INTEGER
) STRICT;

-- Events that were not taken, for repetitions. sender: nil for a server's own event.
-- reason: the number on the wire.
CREATE TABLE rejected_events (
    id BLOB NOT NULL,
    sender BLOB NOT NULL,
    origin INTEGER NOT NULL,
    reason INTEGER NOT NULL,
    at INTEGER NOT NULL,
    PRIMARY KEY (id, sender, origin)
) STRICT, WITHOUT ROWID;
CREATE INDEX rejected_events_by_time ON rejected_events (at);

-- Sequences that carried nothing, as their origin said.
CREATE TABLE voids (
    number INTEGER PRIMARY KEY,
    origin INTEGER NOT NULL,
    lane INTEGER NOT NULL,
    first INTEGER NOT NULL,
    last INTEGER NOT NULL,
    reason INTEGER NOT NULL,
    at INTEGER NOT NULL
) STRICT;
CREATE INDEX voids_by_origin ON voids (origin, number);

-- key_head: the newest trusted entry of the peer's key log.
CREATE TABLE peers (
    server INTEGER PRIMARY KEY,
    key_head BLOB NOT NULL
) STRICT;

-- account: NULL if nobody had the handle.
CREATE TABLE remote_handles (
    server INTEGER NOT NULL,
    handle TEXT NOT NULL,
    account BLOB,
    until INTEGER NOT NULL,
    number INTEGER NOT NULL,
    PRIMARY KEY (server, handle)
) STRICT, WITHOUT ROWID;
CREATE INDEX remote_handles_by_number ON remote_handles (number);
