-- Groups, their chains of signed epochs, and what the chains say.

-- id: the conversation's. name: the text of the group's id. region: which one sequences it.
-- epoch, hash: the newest. deputies: names of regions, separated by spaces.
CREATE TABLE group_heads (
    id BLOB PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    region TEXT NOT NULL,
    epoch INTEGER NOT NULL,
    hash BLOB NOT NULL,
    title BLOB NOT NULL,
    deputies TEXT NOT NULL
) STRICT, WITHOUT ROWID;

-- document: as it was signed.
CREATE TABLE group_epochs (
    group_id BLOB NOT NULL,
    epoch INTEGER NOT NULL,
    hash BLOB NOT NULL,
    document BLOB NOT NULL,
    at INTEGER NOT NULL,
    PRIMARY KEY (group_id, epoch)
) STRICT, WITHOUT ROWID;

-- account: the text of an account id, of whatever region. local: the account, if it is one of this
-- region and not being deleted.
-- standing: 0 invited, 1 member, 2 admin, 3 owner, 4 was one of these; that is kept of accounts of
-- this region only, and since is then the epoch in which it ended.
-- hidden: an invitation that is kept from the account. floor: the highest number that this region
-- had given out in the conversation when the account joined. at: since when it is so.
CREATE TABLE group_people (
    group_id BLOB NOT NULL,
    account TEXT NOT NULL,
    local BLOB,
    identity BLOB,
    standing INTEGER NOT NULL,
    since INTEGER NOT NULL,
    hidden INTEGER NOT NULL,
    floor INTEGER NOT NULL,
    at INTEGER NOT NULL,
    PRIMARY KEY (group_id, account)
) STRICT, WITHOUT ROWID;
CREATE INDEX group_people_by_account ON group_people (local, standing, group_id)
    WHERE local IS NOT NULL;
CREATE INDEX group_people_gone ON group_people (at) WHERE standing = 4;

-- code: SHA-256 of what the link says. made_by: the text of an account id.
CREATE TABLE group_links (
    id BLOB PRIMARY KEY,
    group_id BLOB NOT NULL,
    code BLOB NOT NULL,
    made_by TEXT NOT NULL,
    expires_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX group_links_by_group ON group_links (group_id, code);
CREATE INDEX group_links_by_end ON group_links (expires_at);
CREATE INDEX group_links_by_maker ON group_links (made_by);

-- Who asks to join: the text of an account id.
CREATE TABLE group_asks (
    group_id BLOB NOT NULL,
    account TEXT NOT NULL,
    at INTEGER NOT NULL,
    PRIMARY KEY (group_id, account)
) STRICT, WITHOUT ROWID;
CREATE INDEX group_asks_by_account ON group_asks (account);
CREATE INDEX group_asks_by_time ON group_asks (at);

-- Regions that have still to be told of epochs of groups that this region sequences, up to epoch.
CREATE TABLE group_tells (
    region TEXT NOT NULL,
    group_id BLOB NOT NULL,
    epoch INTEGER NOT NULL,
    PRIMARY KEY (region, group_id)
) STRICT, WITHOUT ROWID;

-- Epochs of this region's people that wait for a region that sequences their group. local: whose.
CREATE TABLE group_pending (
    hash BLOB PRIMARY KEY,
    group_id BLOB NOT NULL,
    local BLOB NOT NULL,
    document BLOB NOT NULL,
    at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX group_pending_by_account ON group_pending (local);
CREATE INDEX group_pending_by_time ON group_pending (at);
