//! The frames of the client socket (docs/spec/client-socket.md): JSON text, one object a frame.

mod client;
mod group;
mod keys;
mod server;

pub use client::{Ack, AckTarget, Class, ClientFrame, Malformed, PresenceUpdate, Submission};
pub use group::{GroupEvent, GroupFrame, TallyFrame};
pub use keys::{DevicesChangedFrame, KeysEvent, KeysFrame};
pub use server::{
    Changed, MessageFrame, Presence, PresenceFrame, ServerFrame, StatusFrame, WatermarkFrame,
};
