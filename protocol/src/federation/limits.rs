//! Limits of the federation protocol (docs/spec/federation-envelopes.md, "Limits"). A server may
//! announce smaller ones in its document, never larger ones.

/// Largest envelope on the wire, in bytes.
pub const MAX_ENVELOPE: usize = 4 * 1024 * 1024;
/// Most records in one envelope.
pub const MAX_RECORDS: usize = 1_000;
/// Largest header, in bytes: the fixed fields, two names, one encapsulated key.
pub const MAX_HEADER: usize = 4 * 1024;
/// Largest event, in bytes: the largest message and room for its other fields.
pub const MAX_EVENT: usize = 512 * 1024;
/// Most recipients of one event.
pub const MAX_RECIPIENTS: usize = 1_024;
/// Most bodies of one event: the recipient's and the sender's devices, for every recipient of a
/// direct message, or one body for all.
pub const MAX_BODIES: usize = 1_024;
/// Largest receipt, in bytes: a thousand rejections and the positions.
pub const MAX_RECEIPT: usize = 256 * 1024;
/// Most rejections in one receipt: at most one for each record of one envelope.
pub const MAX_REJECTIONS: usize = MAX_RECORDS;
/// Largest server document, in bytes.
pub const MAX_DOCUMENT: usize = 64 * 1024;
/// Most keys of one kind (signing, sealing, retired) in one entry of the key log.
pub const MAX_KEYS: usize = 16;
/// Most bytes of a sealing key whose encapsulation is not known.
pub const MAX_UNKNOWN_KEY: usize = 4 * 1024;
/// Most certificate pins in a server document.
pub const MAX_PINS: usize = 8;
/// Most versions or features in a server document.
pub const MAX_FEATURES: usize = 64;
/// Longest name of a feature, in bytes.
pub const MAX_FEATURE_LEN: usize = 64;
/// Most entries of a key log: one a week for 20 years.
pub const MAX_KEY_LOG: usize = 1_040;
/// Largest key log, in bytes.
pub const MAX_KEY_LOG_BYTES: usize = 8 * 1024 * 1024;
/// Longest life of a server document, in milliseconds (7 days).
pub const MAX_DOCUMENT_LIFE_MS: u64 = 7 * 24 * 3_600_000;
/// How far the `created` of an ephemeral envelope or a query may lie from the receiver's clock, in
/// milliseconds (5 min). It never matters for sequenced envelopes.
pub const FRESHNESS_MS: u64 = 5 * 60 * 1_000;
/// Largest well-known document, in bytes.
pub const MAX_WELL_KNOWN: usize = 4 * 1024;
/// Largest query or answer, in bytes.
pub const MAX_QUERY: usize = 64 * 1024;
/// Longest explanation in a rejection or refusal, in bytes.
pub const MAX_DETAIL: usize = 256;
/// Deepest nesting of a value that a reader skips because it does not know its field.
pub const MAX_SKIP_DEPTH: usize = 8;
/// Most messages that one event says were acknowledged.
pub const MAX_ACKNOWLEDGED: usize = 256;
/// Most supplements of one message.
pub const MAX_PART: u8 = 15;
/// Most devices that one event says were not served.
pub const MAX_UNSERVED: usize = 16;
/// Most messages named in a watermark's `except`.
pub const MAX_EXCEPT: usize = 64;
