//! The browser's WebSocket, as a task that is spoken to through channels.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use tokio::sync::{mpsc, oneshot};
use wasm_bindgen_futures::spawn_local;
use web_sys::{CloseEvent, Event, MessageEvent, WebSocket};

use super::{Listening, failure, listen};
use crate::{Closed, MAX_QUEUED, closed::MAX_INCOMING};

/// Bytes of frames that came and were not read. A browser cannot be told to read no more from the
/// network; the server hands out no more than a window before it is acknowledged, which is less.
const MAX_UNREAD: usize = 192 * 1024 * 1024;

/// What happens on a socket.
pub(super) enum Told {
    /// The handshake is done.
    Open,
    /// A frame came.
    Text(String),
    /// The end.
    Closed(Closed),
}

/// What is asked of a socket.
pub(super) enum Order {
    /// Send this frame.
    Text(String),
    /// Answer when everything before was handed to the browser, which sends it by itself.
    Flush(oneshot::Sender<()>),
    /// Say goodbye.
    Close,
}

/// This side of a socket. When it is dropped the socket is closed.
pub(super) struct Socket {
    pub(super) told: mpsc::UnboundedReceiver<Told>,
    orders: mpsc::UnboundedSender<Order>,
    /// Bytes of frames that came and were not read.
    unread: Arc<AtomicUsize>,
    /// Bytes of frames that were not handed to the browser.
    unsent: Arc<AtomicUsize>,
}

impl Socket {
    /// Begins to connect. [`Told::Open`] or [`Told::Closed`] comes first.
    pub(super) fn connect(url: String) -> Self {
        let (teller, told) = mpsc::unbounded_channel();
        let (orders, ordered) = mpsc::unbounded_channel();
        let (unread, unsent) = (Arc::<AtomicUsize>::default(), Arc::<AtomicUsize>::default());
        let counts = (Arc::clone(&unread), Arc::clone(&unsent));
        spawn_local(async move { attend(&url, teller, ordered, counts).await });
        Self { told, orders, unread, unsent }
    }

    /// A frame was taken from `told`.
    pub(super) fn read(&self, text: &str) {
        self.unread.fetch_sub(text.len(), Ordering::Relaxed);
    }

    /// Hands a frame on, unless too much waits already.
    pub(super) fn send(&self, text: String) -> bool {
        let before = self.unsent.fetch_add(text.len(), Ordering::Relaxed);
        before + text.len() <= MAX_QUEUED && self.order(Order::Text(text))
    }

    pub(super) fn order(&self, order: Order) -> bool {
        self.orders.send(order).is_ok()
    }
}

type Teller = mpsc::UnboundedSender<Told>;

/// Owns the browser's socket until the device lets go of it.
async fn attend(
    url: &str,
    teller: Teller,
    mut ordered: mpsc::UnboundedReceiver<Order>,
    (unread, unsent): (Arc<AtomicUsize>, Arc<AtomicUsize>),
) {
    let socket = match WebSocket::new_with_str(url, "posthouse.v1") {
        Ok(socket) => socket,
        Err(err) => {
            // Whoever asked may be gone.
            let _ = teller.send(Told::Closed(Closed::broken(failure(&err))));
            return;
        }
    };
    let _listening = hear(&socket, &teller, &unread);
    while let Some(order) = ordered.recv().await {
        match order {
            Order::Text(text) => {
                unsent.fetch_sub(text.len(), Ordering::Relaxed);
                let waits = socket.buffered_amount() as usize;
                let sent = if waits + text.len() > MAX_QUEUED {
                    Err("the server does not read".to_owned())
                } else {
                    socket.send_with_str(&text).map_err(|err| failure(&err))
                };
                if let Err(reason) = sent {
                    let _ = teller.send(Told::Closed(Closed::broken(reason)));
                    break;
                }
            }
            Order::Flush(done) => drop(done.send(())),
            // What follows is the answer, or the end of the patience of who asked.
            Order::Close => drop(socket.close()),
        }
    }
    // It fails for wrong codes only, and there is none.
    let _ = socket.close();
}

/// Passes on what happens on the socket.
fn hear(socket: &WebSocket, teller: &Teller, unread: &Arc<AtomicUsize>) -> [Listening; 3] {
    let (opened, closed, heard) = (teller.clone(), teller.clone(), teller.clone());
    let (unread, closing) = (Arc::clone(unread), socket.clone());
    [
        listen(socket, "open", move |_: Event| drop(opened.send(Told::Open))),
        listen(socket, "close", move |event: CloseEvent| {
            let (code, reason) = (event.code(), event.reason());
            drop(closed.send(Told::Closed(Closed { code, reason })));
        }),
        listen(socket, "message", move |event: MessageEvent| {
            // Binary frames were not negotiated.
            let Some(text) = event.data().as_string() else { return };
            let waits = unread.fetch_add(text.len(), Ordering::Relaxed);
            if text.len() > MAX_INCOMING || waits + text.len() > MAX_UNREAD {
                let reason = "the server sent more than is taken".to_owned();
                drop(heard.send(Told::Closed(Closed::broken(reason))));
                drop(closing.close());
            } else {
                drop(heard.send(Told::Text(text)));
            }
        }),
    ]
}
