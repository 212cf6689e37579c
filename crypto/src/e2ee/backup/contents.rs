//! What is in the parts of a backup.

use zeroize::Zeroizing;

use super::BackupError;
use crate::e2ee::{
    cbor::{CborError, Fields, Reader, Writer},
    content::history::{HistoryItem, MAX_HISTORY_ITEMS},
    primitives::curve::PrivateKey,
    secret::Secret,
    time::UnixMillis,
};

/// The version of the contents.
const VERSION: u64 = 1;
/// The longest name of an account, in bytes.
const MAX_ACCOUNT_LEN: usize = 320;

/// The first part: `0 version, 1; 1 account; 2 identity private key (32); 3 made at (ms)`, a
/// deterministic CBOR map.
#[derive(Clone)]
pub struct BackupHead {
    /// Whose backup it is: the full account name.
    pub account: String,
    /// The account's identity key.
    pub identity: PrivateKey,
    /// When it was made.
    pub made_at: UnixMillis,
}

impl BackupHead {
    /// The bytes of the part.
    pub fn to_bytes(&self) -> Zeroizing<Vec<u8>> {
        let mut fields = Fields::default();
        fields.put(0, |w| w.uint(VERSION));
        fields.put(1, |w| w.text(&self.account));
        fields.put(2, |w| w.bytes(self.identity.to_bytes().expose()));
        fields.put(3, |w| w.uint(self.made_at.0));
        let mut writer = Writer::new();
        fields.write(&mut writer);
        writer.finish()
    }

    /// Reads the part; further entries are passed over.
    ///
    /// # Errors
    /// [`BackupError::Damaged`], [`BackupError::Version`].
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, BackupError> {
        let mut reader = Reader::new(bytes);
        let mut fields = Fields::read(&mut reader)?;
        reader.end()?;
        let version = fields.uint(0)?;
        if version != VERSION {
            return Err(BackupError::Version(u8::try_from(version).unwrap_or(u8::MAX)));
        }
        let account = fields.take(1, |r| {
            let account = r.text()?;
            if account.len() <= MAX_ACCOUNT_LEN { Ok(account.to_owned()) } else { Err(CborError) }
        })?;
        let identity = Secret::<32>::new(fields.exact(2)?);
        let identity = PrivateKey::from_bytes(identity.expose());
        Ok(Self { account, identity, made_at: UnixMillis(fields.uint(3)?) })
    }
}

impl core::fmt::Debug for BackupHead {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("BackupHead").field("made_at", &self.made_at).finish_non_exhaustive()
    }
}

/// The bytes of a further part.
pub fn items_to_bytes(items: &[HistoryItem]) -> Zeroizing<Vec<u8>> {
    let mut writer = Writer::new();
    writer.array(items.len());
    for item in items {
        item.write(&mut writer);
    }
    writer.finish()
}

/// Reads a further part.
///
/// # Errors
/// [`BackupError::Damaged`].
pub fn items_from_bytes(bytes: &[u8]) -> Result<Vec<HistoryItem>, BackupError> {
    let mut reader = Reader::new(bytes);
    let items = reader.sequence(MAX_HISTORY_ITEMS, HistoryItem::read)?;
    reader.end()?;
    Ok(items)
}

impl From<CborError> for BackupError {
    fn from(_: CborError) -> Self {
        Self::Damaged
    }
}
