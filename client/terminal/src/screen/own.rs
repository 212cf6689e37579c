//! What the person does to the own devices, and to how long messages stay.

use posthouse_client::{Client, ClientError};
use posthouse_protocol::rest::{Pin, Secret};

use super::{
    Screen,
    dialog::{Device, Devices, Dialog, Question},
    editor::Editor,
    keys::ask,
    work::told,
};
use crate::{failure::Failure, text::span};

/// The own devices, as their homeserver knows them.
async fn list(client: &Client) -> Result<Devices, Failure> {
    let (devices, pin) = (client.devices().await?, client.has_link_pin().await?);
    let all = devices.into_iter().map(|one| Device {
        number: one.device.get(),
        name: one.name,
        current: one.current,
    });
    Ok(Devices { all: all.collect(), at: 0, pin })
}

impl Screen {
    /// Shows the own devices.
    pub(super) fn devices(&mut self) {
        let client = self.session.client.clone();
        self.begin("asking for your devices", async move {
            let devices = list(&client).await?;
            Ok(told(|screen| screen.show_devices(devices)))
        });
    }

    /// In the place of nothing else.
    fn show_devices(&mut self, devices: Devices) {
        if self.model.dialog.is_none() {
            self.model.dialog = Some(Dialog::Devices(devices));
        }
    }

    /// Lets the device in that shows this code.
    pub(super) fn approve(&mut self, code: String, pin: Option<Secret>) {
        let client = self.session.client.clone();
        self.begin("letting the device in", async move {
            match client.approve_link(&code, pin).await {
                Err(err) if err.code() == Some("pin_required") => {
                    Ok(told(|screen| ask(&mut screen.model, Question::CodePin(code))))
                }
                approved => {
                    let notice = format!("device {} is one of yours now", approved?);
                    Ok(told(|screen| screen.model.notice = Some(notice)))
                }
            }
        });
    }

    /// Removes a device, whose number was written to be sure.
    pub(super) fn remove_device(&mut self, device: &Device, written: &str) {
        let number = device.number;
        if written != number.to_string() {
            self.model.notice = Some(format!("its number is {number}"));
            return;
        }
        let client = self.session.client.clone();
        self.begin("removing the device", async move {
            let all = client.devices().await?;
            let found = all.iter().find(|one| one.device.get() == number && !one.current);
            if let Some(found) = found {
                client.remove_device(found).await?;
            }
            let devices = list(&client).await?;
            Ok(told(move |screen| {
                screen.show_devices(devices);
                let notice = format!("device {number} is none of yours any more");
                screen.model.notice = Some(notice);
            }))
        });
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
    pub(super) fn set_pin(&mut self, pin: Secret, password: Secret) {
        let (pin, client) = (Pin::parse(pin), self.session.client.clone());
        self.begin("setting the PIN", async move {
            let is_set = pin.is_some();
            client.set_link_pin(password, pin).await?;
            let devices = list(&client).await?;
            Ok(told(move |screen| {
                screen.show_devices(devices);
                let notice =
                    if is_set { "new devices need the PIN" } else { "there is no PIN any more" };
                screen.model.notice = Some(notice.to_owned());
            }))
        });
    }

    /// Asks what the person is called; what they are called now can be changed.
    pub(super) async fn ask_name(&mut self) -> Result<(), Failure> {
        let profile = self.session.client.own_profile().await?;
        let mut editor = Editor::default();
        editor.insert(profile.name.as_deref().unwrap_or_default());
        self.model.dialog = Some(Dialog::Ask(Question::Name, editor));
        Ok(())
    }

    /// Says what the person is called from now on.
    pub(super) async fn set_name(&mut self, name: String) -> Result<(), Failure> {
        let client = &self.session.client;
        let mut profile = client.own_profile().await?;
        profile.name = Some(name).filter(|name| !name.is_empty());
        client.set_profile(profile).await?;
        self.model.dialog = None;
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
