//! The ways between Rust and JavaScript.

use tokio::sync::oneshot;
use wasm_bindgen::{JsCast, JsValue, closure::Closure, convert::FromWasmAbi};
use wasm_bindgen_futures::spawn_local;
use web_sys::{DomException, EventTarget};

/// Does what JavaScript has to do as a task of this thread, and gives a future for its outcome that
/// may be sent to others. The task ends with the future.
pub(crate) fn local<T: Send + 'static>(
    work: impl Future<Output = T> + 'static,
) -> impl Future<Output = T> + Send {
    let (mut reply, outcome) = oneshot::channel();
    spawn_local(async move {
        let value = tokio::select! {
            value = work => value,
            () = reply.closed() => return,
        };
        // Whoever asked may be gone.
        let _ = reply.send(value);
    });
    async move {
        match outcome.await {
            Ok(value) => value,
            // The task replies unless the whole page ends.
            Err(_) => std::future::pending().await,
        }
    }
}

/// What JavaScript says of a failure.
pub(crate) fn failure(value: &JsValue) -> String {
    if let Some(err) = value.dyn_ref::<DomException>() {
        return format!("{}: {}", err.name(), err.message());
    }
    if let Some(err) = value.dyn_ref::<js_sys::Error>() {
        return String::from(err.to_string());
    }
    value.as_string().unwrap_or_else(|| "a failure without words".to_owned())
}

/// Listens to an event for as long as this is kept.
pub(crate) struct Listening {
    target: EventTarget,
    event: &'static str,
    heard: Closure<dyn FnMut(JsValue)>,
}

/// Calls `heard` with each event of this name.
pub(crate) fn listen<E: JsCast + FromWasmAbi + 'static>(
    target: &EventTarget,
    event: &'static str,
    mut heard: impl FnMut(E) + 'static,
) -> Listening {
    let heard = Closure::new(move |value: JsValue| heard(value.unchecked_into()));
    // It fails for what is no function only.
    let _ = target.add_event_listener_with_callback(event, heard.as_ref().unchecked_ref());
    Listening { target: target.clone(), event, heard }
}

impl Drop for Listening {
    fn drop(&mut self) {
        let heard = self.heard.as_ref().unchecked_ref();
        // As above; nothing is left to tell.
        let _ = self.target.remove_event_listener_with_callback(self.event, heard);
    }
}
