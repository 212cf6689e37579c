//! Devices and keys of the homeserver in memory: it knows the caller's device and nobody's keys.

use async_trait::async_trait;
use posthouse_client_api::ports::{Caller, Devices, Keys, Links};
use posthouse_protocol::{
    id::{Address, DeviceId, RegistrationId},
    problem::{Code, Rejection},
    rest::{
        Secret,
        keys::{
            ApproveLink, Bundles, ClaimBundles, DeviceInfo, Devices as DeviceList, FetchLink,
            KeyChanges, Link, LinkResult, LinkedDevice, PreKeyStatus, PutDeviceList, RenameDevice,
            SetIdentity, StartLink, UploadPreKeys, UserDevices,
        },
    },
    time::Timestamp,
};

use super::home::Home;

fn own(caller: &Caller, device: DeviceId) -> Result<(), Rejection> {
    if device == caller.device {
        return Ok(());
    }
    Err(Rejection::new(Code::NotFound, "no such device"))
}

#[async_trait]
impl Devices for Home {
    async fn devices(&self, caller: &Caller) -> Result<DeviceList, Rejection> {
        let device = DeviceInfo {
            device_id: caller.device,
            device: caller.number,
            registration_id: RegistrationId::try_from(7).unwrap(),
            name: "phone".into(),
            created_at: Timestamp(1),
            active_at: Timestamp(2),
            listed: false,
            current: true,
        };
        Ok(DeviceList { devices: vec![device] })
    }

    async fn rename(
        &self,
        caller: &Caller,
        id: DeviceId,
        _: RenameDevice,
    ) -> Result<(), Rejection> {
        own(caller, id)
    }

    async fn revoke(&self, caller: &Caller, id: DeviceId) -> Result<(), Rejection> {
        own(caller, id)
    }
}

#[async_trait]
impl Keys for Home {
    async fn set_identity(&self, _: &Caller, _: SetIdentity) -> Result<(), Rejection> {
        Ok(())
    }

    async fn put_list(&self, _: &Caller, _: PutDeviceList) -> Result<(), Rejection> {
        Ok(())
    }

    async fn upload(&self, caller: &Caller, _: UploadPreKeys) -> Result<PreKeyStatus, Rejection> {
        self.prekeys(caller).await
    }

    async fn prekeys(&self, _: &Caller) -> Result<PreKeyStatus, Rejection> {
        Ok(PreKeyStatus { one_time: 0, one_time_kem: 0, signed: None, last_resort: None })
    }

    async fn user_devices(&self, caller: &Caller, _: Address) -> Result<UserDevices, Rejection> {
        Ok(UserDevices {
            account_id: caller.account.clone(),
            identity_key: None,
            version: 0,
            device_list: None,
            devices: Vec::new(),
        })
    }

    async fn key_changes(&self, caller: &Caller, _: Address) -> Result<KeyChanges, Rejection> {
        Ok(KeyChanges { account_id: caller.account.clone(), changes: Vec::new() })
    }

    async fn claim(&self, _: &Caller, _: Address, _: ClaimBundles) -> Result<Bundles, Rejection> {
        Err(Rejection::new(Code::NoIdentity, "no keys"))
    }
}

#[async_trait]
impl Links for Home {
    async fn start(&self, _: StartLink) -> Result<Link, Rejection> {
        Ok(Link { link_id: uuid::Uuid::from_u128(1), secret: Secret("s".into()), expires_in: 300 })
    }

    async fn approve(
        &self,
        _: &Caller,
        _: uuid::Uuid,
        _: ApproveLink,
    ) -> Result<LinkedDevice, Rejection> {
        Err(Rejection::new(Code::NotFound, "no such link"))
    }

    async fn result(&self, _: uuid::Uuid, _: FetchLink) -> Result<LinkResult, Rejection> {
        Err(Rejection::new(Code::NotFound, "no such link"))
    }
}
