//! One page at a time (Web Locks API): two would use message keys twice.

use std::{cell::RefCell, rc::Rc, time::Duration};

use js_sys::{Function, Object, Promise, Reflect};
use tokio::sync::oneshot;
use wasm_bindgen::{JsCast, JsValue, closure::Closure};
use wasm_bindgen_futures::JsFuture;
use web_sys::AbortController;

use super::StoreError;
use crate::platform::{failure, timeout};

/// How long another page is waited for: one that is being reloaded is gone in a moment.
const PATIENCE: Duration = Duration::from_secs(1);

/// Held until it is dropped, or the page is gone.
pub(super) struct Lock {
    release: Function,
}

impl Lock {
    /// Waits for the lock, not for long.
    pub(super) async fn acquire(name: &str) -> Result<Self, StoreError> {
        let failed = |err: JsValue| StoreError::Failed(failure(&err).into());
        let abort = AbortController::new().map_err(failed)?;
        let (got, granted) = oneshot::channel();
        let mut got = Some(got);
        // The lock is held until the promise that this returns is settled.
        let on_grant = Closure::once_into_js(move |_: JsValue| {
            let release = Rc::new(RefCell::new(None));
            let held = Promise::new(&mut |resolve, _| *release.borrow_mut() = Some(resolve));
            if let (Some(got), Some(release)) = (got.take(), release.borrow_mut().take())
                && let Err(release) = got.send(release)
            {
                // Whoever asked has given up meanwhile.
                drop(Lock { release });
            }
            held
        });
        let options = Object::new();
        Reflect::set(&options, &"signal".into(), &abort.signal()).map_err(failed)?;
        let asked = request(&format!("posthouse store {name}"), &options, &on_grant);
        let asked = JsFuture::from(asked.map_err(failed)?);
        let outcome = timeout(PATIENCE, async {
            tokio::select! {
                biased;
                granted = granted => granted.map_err(|_| StoreError::InUse),
                // It ends before it is granted if it is refused only.
                refused = asked => Err(refused.map_or_else(failed, |_| StoreError::InUse)),
            }
        });
        match outcome.await {
            Ok(Ok(release)) => Ok(Self { release }),
            Ok(Err(err)) => Err(err),
            Err(_) => {
                abort.abort();
                Err(StoreError::InUse)
            }
        }
    }
}

/// `navigator.locks.request(name, options, on_grant)`, in a page or in a worker.
fn request(name: &str, options: &Object, on_grant: &JsValue) -> Result<Promise, JsValue> {
    let navigator = Reflect::get(&js_sys::global(), &"navigator".into())?;
    let locks = Reflect::get(&navigator, &"locks".into())?;
    if locks.is_undefined() {
        return Err("the page is no secure context: it has no locks".into());
    }
    let request: Function = Reflect::get(&locks, &"request".into())?.dyn_into()?;
    Ok(request.call3(&locks, &name.into(), options, on_grant)?.unchecked_into())
}

impl Drop for Lock {
    fn drop(&mut self) {
        // What settles a promise does not fail.
        let _ = self.release.call0(&JsValue::UNDEFINED);
    }
}
