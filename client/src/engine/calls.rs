//! REST calls that the core asks for, made until there is an answer that counts.

use std::{sync::Arc, time::Duration};

use posthouse_protocol::{
    id::Address,
    rest::keys::{ClaimBundles, PutDeviceList, UploadPreKeys},
};
use rand::rngs::StdRng;

use crate::{
    Backoff, ClientError,
    access::Access,
    machine::{Answer, Call},
    platform,
    records::own,
    store::Table,
};

/// Pauses between attempts.
const FIRST: Duration = Duration::from_millis(500);
const LONGEST: Duration = Duration::from_secs(30);

/// Makes a call, again and again while that may help.
pub(super) async fn make(
    access: Arc<Access>,
    call: Call,
    upload: Option<Box<UploadPreKeys>>,
    mut rng: StdRng,
) -> (Call, Answer) {
    let mut backoff = Backoff::new(FIRST, LONGEST);
    loop {
        match Box::pin(attempt(&access, &call, upload.as_deref())).await {
            Ok(answer) => return (call, answer),
            Err(err) if err.is_transient() && !matches!(call, Call::Profile(_)) => {
                let asked = match &err {
                    ClientError::Transport(crate::Error::Refused(problem)) => problem.retry_after,
                    _ => None,
                };
                let least = Duration::from_secs(asked.map_or(0, u64::from));
                platform::sleep(backoff.delay(&mut rng).max(least)).await;
            }
            Err(err) => {
                let code = err.code().unwrap_or("unexpected").to_owned();
                return (call, Answer::Refused(code));
            }
        }
    }
}

async fn attempt(
    access: &Access,
    call: &Call,
    upload: Option<&UploadPreKeys>,
) -> Result<Answer, ClientError> {
    Ok(match call {
        Call::Devices(of) => {
            let of = &Address::Account(of.clone());
            let devices =
                access.call(|api, token| async move { api.user_devices(&token, of).await }).await?;
            Answer::Devices(Box::new(devices))
        }
        Call::Bundles { of, devices, request } => {
            let of = &Address::Account(of.clone());
            let claim = &ClaimBundles { request_id: *request, devices: Some(devices.clone()) };
            let bundles = access
                .call(|api, token| async move { api.claim_bundles(&token, of, claim).await })
                .await?;
            Answer::Bundles(Box::new(bundles))
        }
        Call::PreKeys => Answer::PreKeys(
            access.call(|api, token| async move { api.prekeys(&token).await }).await?,
        ),
        Call::Upload => match upload {
            Some(upload) => {
                access
                    .call(|api, token| async move { api.upload_prekeys(&token, upload).await })
                    .await?;
                Answer::Done
            }
            None => Answer::Done,
        },
        Call::Groups(after) => {
            let groups =
                access.call(|api, token| async move { api.groups(&token, *after).await }).await?;
            Answer::Groups(Box::new(groups))
        }
        Call::Epochs { group, from } => {
            let epochs = access
                .call(|api, token| async move { api.group_epochs(&token, group, *from).await })
                .await?;
            Answer::Epochs(Box::new(epochs))
        }
        Call::Profile(of) => {
            let of = &Address::Account(of.clone());
            let profile =
                access.call(|api, token| async move { api.profile(&token, of).await }).await?;
            Answer::Profile(Box::new(profile))
        }
        Call::PutProfile(_) => {
            let stored = access.store.get(Table::Own, own::PROFILE).await?;
            let Some(stored) = stored else { return Ok(Answer::Done) };
            let sealed = &crate::store::decode(Table::Own, &stored)?;
            let profile =
                access.call(|api, token| async move { api.put_profile(&token, sealed).await });
            Answer::Profile(Box::new(profile.await?))
        }
        Call::Blocks(after) => {
            let after = after.as_ref();
            let blocks =
                access.call(|api, token| async move { api.blocks(&token, after).await }).await?;
            Answer::Blocks(Box::new(blocks))
        }
        Call::List(_) => {
            let stored = access.store.get(Table::Own, own::LIST).await?;
            let Some(stored) = stored else { return Ok(Answer::Done) };
            let list = &PutDeviceList { list: crate::store::decode(Table::Own, &stored)? };
            access
                .call(|api, token| async move { api.put_device_list(&token, list).await })
                .await?;
            Answer::Done
        }
    })
}
