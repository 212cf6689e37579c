//! `devices`: those of the account, and one less.

use std::time::Duration;

use jiff::tz::TimeZone;
use posthouse_protocol::rest::keys::DeviceInfo;
use serde_json::json;
use tokio::time::Instant;

use crate::{
    failure::{Exit, Failure},
    output::{Output, when},
    session::Session,
    text::line,
};

/// How long the new list of devices is waited for; else it goes with the next command.
const SOON: Duration = Duration::from_secs(5);

pub(super) async fn run(
    session: Session,
    remove: Option<u8>,
    output: Output,
) -> Result<(), Failure> {
    let all = session.client.devices().await?;
    match remove {
        Some(number) => take_out(&session, &all, number, output).await?,
        None => list(&all, output),
    }
    session.close().await;
    Ok(())
}

fn list(all: &[DeviceInfo], output: Output) {
    for one in all {
        let object = json!({
            "event": "device", "device": one.device, "name": one.name, "current": one.current,
            "listed": one.listed, "created_at": one.created_at, "active_at": one.active_at,
        });
        let last = if one.current {
            "this one".to_owned()
        } else {
            format!("last connected {}", when(one.active_at, &TimeZone::system()))
        };
        let known = if one.listed { "" } else { ", in no list that you signed: it hears nothing" };
        let text = format!("{:3}  {}  ({last}{known})", one.device.get(), line(&one.name));
        if !output.print(&object, text) {
            break;
        }
    }
}

async fn take_out(
    session: &Session,
    all: &[DeviceInfo],
    number: u8,
    output: Output,
) -> Result<(), Failure> {
    let Some(device) = all.iter().find(|one| one.device.get() == number) else {
        let fact = format!("The account has no device {number}.");
        return Err(Failure::new(Exit::Usage, fact, "`posthouse-chat devices` shows them."));
    };
    if device.current {
        let fact = format!("Device {number} is this one.");
        let advice = "`posthouse-chat logout` takes it out of the account.";
        return Err(Failure::new(Exit::Usage, fact, advice));
    }
    session.client.remove_device(device).await?;
    let published = session.listed(Instant::now() + SOON).await?;
    let object = json!({ "event": "device_removed", "device": number, "published": published });
    let name = line(&device.name);
    output.print(&object, format!("Device {number}, {name}, is none of yours any more."));
    Ok(())
}
