//! Keys of this region's users, for other regions that ask.

use std::sync::Arc;

use async_trait::async_trait;
use posthouse_federation::ports::{Unanswered, UserKeys};
use posthouse_protocol::{
    federation::query::keys::{BundlesAnswer, BundlesOf, DevicesAnswer, DevicesOf},
    id::{AccountId, ServerName},
    problem::{Code, Rejection},
    time::Clock,
};
use posthouse_storage::erasure::Erasure;

use crate::devices::{BundleRequest, KeyBook};

/// For how long another region may remember devices, in seconds.
const REMEMBER_DEVICES: u32 = 60;
/// For how long it may remember that there is no such account, in seconds.
const REMEMBER_NOBODY: u32 = 30;

/// Keys of this region's users.
pub struct LocalKeys {
    /// What is served of them.
    pub book: Arc<KeyBook>,
    /// Who was deleted.
    pub erasure: Arc<dyn Erasure>,
    /// The time.
    pub clock: Arc<dyn Clock>,
}

#[async_trait]
impl UserKeys for LocalKeys {
    async fn devices(&self, DevicesOf(account): DevicesOf) -> Result<DevicesAnswer, Unanswered> {
        match self.book.devices(account, self.clock.now()).await {
            Ok(devices) => {
                let devices = Some(devices);
                Ok(DevicesAnswer { devices, gone_since: None, remember_for: REMEMBER_DEVICES })
            }
            Err(rejection) if rejection.code == Code::UnknownUser => {
                let gone = self.erasure.gone_since(account).await;
                let gone_since = gone.map_err(|err| Unanswered::Failed(err.to_string()))?;
                Ok(DevicesAnswer { devices: None, gone_since, remember_for: REMEMBER_NOBODY })
            }
            Err(rejection) => Err(unanswered(&rejection)),
        }
    }

    async fn bundles(
        &self,
        origin: &ServerName,
        question: BundlesOf,
    ) -> Result<BundlesAnswer, Unanswered> {
        let request = BundleRequest {
            requester: AccountId { uuid: question.requester, server: origin.clone() },
            request: question.request,
            devices: question.devices,
            except: None,
        };
        match self.book.bundles(question.account, request, self.clock.now()).await {
            Ok(bundles) => Ok(BundlesAnswer::Given(Box::new(bundles))),
            Err(rejection) => match rejection.code {
                Code::UnknownUser => Ok(BundlesAnswer::NoAccount),
                Code::NoIdentity => Ok(BundlesAnswer::NoIdentity),
                Code::BadRequest => Ok(BundlesAnswer::OtherRequest),
                _ => Err(unanswered(&rejection)),
            },
        }
    }
}

fn unanswered(rejection: &Rejection) -> Unanswered {
    match rejection.code {
        Code::RateLimited => Unanswered::TooOften(rejection.retry_after.unwrap_or(1)),
        _ => Unanswered::Failed(rejection.to_string()),
    }
}
