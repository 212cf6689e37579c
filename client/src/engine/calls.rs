//! REST calls that the core asks for, made until there is an answer that counts.

use std::{sync::Arc, time::Duration};

use posthouse_crypto::e2ee::{
    primitives::curve::PrivateKey,
    signed::group_epoch::{Change, GroupEpoch, SignedGroupEpoch},
    time::UnixMillis,
};
use posthouse_protocol::{
    id::{Address, ConversationId, GroupId},
    rest::{
        groups::{EpochDocument, EpochStatus, Epochs, SubmitEpoch},
        keys::{ClaimBundles, PutDeviceList, UploadPreKeys},
    },
};
use rand::rngs::StdRng;

use crate::{
    Backoff, ClientError,
    access::Access,
    machine::{Answer, Call},
    platform,
    records::{Account, Group, own},
    store::{Store, StoreError, Table, Tx},
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
        match Box::pin(attempt(&access, &call, upload.as_deref(), &mut rng)).await {
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
    rng: &mut StdRng,
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
        Call::Leave(group) => match leave(access, group, rng).await? {
            Some(signed) => {
                let epochs = vec![EpochDocument(signed)];
                Answer::Epochs(Box::new(Epochs { epochs, next: None }))
            }
            None => Answer::Done,
        },
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

/// Signs that the account leaves, on top of the chain that is known now, and submits it. The epoch, if
/// it is in the chain; `None` if it waits at the homeserver, or there is nothing to leave any more.
async fn leave(
    access: &Access,
    group: &GroupId,
    rng: &mut StdRng,
) -> Result<Option<SignedGroupEpoch>, ClientError> {
    let tx = Tx::new(&*access.store);
    let known = tx.read::<Group>(Table::Groups, &ConversationId::group(group).0).await?;
    let Some(state) = known.filter(|group| group.leaving).and_then(|group| group.state()) else {
        return Ok(None);
    };
    let account = tx.read::<Account>(Table::Own, own::ACCOUNT).await?;
    let account = account.ok_or(ClientError::NoDevice)?.id.to_string();
    let epoch = state.propose(&account, Change::Leave, UnixMillis(access.clock.now().0));
    let signed = sign(&*access.store, &epoch, rng).await?;
    // What others would refuse is not asked for.
    state.apply(&signed)?;
    let request = &SubmitEpoch { epoch: EpochDocument(signed.clone()) };
    let submit =
        access.call(|api, token| async move { api.submit_epoch(&token, group, request).await });
    Ok((submit.await?.status == EpochStatus::Taken).then_some(signed))
}

/// Signs an epoch with the account's identity key.
pub(crate) async fn sign(
    store: &dyn Store,
    epoch: &GroupEpoch,
    rng: &mut StdRng,
) -> Result<SignedGroupEpoch, ClientError> {
    let secret = store.get(Table::Own, own::IDENTITY).await?;
    let secret = secret.ok_or(ClientError::NoDevice)?;
    let secret: &[u8; 32] =
        secret.as_slice().try_into().map_err(|_| StoreError::Corrupt(Table::Own))?;
    Ok(epoch.sign(&PrivateKey::from_bytes(secret), rng))
}
