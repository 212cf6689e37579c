//! What a test asks of a region in plain HTTP.

use posthouse_protocol::rest::Secret;
use serde_json::Value;

use super::{
    device::Device,
    home::Home,
    http::{Answer, exchange},
};

/// One call.
pub(crate) async fn call(
    home: &Home,
    method: &str,
    path: &str,
    token: Option<&Secret>,
    body: Option<Value>,
) -> Answer {
    exchange(home.address(), method, path, token, body).await
}

/// The number and registration id of each of an account's devices.
pub(crate) async fn devices(home: &Home, device: &Device) -> Vec<(u64, u32)> {
    let answer = call(home, "GET", "/v1/devices", Some(device.token()), None).await;
    let one = |one: &Value| {
        let registration = one["registration_id"].as_u64().unwrap();
        (one["device"].as_u64().unwrap(), u32::try_from(registration).unwrap())
    };
    answer.body["devices"].as_array().unwrap().iter().map(one).collect()
}

/// The `keys` entries of a device's inbox, as [event, user, number].
pub(crate) async fn notices(home: &Home, device: &Device) -> Vec<Value> {
    let path = "/v1/messages/sync?since=c0&limit=1000";
    let page = call(home, "GET", path, Some(device.token()), None).await;
    let events = page.body["events"].as_array().unwrap();
    events.iter().filter(|event| event["type"] == "keys").cloned().collect()
}
