-- Invitations, second factors, and the deletion of accounts.

-- accounts.state: 0 active, 1 suspended, 2 being deleted: there is no such account for anybody.

-- code: SHA-256 of the whole code; id: the code's beginning, which the operator knows it by.
CREATE TABLE invites (
    code BYTEA PRIMARY KEY,
    id TEXT COLLATE "C" NOT NULL UNIQUE,
    uses BIGINT NOT NULL,
    used BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL
);
CREATE INDEX invites_by_expiry ON invites (expires_at);
CREATE INDEX invites_by_age ON invites (created_at, id);

-- active: 0 while it is being set up. last_step: the newest time step whose code was used.
CREATE TABLE totp (
    account BYTEA PRIMARY KEY REFERENCES accounts (id),
    secret BYTEA NOT NULL,
    active BIGINT NOT NULL,
    last_step BIGINT NOT NULL
);

-- code: SHA-256. A used one is deleted.
CREATE TABLE recovery_codes (
    account BYTEA NOT NULL REFERENCES accounts (id),
    code BYTEA NOT NULL,
    PRIMARY KEY (account, code)
);

-- failures: tries in a row that were wrong or whose outcome is not known. blocked_until: no try before.
CREATE TABLE pins (
    account BYTEA PRIMARY KEY REFERENCES accounts (id),
    hash TEXT COLLATE "C" NOT NULL,
    failures BIGINT NOT NULL,
    blocked_until BIGINT NOT NULL
);

-- Accounts that were deleted, for ever: an id is never used again.
CREATE TABLE gone_accounts (
    id BYTEA PRIMARY KEY,
    at BIGINT NOT NULL
);

-- Deletions that are not finished. walked: the last message that was looked at.
CREATE TABLE erasures (
    account BYTEA PRIMARY KEY,
    begun_at BIGINT NOT NULL,
    walked BIGINT NOT NULL
);
CREATE INDEX erasures_by_age ON erasures (begun_at, account);

-- A reader's watermarks, to delete them with the account. The column never changes, so that a
-- watermark that rises does not touch the index.
CREATE INDEX watermarks_by_reader ON watermarks (reader);

-- Whoever blocked an account, for the same.
CREATE INDEX blocks_by_blocked ON blocks (blocked);

-- Used refresh tokens are forgotten after 30 days.
CREATE INDEX refresh_tokens_used ON refresh_tokens (used_at) WHERE used_at IS NOT NULL;
