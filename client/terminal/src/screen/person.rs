//! What the person of the open conversation is to this account: a contact, blocked, or neither.

use posthouse_client::Client;
use posthouse_protocol::id::AccountId;

use super::{
    Screen,
    dialog::{Dialog, Relation},
    keys::Action,
    work::told,
};
use crate::{failure::Failure, talk::Talk};

async fn relation(client: &Client, user: &AccountId) -> Result<Relation, Failure> {
    let (contacts, blocks) = (client.contacts().await?, client.blocks().await?);
    Ok(Relation {
        contact: contacts.iter().any(|one| one.account_id == *user),
        blocked: blocks.iter().any(|one| one.account_id == *user),
    })
}

impl Screen {
    /// Asks what the person is, and shows it.
    pub(super) fn person(&mut self) {
        let Some(user) = self.open_person() else { return };
        let client = self.session.client.clone();
        self.begin("looking at your contacts", async move {
            // Who it is, as they say today; a region that is away changes nothing.
            let _ = client.refresh_profile(&user).await;
            let relation = relation(&client, &user).await?;
            Ok(told(move |screen| screen.show_person(&user, relation)))
        });
    }

    /// Changes what the person is.
    pub(super) fn set_person(&mut self, action: Action) {
        let Some(user) = self.open_person() else { return };
        let client = self.session.client.clone();
        self.begin("changing it", async move {
            let notice = match action {
                Action::SetContact(true) => {
                    client.add_contact(&user).await?;
                    "a contact: you see each other come and go if they have you, too"
                }
                Action::SetContact(false) => {
                    client.remove_contact(&user).await?;
                    "no contact any more"
                }
                Action::SetBlocked(true) => {
                    client.block(&user).await?;
                    "blocked"
                }
                _ => {
                    client.unblock(&user).await?;
                    "heard from now on"
                }
            };
            let relation = relation(&client, &user).await?;
            Ok(told(move |screen| {
                let name = screen.model.names.title(&user);
                screen.model.notice = Some(format!("{name}: {notice}"));
                screen.show_person(&user, relation);
            }))
        });
    }

    fn open_person(&self) -> Option<AccountId> {
        self.model.open.as_ref().and_then(Talk::person).cloned()
    }

    /// In the place of nothing else, and only if their conversation is still open.
    fn show_person(&mut self, user: &AccountId, relation: Relation) {
        let is_free = matches!(self.model.dialog, None | Some(Dialog::Person(_)));
        if is_free && self.open_person().as_ref() == Some(user) {
            self.model.dialog = Some(Dialog::Person(relation));
        }
    }
}
