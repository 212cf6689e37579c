//! The PIN that linking a device asks for.

use std::sync::Arc;

use posthouse_protocol::{
    problem::{Code, Rejection},
    rest::{Pin, Secret},
    time::{Clock, Timestamp},
};
use posthouse_storage::{
    accounts::PasswordHash,
    backoff::Backoff,
    factors::{Factors, PinTry},
};
use uuid::Uuid;

use super::{Passwords, store_failed};

/// Five wrong ones are free, then a wait of one minute doubles up to a day. A million PINs take
/// longer than anybody lives.
const BACKOFF: Backoff = Backoff { free: 4, first_ms: 60_000, most_ms: 24 * 3_600_000 };

/// Sets and checks PINs.
pub(super) struct Pins {
    pub(super) factors: Arc<dyn Factors>,
    pub(super) passwords: Passwords,
    pub(super) clock: Arc<dyn Clock>,
}

impl Pins {
    pub(super) async fn set(
        &self,
        account: Uuid,
        pin: &Pin,
        salt: [u8; 16],
    ) -> Result<(), Rejection> {
        let hash = PasswordHash(self.passwords.hash(pin.digits(), salt).await?);
        self.factors.set_pin(account, &hash).await.map_err(|err| store_failed(&err))
    }

    pub(super) async fn check(&self, account: Uuid, pin: Option<Secret>) -> Result<(), Rejection> {
        let Some(pin) = pin else {
            let protection = self.factors.protection(account).await;
            if !protection.map_err(|err| store_failed(&err))?.pin {
                return Ok(());
            }
            return Err(Rejection::new(Code::PinRequired, "the account's PIN is needed here"));
        };
        let wrong = || Rejection::new(Code::WrongCode, "the PIN is wrong");
        let pin = Pin::parse(pin).ok_or_else(wrong)?;
        let now = self.clock.now();
        let tried = self.factors.try_pin(account, &BACKOFF, now).await;
        match tried.map_err(|err| store_failed(&err))? {
            PinTry::NoPin => Ok(()),
            PinTry::Wait(until) => Err(wait(until, now)),
            PinTry::Allowed(hash) => {
                if !self.passwords.check(pin.digits(), Some(&hash)).await? {
                    return Err(wrong());
                }
                self.factors.pin_was_right(account).await.map_err(|err| store_failed(&err))
            }
        }
    }
}

fn wait(until: Timestamp, now: Timestamp) -> Rejection {
    let seconds = until.0.saturating_sub(now.0).div_ceil(1_000);
    let detail = "the PIN was wrong too often; wait and try again";
    Rejection::new(Code::RateLimited, detail)
        .retry_after(u32::try_from(seconds).unwrap_or(u32::MAX))
}
