//! The REST calls (docs/spec/rest.md). [`ROUTES`] lists them all; each handler lives in the module
//! of its area.

mod accounts;
mod auth;
mod body;
mod connect;
mod conversations;
mod describe;
mod devices;
mod documents;
mod groups;
mod keys;
mod links;
mod messages;
mod people;
mod presence;
mod profiles;
mod response;
mod security;
mod service;
mod sessions;
mod users;

pub(crate) use auth::Peer;
pub(crate) use describe::AREAS;

use axum::{
    Router,
    body::Body,
    response::{IntoResponse as _, Response},
    routing::{MethodFilter, MethodRouter, on},
};
use hyper::{
    HeaderMap, Method, Request,
    header::{self, HeaderValue},
};
use posthouse_protocol::problem::{Code, Rejection};
use tower::ServiceExt as _;

use crate::{Edge, documents::Operation};
use response::Failure;

/// One REST call.
#[derive(Clone)]
pub struct Route {
    /// Its method.
    pub method: Method,
    /// Its path; `{name}` stands for one segment.
    pub path: &'static str,
    /// Who may call it.
    pub access: Access,
    /// The largest body that it takes, in bytes; 0 if it takes none.
    pub max_body: usize,
    /// Its name in the published documents: the area, and what is done.
    pub name: &'static str,
    handler: fn(MethodFilter) -> MethodRouter<Edge>,
    description: fn() -> Operation,
}

impl Route {
    /// What the published documents say of it.
    pub(crate) fn operation(&self) -> Operation {
        (self.description)()
    }

    /// The area that it belongs to, one of [`AREAS`].
    pub(crate) fn area(&self) -> &'static str {
        self.name.split('_').next().unwrap_or_default()
    }
}

/// Who may make a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Anyone.
    Anyone,
    /// Who shows an access token.
    Session,
    /// Who shows an access token or a ticket.
    Ticket,
}

/// Declares [`ROUTES`]: method, path, access, largest body, handler. The handler's description for the
/// published documents is the function of the same name in [`describe`].
macro_rules! routes {
    ($($method:ident $path:literal $access:ident $max_body:expr => $area:ident::$call:ident;)*) => {
        /// Every REST call.
        pub const ROUTES: &[Route] = &[$(Route {
            method: Method::$method,
            path: $path,
            access: Access::$access,
            max_body: $max_body,
            name: concat!(stringify!($area), "_", stringify!($call)),
            handler: |filter| on(filter, $area::$call),
            description: describe::$area::$call,
        },)*];
    };
}

routes! {
    POST   "/v1/accounts"         Anyone  accounts::MAX_BODY => accounts::register;
    GET    "/v1/account"          Session 0 => accounts::me;
    GET    "/v1/account/security" Session 0 => security::show;
    POST   "/v1/account/password" Session security::MAX_BODY => security::change_password;
    POST   "/v1/account/totp"     Session security::MAX_BODY => security::enrol_totp;
    POST   "/v1/account/totp/confirm" Session security::MAX_BODY => security::confirm_totp;
    POST   "/v1/account/totp/off" Session security::MAX_BODY => security::remove_totp;
    POST   "/v1/account/recovery-codes" Session security::MAX_BODY => security::renew_codes;
    POST   "/v1/account/pin"      Session security::MAX_BODY => security::set_pin;
    POST   "/v1/account/pin/off"  Session security::MAX_BODY => security::remove_pin;
    POST   "/v1/account/delete"   Session security::MAX_BODY => security::delete_account;
    POST   "/v1/sessions"         Anyone  sessions::MAX_BODY => sessions::log_in;
    GET    "/v1/sessions"         Session 0 => sessions::list;
    POST   "/v1/sessions/refresh" Anyone  sessions::MAX_BODY => sessions::refresh;
    DELETE "/v1/sessions/current" Session 0 => sessions::log_out;
    DELETE "/v1/sessions/{id}"    Session 0 => sessions::end;
    GET    "/v1/account/privacy"  Session 0 => people::privacy;
    PUT    "/v1/account/privacy"  Session people::MAX_BODY => people::set_privacy;
    GET    "/v1/users/{user}"     Session 0 => users::find;
    GET    "/v1/users/{user}/profile" Session 0 => profiles::show;
    GET    "/v1/users/me/profile" Session 0 => profiles::own;
    PUT    "/v1/users/me/profile" Session profiles::MAX_BODY => profiles::put;
    GET    "/v1/contacts"         Session 0 => people::contacts;
    POST   "/v1/contacts"         Session people::MAX_BODY => people::put_contact;
    DELETE "/v1/contacts/{user}"  Session 0 => people::remove_contact;
    GET    "/v1/blocks"           Session 0 => people::blocks;
    POST   "/v1/blocks"           Session people::MAX_BODY => people::block;
    DELETE "/v1/blocks/{user}"    Session 0 => people::unblock;
    GET    "/v1/requests"         Session 0 => people::requests;
    POST   "/v1/requests/accept"  Session people::MAX_BODY => people::accept;
    POST   "/v1/requests/decline" Session people::MAX_BODY => people::decline;
    POST   "/v1/reports"          Session people::MAX_REPORT => people::report;
    POST   "/v1/groups"           Session groups::MAX_BODY => groups::create;
    GET    "/v1/groups"           Session 0 => groups::list;
    GET    "/v1/groups/{id}"      Session 0 => groups::show;
    GET    "/v1/groups/{id}/epochs" Session 0 => groups::epochs;
    POST   "/v1/groups/{id}/epochs" Session groups::MAX_BODY => groups::submit;
    GET    "/v1/groups/{id}/links" Session 0 => groups::links;
    POST   "/v1/groups/{id}/links" Session groups::MAX_BODY => groups::create_link;
    POST   "/v1/groups/{id}/links/revoke" Session groups::MAX_BODY => groups::revoke_link;
    POST   "/v1/groups/{id}/join" Session groups::MAX_BODY => groups::join;
    GET    "/v1/groups/{id}/requests" Session 0 => groups::join_requests;
    POST   "/v1/groups/{id}/requests/decline" Session groups::MAX_BODY => groups::decline_join;
    GET    "/v1/conversations"    Session 0 => conversations::list;
    DELETE "/v1/conversations/{id}" Session 0 => conversations::delete;
    POST   "/v1/messages/delete"  Session conversations::MAX_BODY => conversations::delete_messages;
    GET    "/v1/devices"          Session 0 => devices::list;
    PUT    "/v1/devices/{id}"     Session devices::MAX_BODY => devices::rename;
    DELETE "/v1/devices/{id}"     Session 0 => devices::revoke;
    PUT    "/v1/keys/identity"    Session keys::MAX_BODY => keys::set_identity;
    PUT    "/v1/keys/device-list" Session keys::MAX_BODY => keys::put_list;
    POST   "/v1/keys/prekeys"     Session keys::MAX_UPLOAD => keys::upload;
    GET    "/v1/keys/prekeys"     Session 0 => keys::status;
    GET    "/v1/users/{user}/devices"     Session 0 => keys::user_devices;
    GET    "/v1/users/{user}/key-changes" Session 0 => keys::key_changes;
    POST   "/v1/users/{user}/bundles"     Session keys::MAX_BODY => keys::claim;
    POST   "/v1/links"            Anyone  links::MAX_BODY => links::start;
    POST   "/v1/links/{id}"       Session links::MAX_BODY => links::approve;
    POST   "/v1/links/{id}/result" Anyone links::MAX_BODY => links::result;
    POST   "/v1/connect/ticket"   Session 0 => connect::ticket;
    GET    "/v1/connect"          Ticket  0 => connect::connect;
    POST   "/v1/messages"         Session messages::MAX_BODY => messages::submit;
    POST   "/v1/messages/ack"     Session messages::MAX_BODY => messages::acknowledge;
    GET    "/v1/messages/sync"    Session 0 => messages::sync;
    GET    "/v1/presence"         Session 0 => presence::query;
    GET    "/v1/capabilities"     Anyone  0 => service::capabilities;
    GET    "/v1/openapi.json"     Anyone  0 => documents::openapi;
    GET    "/v1/asyncapi.json"    Anyone  0 => documents::asyncapi;
    GET    "/docs"                Anyone  0 => documents::page;
    GET    "/healthz"             Anyone  0 => service::alive;
    GET    "/readyz"              Anyone  0 => service::ready;
}

