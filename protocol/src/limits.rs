//! Limits (docs/spec/limits.md). `GET /v1/capabilities` advertises those a client can run into.

/// Largest inline body, in bytes of its text; larger contents go through media.
pub const MAX_BODY: usize = 64 * 1024;
/// Largest sum of the ciphertexts of one message, in bytes of their text.
pub const MAX_CIPHERTEXTS_TOTAL: usize = 256 * 1024;
/// Most ciphertexts in one message: 8 devices of the recipient and 8 of the sender.
pub const MAX_CIPHERTEXTS: usize = 16;
/// Most ciphertexts in one piece of a group's key distribution.
pub const MAX_KEY_CIPHERTEXTS: usize = 100;
/// Largest socket frame from a client, in bytes: ciphertexts plus the frame's other fields.
pub const MAX_FRAME: usize = 320 * 1024;
/// Largest REST request body, in bytes, where the endpoint states no other.
pub const MAX_REQUEST: usize = MAX_FRAME;
/// Most messages in flight to a device: sent and not yet acknowledged.
pub const WINDOW: usize = 256;
/// Most submissions of one connection that wait for their answer; beyond it the socket is not read.
pub const MAX_SUBMISSIONS_IN_FLIGHT: usize = 256;
/// Most message ids in one `ack`.
pub const MAX_ACK_IDS: usize = 1_000;
/// Most users in one `subscribe` or `unsubscribe`, and of one connection's subscriptions.
pub const MAX_SUBSCRIPTIONS: usize = 1_024;
/// Longest content type and collapse key, in bytes.
pub const MAX_LABEL: usize = 64;
/// Longest name of a device, in bytes.
pub const MAX_DEVICE_NAME: usize = 64;
/// Shortest password, in bytes.
pub const MIN_PASSWORD: usize = 10;
/// Longest password, in bytes: hashing cost must not depend on a stranger's generosity.
pub const MAX_PASSWORD: usize = 128;
/// Fewest digits of a PIN.
pub const MIN_PIN: usize = 6;
/// Most digits of a PIN.
pub const MAX_PIN: usize = 12;
/// Recovery codes that an account gets at once.
pub const RECOVERY_CODES: usize = 10;
/// Most devices of an account.
pub const MAX_DEVICES: usize = 8;
/// Most messages that wait in an inbox.
pub const MAX_INBOX_ENTRIES: u64 = 100_000;
/// Most bytes of messages that wait in an inbox (1 GiB).
pub const MAX_INBOX_BYTES: u64 = 1024 * 1024 * 1024;
/// A device that was not connected for this long is unlinked, in milliseconds (45 days).
pub const SILENT_DEVICE_MS: u64 = 45 * 24 * 3_600_000;
/// Most one-time prekeys of a kind in one upload.
pub const MAX_PREKEY_BATCH: usize = 100;
/// Most one-time prekeys of a kind that are stored for a device.
pub const MAX_STORED_PREKEYS: usize = 200;
/// One-time prekeys of a kind below which the device is told.
pub const LOW_PREKEYS: u32 = 20;
/// Largest signed device list, in bytes.
pub const MAX_DEVICE_LIST: usize = 8 * 1024;
/// Largest provisioning message of a link, in bytes.
pub const MAX_PROVISIONING: usize = 8 * 1024;
/// Life of a link, in seconds (5 minutes).
pub const LINK_SECONDS: u64 = 5 * 60;
/// How long a request for a link's outcome waits, in seconds.
pub const LINK_POLL_SECONDS: u64 = 30;
/// How long a claim of bundles is remembered, in milliseconds (24 hours).
pub const CLAIM_MEMORY_MS: u64 = 24 * 3_600_000;
/// Most entries of one page of `GET /v1/messages/sync`.
pub const MAX_SYNC_PAGE: usize = 1_000;
/// Entries of a page if the request states no limit.
pub const DEFAULT_SYNC_PAGE: usize = 100;
/// Most members of a group.
pub const MAX_GROUP_MEMBERS: usize = 1_024;
/// Most groups that an account is a member of.
pub const MAX_GROUPS: usize = 1_000;
/// Most invitations to groups that are shown, the latest ones.
pub const MAX_GROUP_INVITATIONS: usize = 200;
/// Largest signed epoch of a group, in bytes.
pub const MAX_GROUP_EPOCH: usize = 8 * 1024;
/// Largest encrypted name of a group, in bytes.
pub const MAX_GROUP_TITLE: usize = 4 * 1024;
/// Most epochs of a group.
pub const MAX_GROUP_EPOCHS: u64 = 65_536;
/// Epochs of a group from which on it only shrinks: leaving and removing are taken.
pub const SHRINKING_GROUP_EPOCHS: u64 = 60_000;
/// Most epochs of one page of a chain.
pub const MAX_EPOCHS_PAGE: usize = 256;
/// Most invite links of a group that hold at one time.
pub const MAX_GROUP_LINKS: usize = 10;
/// Longest life of an invite link, in seconds (30 days).
pub const MAX_GROUP_LINK_SECONDS: u64 = 30 * 24 * 3600;
/// Most people who ask to join a group.
pub const MAX_JOIN_REQUESTS: usize = 256;
/// How long a wish to join waits, in milliseconds (30 days).
pub const JOIN_REQUEST_MS: u64 = 30 * 24 * 3_600_000;
/// For how long who has left a group may read its chain up to there, in milliseconds (30 days).
pub const LEFT_GROUP_MS: u64 = 30 * 24 * 3_600_000;
/// Life of an access token, in seconds.
pub const ACCESS_TOKEN_SECONDS: u64 = 15 * 60;
/// Life of an unused refresh token, in seconds (60 days).
pub const REFRESH_TOKEN_SECONDS: u64 = 60 * 24 * 3600;
/// How long a used refresh token is remembered, in milliseconds (30 days): one that comes again ends
/// its session.
pub const USED_TOKEN_MS: u64 = 30 * 24 * 3_600_000;
/// Life of a connect ticket, in seconds.
pub const TICKET_SECONDS: u64 = 30;
/// How long a typing notice is valid, in seconds.
pub const TYPING_SECONDS: u64 = 10;
/// How long a message waits for a device, in milliseconds (30 days).
pub const RETENTION_MS: u64 = 30 * 24 * 3_600_000;
/// How long acknowledged entries are kept nevertheless, in milliseconds (7 days): the grace that
/// restores from a backup need.
pub const GRACE_MS: u64 = 7 * 24 * 3_600_000;
/// How much longer than its content a message id is remembered, in milliseconds (30 days).
pub const ID_MEMORY_MS: u64 = 30 * 24 * 3_600_000;
/// How far in the future a message may expire at most, in milliseconds.
pub const MAX_EXPIRES_MS: u64 = RETENTION_MS;
/// Most contacts of an account.
pub const MAX_CONTACTS: usize = 5_000;
/// Longest label of a contact, in bytes of its text.
pub const MAX_CONTACT_LABEL: usize = 1_024;
/// Most users that an account has blocked.
pub const MAX_BLOCKS: usize = 5_000;
/// Most message requests that wait, or were declined and are remembered; beyond it the oldest go.
pub const MAX_REQUESTS: usize = 1_000;
/// How long a declined request is remembered, in milliseconds (30 days): until then what its sender
/// writes is discarded.
pub const DECLINED_MS: u64 = 30 * 24 * 3_600_000;
/// Most contacts, blocks, requests or conversations of one page.
pub const MAX_LIST_PAGE: usize = 500;
/// Contacts, blocks, requests or conversations of a page if the request states no limit.
pub const DEFAULT_LIST_PAGE: usize = 100;
/// Most messages of one `POST /v1/messages/delete`.
pub const MAX_DELETED: usize = 100;
/// Longest name of a profile, in bytes of its text.
pub const MAX_PROFILE_NAME: usize = 512;
/// Longest `about` of a profile, in bytes of its text.
pub const MAX_PROFILE_ABOUT: usize = 2_048;
/// Largest avatar of a profile, in bytes of its text; larger pictures go through media.
pub const MAX_PROFILE_AVATAR: usize = 40_960;
/// Most messages that a report shows.
pub const MAX_REPORT_MESSAGES: usize = 20;
/// Largest report, in bytes.
pub const MAX_REPORT: usize = 65_536;
/// Longest comment of a report, in bytes.
pub const MAX_REPORT_COMMENT: usize = 2_000;
/// Most reports of one account that wait for the operator.
pub const MAX_REPORTS: usize = 50;
