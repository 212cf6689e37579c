//! Who is known and who is not heard: contacts, blocks, and strangers who have written.

use posthouse_protocol::{
    id::{AccountId, Address},
    rest::{
        BlockInfo, Blocks, ContactInfo, Contacts, Named, PutContact, RequestInfo, Requests, Secret,
    },
};

use super::Client;
use crate::{Api, ClientError, Error, machine::Wish};

/// A page of a list of people, and after whom the next one begins.
trait Page {
    type One;
    fn parts(self) -> (Vec<Self::One>, Option<AccountId>);
}

impl Page for Contacts {
    type One = ContactInfo;
    fn parts(self) -> (Vec<ContactInfo>, Option<AccountId>) {
        (self.contacts, self.next)
    }
}

impl Page for Blocks {
    type One = BlockInfo;
    fn parts(self) -> (Vec<BlockInfo>, Option<AccountId>) {
        (self.blocks, self.next)
    }
}

impl Page for Requests {
    type One = RequestInfo;
    fn parts(self) -> (Vec<RequestInfo>, Option<AccountId>) {
        (self.requests, self.next)
    }
}

impl Client {
    /// The contacts, at most 5,000, in the order of their ids.
    ///
    /// # Errors
    /// [`ClientError::Transport`].
    pub async fn contacts(&self) -> Result<Vec<ContactInfo>, ClientError> {
        let ask = |api: Api, token, after: Option<AccountId>| async move {
            api.contacts(&token, after.as_ref()).await
        };
        self.pages(ask).await
    }

    /// Adds a contact. Two who have each other as contacts see each other's presence.
    ///
    /// # Errors
    /// [`ClientError::Transport`].
    pub async fn add_contact(&self, user: &AccountId) -> Result<(), ClientError> {
        let request = &PutContact { user: user.to_string(), label: None };
        self.access.call(|api, token| async move { api.put_contact(&token, request).await }).await
    }

    /// Removes a contact.
    ///
    /// # Errors
    /// [`ClientError::Transport`], with the code `not_found` if it is none.
    pub async fn remove_contact(&self, user: &AccountId) -> Result<(), ClientError> {
        let user = &Address::Account(user.clone());
        self.access.call(|api, token| async move { api.remove_contact(&token, user).await }).await
    }

    /// Those who are blocked, at most 5,000, in the order of their ids.
    ///
    /// # Errors
    /// [`ClientError::Transport`].
    pub async fn blocks(&self) -> Result<Vec<BlockInfo>, ClientError> {
        let ask = |api: Api, token, after: Option<AccountId>| async move {
            api.blocks(&token, after.as_ref()).await
        };
        self.pages(ask).await
    }

    /// Blocks somebody, who cannot tell: what they write is not delivered, and neither side is told
    /// of the other's presence and typing. What is written to them fails. The own profile gets
    /// another key: what it says from now on they cannot read.
    ///
    /// # Errors
    /// [`ClientError::Transport`].
    pub async fn block(&self, user: &AccountId) -> Result<(), ClientError> {
        let request = &Named { user: user.to_string() };
        // First, so that a program that ends in between has not blocked them half.
        self.wish(Wish::Blocked(user.clone())).await?;
        let block = self.access.call(|api, token| async move { api.block(&token, request).await });
        let blocked = block.await;
        if blocked.is_err() {
            self.wish(Wish::Unblocked(user.clone())).await?;
        }
        blocked
    }

    /// Hears somebody again. What they wrote meanwhile does not come back.
    ///
    /// # Errors
    /// [`ClientError::Transport`], with the code `not_found` if they were not blocked.
    pub async fn unblock(&self, user: &AccountId) -> Result<(), ClientError> {
        let named = &Address::Account(user.clone());
        self.access.call(|api, token| async move { api.unblock(&token, named).await }).await?;
        self.wish(Wish::Unblocked(user.clone())).await
    }

    /// Strangers who have written first and are not answered yet. What they wrote is delivered like
    /// anything else; an application shows it apart. Writing back accepts, too.
    ///
    /// # Errors
    /// [`ClientError::Transport`].
    pub async fn requests(&self) -> Result<Vec<RequestInfo>, ClientError> {
        let ask = |api: Api, token, after: Option<AccountId>| async move {
            api.requests(&token, after.as_ref()).await
        };
        self.pages(ask).await
    }

    /// Hears who asked, and gives them the key of the own profile.
    ///
    /// # Errors
    /// [`ClientError::Transport`], with the code `not_found` if they do not ask.
    pub async fn accept_request(&self, user: &AccountId) -> Result<(), ClientError> {
        let named = &Named { user: user.to_string() };
        self.access
            .call(|api, token| async move { api.accept_request(&token, named).await })
            .await?;
        self.wish(Wish::Share(user.clone())).await
    }

    /// Does not hear who asked, for 30 days. They cannot tell.
    ///
    /// # Errors
    /// [`ClientError::Transport`], with the code `not_found` if they do not ask.
    pub async fn decline_request(&self, user: &AccountId) -> Result<(), ClientError> {
        let named = &Named { user: user.to_string() };
        self.access.call(|api, token| async move { api.decline_request(&token, named).await }).await
    }

    /// All pages of a list.
    async fn pages<P: Page, F: Future<Output = Result<P, Error>>>(
        &self,
        ask: impl Fn(Api, Secret, Option<AccountId>) -> F,
    ) -> Result<Vec<P::One>, ClientError> {
        let (mut all, mut after) = (Vec::new(), None);
        loop {
            let page = self.access.call(|api, token| ask(api, token, after.clone())).await?;
            let (people, next) = page.parts();
            all.extend(people);
            // Pages go up: one that does not would be asked for for ever.
            if next.is_none() || next <= after {
                return Ok(all);
            }
            after = next;
        }
    }
}
