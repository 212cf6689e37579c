-- A message to many inboxes whose entries have no rows in `inbox` yet, at least one of them.
-- message: messages.ref.
-- entries: for each inbox 16 bytes of its account and 8 of the arrival number, big-endian. An entry
-- has a row if its number is at most the inbox's head.
CREATE TABLE fanouts (
    message INTEGER PRIMARY KEY,
    arrived_at INTEGER NOT NULL,
    size INTEGER NOT NULL,
    entries BLOB NOT NULL
) STRICT;
