-- Groups, their chains of signed epochs, and what the chains say.

-- id: the conversation's. name: the text of the group's id. region: which one sequences it.
-- epoch, hash: the newest. deputies: names of regions, separated by spaces.
CREATE TABLE group_heads (
    id BYTEA PRIMARY KEY,
    name TEXT COLLATE "C" NOT NULL UNIQUE,
    region TEXT COLLATE "C" NOT NULL,
    epoch BIGINT NOT NULL,
    hash BYTEA NOT NULL,
    title BYTEA NOT NULL,
    deputies TEXT COLLATE "C" NOT NULL
);

-- document: as it was signed.
CREATE TABLE group_epochs (
    group_id BYTEA NOT NULL,
    epoch BIGINT NOT NULL,
    hash BYTEA NOT NULL,
    document BYTEA NOT NULL,
    at BIGINT NOT NULL,
    PRIMARY KEY (group_id, epoch)
);

-- account: the text of an account id, of whatever region. local: the account, if it is one of this
-- region and not being deleted.
-- standing: 0 invited, 1 member, 2 admin, 3 owner, 4 was one of these; that is kept of accounts of
-- this region only, and since is then the epoch in which it ended.
-- hidden: an invitation that is kept from the account. floor: the highest number that this region
-- had given out in the conversation when the account joined. at: since when it is so.
CREATE TABLE group_people (
    group_id BYTEA NOT NULL,
    account TEXT COLLATE "C" NOT NULL,
    local BYTEA,
    identity BYTEA,
    standing BIGINT NOT NULL,
    since BIGINT NOT NULL,
    hidden BIGINT NOT NULL,
    floor BIGINT NOT NULL,
    at BIGINT NOT NULL,
    PRIMARY KEY (group_id, account)
);
CREATE INDEX group_people_by_account ON group_people (local, standing, group_id)
    WHERE local IS NOT NULL;
CREATE INDEX group_people_gone ON group_people (at) WHERE standing = 4;

-- code: SHA-256 of what the link says. made_by: the text of an account id.
CREATE TABLE group_links (
    id BYTEA PRIMARY KEY,
    group_id BYTEA NOT NULL,
    code BYTEA NOT NULL,
    made_by TEXT COLLATE "C" NOT NULL,
    expires_at BIGINT NOT NULL
);
CREATE INDEX group_links_by_group ON group_links (group_id, code);
CREATE INDEX group_links_by_end ON group_links (expires_at);
CREATE INDEX group_links_by_maker ON group_links (made_by);

-- Who asks to join: the text of an account id.
CREATE TABLE group_asks (
    group_id BYTEA NOT NULL,
    account TEXT COLLATE "C" NOT NULL,
    at BIGINT NOT NULL,
    PRIMARY KEY (group_id, account)
);
CREATE INDEX group_asks_by_account ON group_asks (account);
CREATE INDEX group_asks_by_time ON group_asks (at);

-- Regions that have still to be told of epochs of groups that this region sequences, up to epoch.
CREATE TABLE group_tells (
    region TEXT COLLATE "C" NOT NULL,
    group_id BYTEA NOT NULL,
    epoch BIGINT NOT NULL,
    PRIMARY KEY (region, group_id)
);

-- Epochs of this region's people that wait for a region that sequences their group. local: whose.
CREATE TABLE group_pending (
    hash BYTEA PRIMARY KEY,
    group_id BYTEA NOT NULL,
    local BYTEA NOT NULL,
    document BYTEA NOT NULL,
    at BIGINT NOT NULL
);
CREATE INDEX group_pending_by_account ON group_pending (local);
CREATE INDEX group_pending_by_time ON group_pending (at);
