//! `link` and `approve`: a further device of an account.

use std::{path::PathBuf, time::Duration};

use posthouse_protocol::rest::Secret;
use serde_json::json;
use tokio::time::Instant;

use super::account::say_who;
use crate::{
    args::Server,
    failure::{Exit, Failure},
    output::Output,
    profile::{Chosen, Profile},
    qr, secret,
    session::Session,
};

/// How often the homeserver is asked whether it has the new list of devices.
const ASK_EVERY: Duration = Duration::from_millis(200);

pub(super) async fn link(
    profile: &Profile,
    server: &Server,
    output: Output,
) -> Result<(), Failure> {
    let chosen = Chosen::new(server, profile)?;
    let linking = chosen.home.link(profile.store().await?, &server.device_name).await?;
    let code = linking.code();
    if let Some(lines) = qr::lines(code.as_bytes()) {
        output.remark(lines.join("\n"));
    }
    output.remark("Give this code to `posthouse-chat approve CODE` on another device of yours:");
    output.print(&json!({ "event": "code", "code": code }), &code);
    let opened = linking.finish().await?;
    chosen.remember(profile)?;
    let session = Session::of(profile.clone(), opened)?;
    say_who(&session, "linked", output);
    session.close().await;
    Ok(())
}

/// What `approve` was asked for.
#[derive(Debug)]
pub(super) struct Approval {
    pub(super) code: String,
    pub(super) pin_file: Option<PathBuf>,
    pub(super) within: Duration,
}

pub(super) async fn approve(
    session: Session,
    asked: &Approval,
    output: Output,
) -> Result<(), Failure> {
    let until = Instant::now() + asked.within;
    let pin = match &asked.pin_file {
        Some(path) => Some(Secret(secret::first_line(path)?.to_string())),
        None => None,
    };
    let number = session.client.approve_link(&asked.code, pin).await?;
    // Nobody encrypts for the device before the signed list that names it is published.
    loop {
        let devices = session.client.devices().await?;
        if devices.iter().any(|one| one.device.get() == number && one.listed) {
            break;
        }
        if Instant::now() >= until {
            return Err(Failure::new(
                Exit::Waits,
                format!("Device {number} is linked, but the new list of devices waits."),
                "It is signed and kept, and goes with the next command.",
            ));
        }
        tokio::time::sleep(ASK_EVERY).await;
    }
    let object = json!({ "event": "approved", "device": number });
    output.print(&object, format!("Device {number} is one of yours now."));
    session.close().await;
    Ok(())
}
