//! The calls about contacts, blocks, message requests, profiles and reports (docs/spec/rest.md §8).

use http::Method;
use posthouse_protocol::{
    id::{AccountId, Address},
    rest::{
        Blocks, Contacts, FileReport, Named, Profile, PutContact, PutProfile, ReportFiled,
        Requests, Secret,
    },
};

use super::{Api, json, parse};
use crate::{Error, encode::address};

impl Api {
    /// `GET /v1/contacts`: a page of the contacts, after this account.
    pub async fn contacts(
        &self,
        access: &Secret,
        after: Option<&AccountId>,
    ) -> Result<Contacts, Error> {
        self.get(&page("/v1/contacts", after), Some(access)).await
    }

    /// `POST /v1/contacts`: adds a contact, or changes its label.
    pub async fn put_contact(&self, access: &Secret, request: &PutContact) -> Result<(), Error> {
        self.act_on("/v1/contacts", access, json(request)).await
    }

    /// `DELETE /v1/contacts/{user}`: removes a contact.
    pub async fn remove_contact(&self, access: &Secret, user: &Address) -> Result<(), Error> {
        let path = format!("/v1/contacts/{}", address(user));
        self.call(Method::DELETE, &path, Some(access), None).await.map(drop)
    }

    /// `GET /v1/blocks`: a page of those who are blocked, after this account.
    pub async fn blocks(
        &self,
        access: &Secret,
        after: Option<&AccountId>,
    ) -> Result<Blocks, Error> {
        self.get(&page("/v1/blocks", after), Some(access)).await
    }

    /// `POST /v1/blocks`: blocks a user.
    pub async fn block(&self, access: &Secret, request: &Named) -> Result<(), Error> {
        self.act_on("/v1/blocks", access, json(request)).await
    }

    /// `DELETE /v1/blocks/{user}`: hears a user again.
    pub async fn unblock(&self, access: &Secret, user: &Address) -> Result<(), Error> {
        let path = format!("/v1/blocks/{}", address(user));
        self.call(Method::DELETE, &path, Some(access), None).await.map(drop)
    }

    /// `GET /v1/requests`: a page of the message requests that wait, after this account.
    pub async fn requests(
        &self,
        access: &Secret,
        after: Option<&AccountId>,
    ) -> Result<Requests, Error> {
        self.get(&page("/v1/requests", after), Some(access)).await
    }

    /// `POST /v1/requests/accept`: hears who asked.
    pub async fn accept_request(&self, access: &Secret, request: &Named) -> Result<(), Error> {
        self.act_on("/v1/requests/accept", access, json(request)).await
    }

    /// `POST /v1/requests/decline`: does not hear who asked, for 30 days.
    pub async fn decline_request(&self, access: &Secret, request: &Named) -> Result<(), Error> {
        self.act_on("/v1/requests/decline", access, json(request)).await
    }

    /// `GET /v1/users/{user}/profile`: somebody's profile, of any region, encrypted.
    pub async fn profile(&self, access: &Secret, user: &Address) -> Result<Profile, Error> {
        self.get(&format!("/v1/users/{}/profile", address(user)), Some(access)).await
    }

    /// `PUT /v1/users/me/profile`: replaces the own profile, which is encrypted.
    pub async fn put_profile(
        &self,
        access: &Secret,
        request: &PutProfile,
    ) -> Result<Profile, Error> {
        let body = Some(json(request));
        parse(&self.call(Method::PUT, "/v1/users/me/profile", Some(access), body).await?)
    }

    /// `POST /v1/reports`: shows the operator what somebody has written.
    pub async fn report(
        &self,
        access: &Secret,
        request: &FileReport,
    ) -> Result<ReportFiled, Error> {
        self.post("/v1/reports", Some(access), json(request)).await
    }

    async fn act_on(&self, path: &str, access: &Secret, body: String) -> Result<(), Error> {
        self.call(Method::POST, path, Some(access), Some(body)).await.map(drop)
    }
}

fn page(path: &str, after: Option<&AccountId>) -> String {
    after.map_or_else(|| path.to_owned(), |after| format!("{path}?after={after}"))
}
