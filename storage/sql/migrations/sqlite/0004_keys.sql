-- Keys, device lists, linking, and how much an inbox holds.

-- list_version: of the newest signed device list; 0 before the first. It outlives a change of the
-- identity key, so that versions only rise.
ALTER TABLE accounts ADD COLUMN list_version INTEGER NOT NULL DEFAULT 0;

-- listed: 1 if the account's signed device list names the device.
ALTER TABLE devices ADD COLUMN listed INTEGER NOT NULL DEFAULT 0;
-- For finding silent ones.
CREATE INDEX devices_by_activity ON devices (active_at) WHERE removed_at IS NULL;

-- Public keys of a device. kind: 0 one-time, 1 one-time KEM, 2 signed, 3 last-resort KEM.
-- signature: NULL for kind 0.
CREATE TABLE prekeys (
    device BLOB NOT NULL,
    kind INTEGER NOT NULL,
    id INTEGER NOT NULL,
    key BLOB NOT NULL,
    signature BLOB,
    PRIMARY KEY (device, kind, id)
) STRICT, WITHOUT ROWID;

-- highest: the highest id of a one-time key that was ever stored. Nothing at or below it is stored
-- again, so that a key that was handed out cannot come back.
CREATE TABLE prekey_marks (
    device BLOB NOT NULL,
    kind INTEGER NOT NULL,
    highest INTEGER NOT NULL,
    PRIMARY KEY (device, kind)
) STRICT, WITHOUT ROWID;

-- What was handed out under a request's id, so that a lost answer can be given again.
-- requester: the full id of an account of any region. account: whose keys they are.
CREATE TABLE claimed_prekeys (
    requester TEXT NOT NULL,
    request BLOB NOT NULL,
    device BLOB NOT NULL,
    kind INTEGER NOT NULL,
    account BLOB NOT NULL,
    id INTEGER NOT NULL,
    key BLOB NOT NULL,
    signature BLOB,
    claimed_at INTEGER NOT NULL,
    PRIMARY KEY (requester, request, device, kind)
) STRICT, WITHOUT ROWID;
CREATE INDEX claimed_prekeys_by_time ON claimed_prekeys (claimed_at);
CREATE INDEX claimed_prekeys_by_account ON claimed_prekeys (account);

-- Every identity key that an account has had.
CREATE TABLE key_changes (
    account BLOB NOT NULL,
    number INTEGER NOT NULL,
    changed_at INTEGER NOT NULL,
    identity_key BLOB NOT NULL,
    PRIMARY KEY (account, number)
) STRICT, WITHOUT ROWID;

-- For each account of this region, with whom it has exchanged messages in both directions.
CREATE TABLE acquaintances (
    account BLOB NOT NULL,
    other BLOB NOT NULL,
    server INTEGER NOT NULL,
    PRIMARY KEY (other, server, account)
) STRICT, WITHOUT ROWID;
-- To delete them with the account.
CREATE INDEX acquaintances_by_account ON acquaintances (account, server, other);
INSERT INTO acquaintances (account, other, server)
SELECT DISTINCT a.sender, b.sender, b.server
FROM conversations c
JOIN messages a ON a.conversation = c.id AND a.device IS NOT NULL
JOIN messages b ON b.conversation = c.id AND (b.sender <> a.sender OR b.server <> a.server)
WHERE c.spoken = 3 AND c.group_id IS NULL;

-- Devices on their way into an account. secret: SHA-256 of what the new device shows.
-- state: 0 waits, 1 approved. account, device, message: set by the approval.
CREATE TABLE links (
    id BLOB PRIMARY KEY,
    secret BLOB NOT NULL,
    registration_id INTEGER NOT NULL,
    name TEXT NOT NULL,
    expires_at INTEGER NOT NULL,
    state INTEGER NOT NULL,
    account BLOB,
    device BLOB,
    message BLOB
) STRICT, WITHOUT ROWID;
CREATE INDEX links_by_time ON links (expires_at);
CREATE INDEX links_by_account ON links (account) WHERE account IS NOT NULL;

-- data: of an entry about keys, its facts; of a message that supplements another, the numbers of
-- the devices that it is for, a byte each.
-- size: bytes of the entry's message.
ALTER TABLE inbox ADD COLUMN data BLOB;
ALTER TABLE inbox ADD COLUMN size INTEGER NOT NULL DEFAULT 0;

-- entries, bytes: how much the inbox's messages are. What was there before is not counted: the
-- counts never fall below 0, and are right once that has gone.
ALTER TABLE inboxes ADD COLUMN entries INTEGER NOT NULL DEFAULT 0;
ALTER TABLE inboxes ADD COLUMN bytes INTEGER NOT NULL DEFAULT 0;
