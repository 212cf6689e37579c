//! The session with the homeserver: an access token that is good when it is needed.

use std::sync::Arc;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use posthouse_protocol::{
    rest::{Refresh, Secret},
    time::{Clock, Timestamp},
};
use rand::{Rng as _, rngs::StdRng};
use tokio::sync::Mutex;
use zeroize::Zeroizing;

use crate::{
    Api, ClientError, Connector,
    records::{Tokens, own},
    store::{Batch, Store, Table},
};

/// A token is renewed so long before it expires, in milliseconds.
const MARGIN: u64 = 60_000;

/// The calls of one device.
pub(crate) struct Access {
    pub(crate) api: Api,
    pub(crate) connector: Connector,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) clock: Arc<dyn Clock>,
    /// The session, and what draws its next refresh tokens.
    tokens: Mutex<(Tokens, StdRng)>,
}

impl Access {
    pub(crate) fn new(
        connector: &Connector,
        store: Arc<dyn Store>,
        clock: Arc<dyn Clock>,
        (tokens, rng): (Tokens, StdRng),
    ) -> Self {
        let (api, connector) = (Api::new(connector.clone()), connector.clone());
        Self { api, connector, store, clock, tokens: Mutex::new((tokens, rng)) }
    }

    /// A token that is valid by this device's clock.
    pub(crate) async fn token(&self) -> Result<Secret, ClientError> {
        let mut held = self.tokens.lock().await;
        let (tokens, rng) = &mut *held;
        if self.clock.now().plus_millis(MARGIN) >= tokens.until {
            self.refresh(tokens, rng).await?;
        }
        Ok(tokens.access.clone())
    }

    /// This token was refused: the next one is another.
    pub(crate) async fn refused(&self, token: &Secret) {
        let mut held = self.tokens.lock().await;
        let (tokens, _) = &mut *held;
        if tokens.access == *token {
            tokens.until = Timestamp(0);
        }
    }

    /// Makes a call, with a new token if the server does not take the one that is there.
    pub(crate) async fn call<T, F: Future<Output = Result<T, crate::Error>>>(
        &self,
        call: impl Fn(Api, Secret) -> F,
    ) -> Result<T, ClientError> {
        let token = self.token().await?;
        match call(self.api.clone(), token.clone()).await {
            Err(err) if err.code() == Some("unauthorized") => {
                self.refused(&token).await;
                let token = self.token().await?;
                Ok(call(self.api.clone(), token).await?)
            }
            other => Ok(other?),
        }
    }

    /// The token that is asked for is stored before the question leaves: if the answer is lost,
    /// the same question again is answered in the same way (docs/spec/rest.md §2.3).
    async fn refresh(&self, tokens: &mut Tokens, rng: &mut StdRng) -> Result<(), ClientError> {
        let next = if let Some(next) = &tokens.next {
            next.clone()
        } else {
            let mut bytes = Zeroizing::new([0; 32]);
            rng.fill_bytes(bytes.as_mut());
            let next = Secret(URL_SAFE_NO_PAD.encode(bytes.as_slice()));
            tokens.next = Some(next.clone());
            self.keep(tokens).await?;
            next
        };
        let refresh_token = tokens.refresh.clone();
        let request = Refresh { refresh_token, next_refresh_token: Some(next) };
        let got = self.api.refresh(&request).await.map_err(|err| match err.code() {
            Some("unauthorized") => ClientError::SessionEnded,
            _ => err.into(),
        })?;
        // The token before is used up: nothing is done with the new one before it is stored.
        *tokens = Tokens::new(&got, self.clock.now());
        self.keep(tokens).await
    }

    async fn keep(&self, tokens: &Tokens) -> Result<(), ClientError> {
        let mut batch = Batch::default();
        let stored = crate::store::encode(tokens);
        batch.put(Table::Own, own::TOKENS.to_vec(), stored.to_vec());
        self.store.commit(batch).await?;
        Ok(())
    }
}
