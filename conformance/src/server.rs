//! The server under test.

use std::sync::atomic::{AtomicU64, Ordering};

use serde_json::Value;

use crate::{
    http::{Call, Endpoint},
    verdict::{Verdict, differs, text},
};

/// The server under test, and what it says of itself.
#[derive(Debug)]
pub struct Server {
    /// Where it listens.
    pub endpoint: Endpoint,
    /// The region's name.
    pub name: String,
    /// The answer to `GET /v1/capabilities`.
    pub capabilities: Value,
    /// An invitation, where the region asks for one.
    pub invite: Option<String>,
    ids: AtomicU64,
}

impl Server {
    /// Asks the server who it is. Names and ids of this run follow from `seed`.
    ///
    /// # Errors
    /// [`crate::verdict::Failure`] if there is no answer, or none of a Posthouse server.
    pub async fn discover(endpoint: Endpoint, invite: Option<String>, seed: u64) -> Verdict<Self> {
        let capabilities = Call::get("/v1/capabilities").send(&endpoint).await?.success()?;
        let name = text(&capabilities, "server_name")?.to_owned();
        match text(&capabilities, "registration")? {
            "open" => {}
            "invite" if invite.is_some() => {}
            "invite" => return differs("the region asks for an invitation: give --invite"),
            other => return differs(format!("the suite cannot register: {other:?}")),
        }
        Ok(Self { endpoint, name, capabilities, invite, ids: AtomicU64::new(seed) })
    }

    /// A UUID that was not used before, version 4 in form.
    pub fn fresh_uuid(&self) -> String {
        let (high, low) = (self.fresh(), self.fresh());
        let (high, low) = (high & !0xf000 | 0x4000, low & !(3 << 62) | 1 << 63);
        let digits = format!("{high:016x}{low:016x}");
        let mut uuid = String::with_capacity(36);
        for (place, digit) in digits.chars().enumerate() {
            if matches!(place, 8 | 12 | 16 | 20) {
                uuid.push('-');
            }
            uuid.push(digit);
        }
        uuid
    }

    /// A handle name that nobody else has.
    pub fn fresh_handle(&self) -> String {
        format!("conformance-{:016x}", self.fresh())
    }

    /// The next number of the SplitMix64 sequence.
    fn fresh(&self) -> u64 {
        let mut z = self.ids.fetch_add(0x9e37_79b9_7f4a_7c15, Ordering::Relaxed);
        z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ z >> 31
    }
}
