//! Registers, sends and receives: `hello <homeserver> <file> <name> [<whom to greet>]`.
//!
//! Start the one who waits first: `… hello http://127.0.0.1:8008 bob.db bob`, then
//! `… hello http://127.0.0.1:8008 alice.db alice bob`. The file keeps the device.

use std::io::Write;

use posthouse_client::{Connector, Endpoint, Home, NewAccount, SqliteStore, Trust, Update};

type Failure = Box<dyn std::error::Error + Send + Sync>;

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    hello(&words, |line| drop(writeln!(std::io::stdout(), "{line}"))).await
}

/// The whole program: what it is told goes to `show`.
pub async fn hello(words: &[&str], show: impl Fn(String)) -> Result<(), Failure> {
    let [home, file, name, greeted @ ..] = words else { return Err("who, and where?".into()) };
    let home = Home::new(Connector::new(Endpoint::parse(home)?, Trust::System)?)?;
    let account = NewAccount::new(name, "correct horse battery staple");
    let store = SqliteStore::open(file).await?;
    let (client, mut updates) = home.open_or_register(store, &account).await?;
    show(format!("{name} is {}", client.account()));
    if let Some(whom) = greeted.first() {
        client.send_text(&client.find(whom).await?, "Hello!").await?;
    }
    while let Some(update) = updates.next().await {
        let Update::Message(message) = update else { continue };
        if message.from == *client.account() {
            continue;
        }
        show(format!("{name} is told: {}", message.said.text().unwrap_or("something else")));
        if !greeted.is_empty() {
            break;
        }
        client.send_text(&message.from, "Hello to you!").await?;
    }
    Ok(())
}
