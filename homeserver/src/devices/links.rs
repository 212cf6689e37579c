//! Linking a device by a provisioning code.
//!
//! The new device opens a link and shows its id as a code, together with a public key that never
//! passes through the server. An old device scans it, encrypts what the new one needs for that key,
//! and approves: the server adds the device and keeps the message until the new device, which alone
//! holds the link's secret, fetches both message and session. Each of these happens once.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use posthouse_client_api::ports::{Caller, Links as LinksPort, Security};
use posthouse_protocol::{
    limits,
    problem::{Code, Rejection},
    rest::keys::{
        ApproveLink, FetchLink, Link, LinkResult, LinkStatus, LinkedDevice, Provisioning, StartLink,
    },
    time::Clock,
};
use posthouse_storage::links::{Fetched, Links, NewLink};
use tokio::time::Instant;
use uuid::Uuid;

use crate::{
    accounts::{AccountsService, check_device_name, new_secret, secret_hash, store_failed},
    random::Random,
};

/// How often the store is asked for a device that waits: the approval may come to another process.
const POLL: Duration = Duration::from_millis(500);

/// Links of one region.
pub struct LinkService {
    /// Links.
    pub store: Arc<dyn Links>,
    /// Devices and sessions.
    pub accounts: Arc<AccountsService>,
    /// Random numbers.
    pub random: Arc<Random>,
    /// The time.
    pub clock: Arc<dyn Clock>,
}

#[async_trait]
impl LinksPort for LinkService {
    async fn start(&self, request: StartLink) -> Result<Link, Rejection> {
        let now = self.clock.now();
        let name = check_device_name(request.name.as_deref().unwrap_or("unnamed device"))?;
        let (secret, hash) = new_secret(&self.random);
        let link = NewLink {
            id: self.random.uuid(),
            secret: hash,
            registration_id: request.registration_id,
            name,
            expires_at: now.plus_millis(limits::LINK_SECONDS * 1000),
        };
        let opened = self.store.open_link(&link, now).await;
        if !opened.map_err(|err| store_failed(&err))? {
            let detail = "too many devices are being linked now; try again";
            return Err(Rejection::new(Code::Overloaded, detail).retry_after(60));
        }
        Ok(Link { link_id: link.id, secret, expires_in: limits::LINK_SECONDS })
    }

    async fn approve(
        &self,
        caller: &Caller,
        link: Uuid,
        request: ApproveLink,
    ) -> Result<LinkedDevice, Rejection> {
        let account = caller.account.uuid;
        self.accounts.check_pin(caller, request.pin).await?;
        let waiting = self.store.waiting_link(link, self.clock.now()).await;
        let waiting = waiting.map_err(|err| store_failed(&err))?;
        let Some((registration_id, name)) = waiting else { return Err(no_link()) };
        if registration_id != request.registration_id {
            let detail = "the registration id is not the one that the new device gave";
            return Err(Rejection::new(Code::Conflict, detail));
        }
        let device = self.accounts.add_linked(account, name, registration_id).await?;
        let owner = (account, device.id);
        let now = self.clock.now();
        let approved = self.store.approve_link(link, owner, &request.message.0, now).await;
        match approved.map_err(|err| store_failed(&err)) {
            Ok(true) => Ok(LinkedDevice { device_id: device.id, device: device.number }),
            // Somebody else was quicker, or it has expired: the device must not stay.
            outcome => {
                self.accounts.unlink(account, device.id).await?;
                outcome.and_then(|_| Err(no_link()))
            }
        }
    }

    async fn result(&self, link: Uuid, request: FetchLink) -> Result<LinkResult, Rejection> {
        let hash = secret_hash(&request.secret);
        let deadline = Instant::now() + Duration::from_secs(limits::LINK_POLL_SECONDS);
        loop {
            let fetched = self.store.fetch_link(link, &hash, self.clock.now()).await;
            match fetched.map_err(|err| store_failed(&err))? {
                Fetched::Unknown => return Err(no_link()),
                Fetched::Linked { account, device, message } => {
                    let session = self.accounts.open_linked(account, device).await?;
                    return Ok(LinkResult {
                        status: LinkStatus::Linked,
                        message: Some(Provisioning(message.to_vec())),
                        session: Some(session),
                    });
                }
                Fetched::Waiting if Instant::now() + POLL > deadline => {
                    let status = LinkStatus::Waiting;
                    return Ok(LinkResult { status, message: None, session: None });
                }
                Fetched::Waiting => tokio::time::sleep(POLL).await,
            }
        }
    }
}

fn no_link() -> Rejection {
    Rejection::new(Code::NotFound, "there is no such link; it may have expired or been used")
}