/// The router over [`ROUTES`].
pub(crate) fn router(edge: Edge) -> Router {
    let mut router = Router::new();
    for route in ROUTES {
        // Every method of the table has a filter; one without would be served by nothing, which
        // the test of the table would show.
        let Ok(filter) = MethodFilter::try_from(route.method.clone()) else { continue };
        router = router.route(route.path, (route.handler)(filter));
    }
    router
        .fallback(async || refuse(Code::NotFound, "there is nothing at this path"))
        .method_not_allowed_fallback(async || {
            refuse(Code::MethodNotAllowed, "`Allow` lists the methods of this path")
        })
        .with_state(edge)
}

/// Answers a request, with what all answers have in common.
pub(crate) async fn answer(edge: &Edge, router: &Router, request: Request<Body>) -> Response {
    let is_api = request.uri().path().starts_with("/v1/");
    let mut response = if is_api && is_preflight(&request) {
        preflight()
    } else {
        // A router's error type has no values.
        let Ok(response) = router.clone().oneshot(request).await;
        response
    };
    let counters = edge.counters();
    counters.requests.add(1);
    if let Some(code) = response.extensions().get::<Code>() {
        counters.error(*code);
    }
    let headers = response.headers_mut();
    // Answers hold tokens and messages, and addresses hold tickets. Published documents do not, and
    // say themselves how long they may be kept.
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    set(headers, header::REFERRER_POLICY, "no-referrer");
    set(headers, header::X_CONTENT_TYPE_OPTIONS, "nosniff");
    if is_api {
        // Any page may call: what a call may do hangs on a token that no browser adds by itself.
        set(headers, header::ACCESS_CONTROL_ALLOW_ORIGIN, "*");
        set(headers, header::ACCESS_CONTROL_EXPOSE_HEADERS, "retry-after, www-authenticate");
    }
    response
}

/// Whether a browser asks for leave to send a request of another origin (Fetch standard, CORS).
fn is_preflight(request: &Request<Body>) -> bool {
    request.method() == Method::OPTIONS
        && request.headers().contains_key(header::ORIGIN)
        && request.headers().contains_key(header::ACCESS_CONTROL_REQUEST_METHOD)
}

fn preflight() -> Response {
    let mut response = hyper::StatusCode::NO_CONTENT.into_response();
    let headers = response.headers_mut();
    set(headers, header::ACCESS_CONTROL_ALLOW_METHODS, "GET, POST, PUT, DELETE");
    set(headers, header::ACCESS_CONTROL_ALLOW_HEADERS, "authorization, content-type");
    set(headers, header::ACCESS_CONTROL_MAX_AGE, "86400");
    response
}

fn set(headers: &mut HeaderMap, name: header::HeaderName, value: &'static str) {
    headers.insert(name, HeaderValue::from_static(value));
}

fn refuse(code: Code, detail: &'static str) -> Failure {
    Rejection::new(code, detail).into()
}
