//! `safety`: the number that two people compare, and what is done about a changed key.

use posthouse_client::{ClientError, KeyTrust};
use posthouse_protocol::id::AccountId;
use serde_json::json;

use crate::{
    failure::{Exit, Failure},
    output::Output,
    qr,
    session::Session,
};

/// What to do besides showing the number.
#[derive(Debug, Clone, Copy)]
pub(super) struct Act {
    pub(super) verify: bool,
    pub(super) accept: bool,
}

pub(super) async fn safety(
    mut session: Session,
    with: &str,
    act: Act,
    output: Output,
) -> Result<(), Failure> {
    let user = session.find(with).await?;
    let shown = show(&mut session, &user, act, output).await;
    session.close().await;
    shown
}

async fn show(
    session: &mut Session,
    user: &AccountId,
    act: Act,
    output: Output,
) -> Result<(), Failure> {
    let before = session.client.key_trust(user).await?;
    match (before, act) {
        (KeyTrust::Unknown, _) => return Err(ClientError::UnknownKeys.into()),
        (KeyTrust::Changed, Act { verify: true, .. }) => {
            return Err(Failure::new(
                Exit::KeyChanged,
                "The key has changed and is not accepted yet.",
                "Compare the number with them, go on with --accept, then repeat --verify.",
            ));
        }
        (KeyTrust::Changed, Act { accept: true, .. }) => session.client.accept_key(user).await?,
        (_, Act { accept: true, .. }) => output.remark("The key has not changed."),
        (_, Act { verify: true, .. }) => session.client.mark_verified(user).await?,
        _ => {}
    }
    let number = session.client.safety_number(user).await?;
    let digits = number.digits();
    let state = match session.client.key_trust(user).await? {
        KeyTrust::Changed => "changed",
        KeyTrust::Verified => "verified",
        _ => "unverified",
    };
    let name = session.names.of(user);
    if let Some(lines) = qr::lines(&number.scannable()) {
        output.remark(lines.join("\n"));
    }
    let object = json!({
        "event": "safety", "user": user, "name": name, "digits": digits, "state": state,
    });
    let says = match state {
        "changed" => {
            format!(
                "The key of {name} has CHANGED: compare this number with them before you go on."
            )
        }
        "verified" => format!("You have compared this number with {name}, and it was the same."),
        _ => format!(
            "{name} sees the same number if nobody reads along. Compare it when you meet or call, not by \
             messages.\nIf it is the same: `posthouse-chat safety {name} --verify`"
        ),
    };
    output.print(&object, format!("{}\n{says}", grouped(&digits)));
    match state {
        "changed" => Err(Failure::new(
            Exit::KeyChanged,
            format!("{name} has another identity key than before."),
            format!(
                "They set their account up anew, or somebody reads along. If the number is the same on \
                 both sides, `posthouse-chat safety {name} --accept` goes on with the new key; nothing \
                 goes there until then."
            ),
        )),
        _ => Ok(()),
    }
}

/// Twelve groups of five digits, four a line.
pub(crate) fn grouped(digits: &str) -> String {
    let mut text = String::with_capacity(digits.len() + 12);
    for (place, digit) in digits.chars().enumerate() {
        match place {
            0 => {}
            _ if place % 20 == 0 => text.push('\n'),
            _ if place % 5 == 0 => text.push(' '),
            _ => {}
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::grouped;

    #[test]
    fn digits_stand_in_groups_of_five() {
        let digits = "12345".repeat(12);
        let line = "12345 12345 12345 12345";
        assert_eq!(grouped(&digits), [line; 3].join("\n"));
    }
}
