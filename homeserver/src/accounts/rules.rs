//! What may be a password, and what may be a handle besides its form.

use posthouse_protocol::{
    id::HandleName,
    limits,
    problem::{Code, Rejection},
    rest::Secret,
};
use zeroize::Zeroizing;

/// The commonest passwords of ten bytes and more, lowercase: what guessers try first. Shorter ones
/// are refused by their length. One a line.
const COMMON: &str = include_str!("common_passwords.txt");

/// Handles that people would take for the operator's or for part of the system: the mailbox names of
/// RFC 2142, and what strangers call those who run a service.
const RESERVED: &[&str] = &[
    "abuse",
    "account",
    "accounts",
    "admin",
    "administrator",
    "admins",
    "all",
    "anonymous",
    "api",
    "billing",
    "bot",
    "compliance",
    "contact",
    "everyone",
    "ftp",
    "group",
    "groups",
    "help",
    "helpdesk",
    "here",
    "hostmaster",
    "info",
    "legal",
    "mail",
    "mailer-daemon",
    "marketing",
    "me",
    "moderation",
    "moderator",
    "moderators",
    "news",
    "no-reply",
    "nobody",
    "noc",
    "noreply",
    "null",
    "official",
    "operator",
    "operators",
    "owner",
    "posthouse",
    "postmaster",
    "press",
    "privacy",
    "root",
    "sales",
    "security",
    "server",
    "service",
    "staff",
    "status",
    "support",
    "sysadmin",
    "system",
    "team",
    "undefined",
    "usenet",
    "user",
    "users",
    "uucp",
    "webmaster",
    "www",
];

/// Whether `password` may be one.
///
/// # Errors
/// [`Code::BadRequest`] for its length, [`Code::WeakPassword`] for one that is tried first: a common
/// one, one character repeated, or the handle with little around it.
pub(super) fn check_password(password: &Secret, handle: &HandleName) -> Result<(), Rejection> {
    let (least, most) = (limits::MIN_PASSWORD, limits::MAX_PASSWORD);
    if !(least..=most).contains(&password.0.len()) {
        let detail = format!("a password has {least} to {most} bytes");
        return Err(Rejection::new(Code::BadRequest, detail));
    }
    let lowercase = Zeroizing::new(password.0.to_lowercase());
    let mut characters = lowercase.chars();
    let first = characters.next();
    let repeated = characters.all(|character| Some(character) == first);
    let around = lowercase.find(handle.as_str()).map(|_| lowercase.len() - handle.as_str().len());
    let is_handle = handle.as_str().len() >= 4 && around.is_some_and(|around| around <= 6);
    if repeated || is_handle || COMMON.lines().any(|common| common == lowercase.as_str()) {
        let detail = "everybody tries this password first; choose another";
        return Err(Rejection::new(Code::WeakPassword, detail));
    }
    Ok(())
}

/// Whether `handle` may be registered.
///
/// # Errors
/// [`Code::HandleTaken`] for a reserved one, also with dots, hyphens and underscores put in.
pub(super) fn check_handle(handle: &HandleName) -> Result<(), Rejection> {
    let bare = |name: &str| name.replace(['.', '-', '_'], "");
    let wanted = bare(handle.as_str());
    if RESERVED.iter().any(|name| bare(name) == wanted) {
        return Err(Rejection::new(Code::HandleTaken, "the handle is reserved"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn password(text: &str) -> Option<Code> {
        let handle = HandleName::parse("alice").unwrap();
        check_password(&Secret(text.into()), &handle).err().map(|rejection| rejection.code)
    }

    #[test]
    fn passwords_are_long_and_not_everybodys() {
        for good in ["correct horse", "alice in wonderland", "日本語のパス", &"ab".repeat(64)]
        {
            assert_eq!(password(good), None, "{good}");
        }
        for bad in ["", "short", "123456789", &"ab".repeat(65)] {
            assert_eq!(password(bad), Some(Code::BadRequest), "{bad}");
        }
        for weak in ["Password123", "qwertyuiop", "xxxxxxxxxxxx", "alice12345", "12ALICE2024"] {
            assert_eq!(password(weak), Some(Code::WeakPassword), "{weak}");
        }
    }

    #[test]
    fn the_list_holds_what_could_pass_otherwise() {
        for common in COMMON.lines() {
            assert!(common.len() <= limits::MAX_PASSWORD, "{common}");
            assert_eq!(common, common.to_lowercase());
        }
    }

    #[test]
    fn names_of_offices_are_reserved() {
        let refused = |name: &str| check_handle(&HandleName::parse(name).unwrap()).is_err();
        for name in ["admin", "postmaster", "support", "ad-min", "noreply", "s.u.p.p.o.r.t"] {
            assert!(refused(name), "{name}");
        }
        for name in ["ada", "adminton", "supporter", "7", "user1", "allan", "x"] {
            assert!(!refused(name), "{name}");
        }
    }
}
