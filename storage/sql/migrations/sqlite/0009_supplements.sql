-- Messages that are sent once more, for devices that were not served.

-- part: 0 the message itself, else the number of a supplement, which has the same id, stamp and
-- number. Only the devices of its own body are served by it.
ALTER TABLE messages ADD COLUMN part INTEGER NOT NULL DEFAULT 0;
DROP INDEX messages_by_id;
CREATE UNIQUE INDEX messages_by_id ON messages (id, sender, server, part);
