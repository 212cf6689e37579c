-- counted: entries up to this arrival are in `entries` and `bytes` no more: all devices have them.
ALTER TABLE inboxes ADD COLUMN counted BIGINT NOT NULL DEFAULT 0;
