//! REST calls through fetch (Fetch standard).

use std::io;

use bytes::Bytes;
use http::StatusCode;
use js_sys::{Function, Promise, Reflect, Uint8Array};
use wasm_bindgen::{JsCast, JsValue};
use wasm_bindgen_futures::JsFuture;
use web_sys::{
    AbortController, Headers, ReadableStreamDefaultReader, ReadableStreamReadResult, Request,
    RequestInit, Response,
};

use super::{Connector, failure, local};
use crate::api::{HttpCall, MAX_ANSWER};

/// Makes calls.
#[derive(Clone)]
pub(crate) struct Http;

impl Http {
    pub(crate) fn new(_: &Connector) -> Self {
        Self
    }

    /// The answer's status and its body; [`io::ErrorKind::InvalidInput`] for a call that cannot
    /// be put into words.
    pub(crate) async fn answer(&self, call: HttpCall<'_>) -> io::Result<(StatusCode, Bytes)> {
        let HttpCall { method, url, access, body } = call;
        let bearer = access.map(|access| format!("Bearer {}", access.0));
        local(async move { fetch(method.as_str(), &url, bearer, body).await }).await
    }
}

/// Stops a call that nobody waits for any more.
struct Abort(AbortController);

impl Drop for Abort {
    fn drop(&mut self) {
        self.0.abort();
    }
}

async fn fetch(
    method: &str,
    url: &str,
    bearer: Option<String>,
    body: Option<String>,
) -> io::Result<(StatusCode, Bytes)> {
    let abort = Abort(AbortController::new().map_err(|err| broken(&err))?);
    let request = request(method, url, bearer, body, &abort)
        .map_err(|err| io::Error::new(io::ErrorKind::InvalidInput, failure(&err)))?;
    // A page and a worker have the same function, of different objects.
    let global = js_sys::global();
    let fetch = Reflect::get(&global, &"fetch".into()).map_err(|err| broken(&err))?;
    let fetch = fetch.dyn_into::<Function>().map_err(|_| io::ErrorKind::Unsupported)?;
    let answer = fetch.call1(&global, &request).map_err(|err| broken(&err))?;
    let answer = JsFuture::from(answer.unchecked_into::<Promise>()).await;
    let answer: Response = answer.map_err(|err| broken(&err))?.unchecked_into();
    let status = StatusCode::from_u16(answer.status()).map_err(io::Error::other)?;
    let body = read(&answer).await?;
    Ok((status, body))
}

fn request(
    method: &str,
    url: &str,
    bearer: Option<String>,
    body: Option<String>,
    abort: &Abort,
) -> Result<Request, JsValue> {
    let headers = Headers::new()?;
    if let Some(bearer) = bearer {
        headers.set("Authorization", &bearer)?;
    }
    if body.is_some() {
        headers.set("Content-Type", "application/json")?;
    }
    let init = RequestInit::new();
    init.set_method(method);
    init.set_headers(&headers);
    init.set_signal(Some(&abort.0.signal()));
    // No cookies go along, and nothing is kept: what a call may do hangs on its token alone.
    init.set_credentials(web_sys::RequestCredentials::Omit);
    init.set_cache(web_sys::RequestCache::NoStore);
    init.set_redirect(web_sys::RequestRedirect::Error);
    if let Some(body) = body {
        init.set_body(&body.into());
    }
    Request::new_with_str_and_init(url, &init)
}

/// The whole body, which has a bound.
async fn read(answer: &Response) -> io::Result<Bytes> {
    let Some(stream) = answer.body() else { return Ok(Bytes::new()) };
    let reader: ReadableStreamDefaultReader = stream.get_reader().unchecked_into();
    let mut body = Vec::new();
    loop {
        let part = JsFuture::from(reader.read()).await.map_err(|err| broken(&err))?;
        let part: ReadableStreamReadResult = part.unchecked_into();
        if part.get_done().unwrap_or(true) {
            return Ok(body.into());
        }
        let part: Uint8Array = part.get_value().unchecked_into();
        if body.len() + part.length() as usize > MAX_ANSWER {
            return Err(io::Error::other("the answer is too long"));
        }
        let from = body.len();
        body.resize(from + part.length() as usize, 0);
        part.copy_to(body.get_mut(from..).unwrap_or_default());
    }
}

fn broken(err: &JsValue) -> io::Error {
    io::Error::other(failure(err))
}
