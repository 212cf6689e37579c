//! `profile`: what the account's person is called.

use std::time::Duration;

use serde_json::json;
use tokio::time::Instant;

use crate::{failure::Failure, output::Output, session::Session, text::line};

/// What is said anew.
#[derive(Debug)]
pub(super) struct Said {
    pub(super) name: Option<String>,
    pub(super) about: Option<String>,
    pub(super) within: Duration,
}

pub(super) async fn run(mut session: Session, said: Said, output: Output) -> Result<(), Failure> {
    let is_new = said.name.is_some() || said.about.is_some();
    let mut profile = session.client.own_profile().await?;
    if is_new {
        profile.name = said.name.or(profile.name);
        profile.about = said.about.or(profile.about);
        session.client.set_profile(profile).await?;
        session.published(Instant::now() + said.within).await?;
        profile = session.client.own_profile().await?;
    }
    let is_published = session.client.is_profile_published().await?;
    let object = json!({
        "event": "profile", "user": session.client.account(), "name": profile.name,
        "about": profile.about, "published": is_published,
    });
    let name = profile.name.as_deref().map_or_else(
        || {
            "You have not said what you are called: `posthouse-chat profile --name NAME`."
                .to_owned()
        },
        |name| format!("You are called {}.", line(name)),
    );
    let about = profile.about.as_deref().map(|about| format!("\n{}", line(about)));
    output.print(&object, format!("{name}{}", about.unwrap_or_default()));
    session.close().await;
    Ok(())
}
