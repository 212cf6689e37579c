//! What the person does to the own devices, and to how long messages stay.

use posthouse_client::ClientError;
use posthouse_protocol::rest::{Pin, Secret};

use super::{
    Screen,
    dialog::{Device, Devices, Dialog, Question},
    keys::ask,
};
use crate::{failure::Failure, text::span};

impl Screen {
    /// Shows the own devices.
    pub(super) async fn devices(&mut self) -> Result<(), Failure> {
        let client = &self.session.client;
        let (devices, pin) = (client.devices().await?, client.has_link_pin().await?);
        let all = devices.into_iter().map(|one| Device {
            number: one.device.get(),
            name: one.name,
            current: one.current,
        });
        self.model.dialog = Some(Dialog::Devices(Devices { all: all.collect(), at: 0, pin }));
        Ok(())
    }

    /// Lets the device in that shows this code.
    pub(super) async fn approve(&mut self, code: &str, pin: Option<Secret>) -> Result<(), Failure> {
        let number = match self.session.client.approve_link(code, pin).await {
            Err(err) if err.code() == Some("pin_required") => {
                ask(&mut self.model, Question::CodePin(code.to_owned()));
                return Ok(());
            }
            approved => approved?,
        };
        self.model.dialog = None;
        self.model.notice = Some(format!("device {number} is one of yours now"));
        Ok(())
    }

    /// Removes a device, whose number was written to be sure.
    pub(super) async fn remove_device(
        &mut self,
        device: &Device,
        written: &str,
    ) -> Result<(), Failure> {
        if written != device.number.to_string() {
            self.model.notice = Some(format!("its number is {}", device.number));
            return Ok(());
        }
        let client = &self.session.client;
        let all = client.devices().await?;
        let found = all.iter().find(|one| one.device.get() == device.number && !one.current);
        if let Some(found) = found {
            client.remove_device(found).await?;
        }
        self.devices().await?;
        self.model.notice = Some(format!("device {} is none of yours any more", device.number));
        Ok(())
    }

    /// A PIN was written: the password is asked for next.
    pub(super) fn new_pin(&mut self, pin: String) {
        let pin = Secret(pin);
        if pin.0.is_empty() || Pin::parse(pin.clone()).is_some() {
            ask(&mut self.model, Question::PinPassword(pin));
        } else {
            self.model.notice = Some("a PIN has 6 to 12 digits".to_owned());
        }
    }

    /// Sets the PIN, or removes it.
    pub(super) async fn set_pin(&mut self, pin: Secret, password: Secret) -> Result<(), Failure> {
        let pin = Pin::parse(pin);
        let is_set = pin.is_some();
        self.session.client.set_link_pin(password, pin).await?;
        self.devices().await?;
        let notice = if is_set { "new devices need the PIN" } else { "there is no PIN any more" };
        self.model.notice = Some(notice.to_owned());
        Ok(())
    }

    /// What is said in the open conversation disappears from now on, or does not.
    pub(super) async fn disappear(&mut self, written: &str) -> Result<(), Failure> {
        let seconds = match (written, span(written)) {
            ("", _) => None,
            (_, Some(seconds)) => Some(seconds),
            (_, None) => {
                self.model.notice = Some("a number with s, m, h or d, such as 12h".to_owned());
                return Ok(());
            }
        };
        let Some(open) = &self.model.open else { return Err(ClientError::UnknownGroup.into()) };
        open.set_disappearing(&self.session.client, seconds).await?;
        self.model.dialog = None;
        self.reload().await
    }
}
