//! The calls about keys and devices (docs/spec/rest.md §7).

use http::Method;
use posthouse_protocol::{
    id::{Address, DeviceId},
    rest::{
        Secret,
        keys::{
            ApproveLink, Bundles, ClaimBundles, Devices, FetchLink, Link, LinkResult, LinkedDevice,
            PreKeyStatus, PutDeviceList, SetIdentity, StartLink, UploadPreKeys, UserDevices,
        },
    },
};
use uuid::Uuid;

use super::{Api, json};
use crate::{Error, encode::address};

impl Api {
    /// `GET /v1/devices`: the devices of the own account.
    pub async fn devices(&self, access: &Secret) -> Result<Devices, Error> {
        self.get("/v1/devices", Some(access)).await
    }

    /// `DELETE /v1/devices/{id}`: removes a device and ends its sessions.
    pub async fn remove_device(&self, access: &Secret, device: DeviceId) -> Result<(), Error> {
        let path = format!("/v1/devices/{}", device.0.as_hyphenated());
        self.call(Method::DELETE, &path, Some(access), None).await.map(drop)
    }

    /// `PUT /v1/keys/identity`: sets the account's identity key.
    pub async fn set_identity(&self, access: &Secret, request: &SetIdentity) -> Result<(), Error> {
        let body = Some(json(request));
        self.call(Method::PUT, "/v1/keys/identity", Some(access), body).await.map(drop)
    }

    /// `PUT /v1/keys/device-list`: publishes a signed device list.
    pub async fn put_device_list(
        &self,
        access: &Secret,
        request: &PutDeviceList,
    ) -> Result<(), Error> {
        let body = Some(json(request));
        self.call(Method::PUT, "/v1/keys/device-list", Some(access), body).await.map(drop)
    }

    /// `POST /v1/keys/prekeys`: uploads prekeys of the calling device.
    pub async fn upload_prekeys(
        &self,
        access: &Secret,
        request: &UploadPreKeys,
    ) -> Result<PreKeyStatus, Error> {
        self.post("/v1/keys/prekeys", Some(access), json(request)).await
    }

    /// `GET /v1/keys/prekeys`: which prekeys of the calling device are left.
    pub async fn prekeys(&self, access: &Secret) -> Result<PreKeyStatus, Error> {
        self.get("/v1/keys/prekeys", Some(access)).await
    }

    /// `GET /v1/users/{user}/devices`: a user's devices, which are to be verified.
    pub async fn user_devices(
        &self,
        access: &Secret,
        user: &Address,
    ) -> Result<UserDevices, Error> {
        self.get(&format!("/v1/users/{}/devices", address(user)), Some(access)).await
    }

    /// `POST /v1/users/{user}/bundles`: what sessions begin with, to be verified.
    pub async fn claim_bundles(
        &self,
        access: &Secret,
        user: &Address,
        request: &ClaimBundles,
    ) -> Result<Bundles, Error> {
        let path = format!("/v1/users/{}/bundles", address(user));
        self.post(&path, Some(access), json(request)).await
    }

    /// `POST /v1/links`: a new device wants to join an account.
    pub async fn start_link(&self, request: &StartLink) -> Result<Link, Error> {
        self.post("/v1/links", None, json(request)).await
    }

    /// `POST /v1/links/{id}`: lets a new device in.
    pub async fn approve_link(
        &self,
        access: &Secret,
        link: Uuid,
        request: &ApproveLink,
    ) -> Result<LinkedDevice, Error> {
        self.post(&format!("/v1/links/{link}"), Some(access), json(request)).await
    }

    /// `POST /v1/links/{id}/result`: the outcome, once there is one or after 30 seconds.
    pub async fn fetch_link(&self, link: Uuid, request: &FetchLink) -> Result<LinkResult, Error> {
        self.post(&format!("/v1/links/{link}/result"), None, json(request)).await
    }
}
