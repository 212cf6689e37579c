//! What may be a password, and what may be a handle besides its form.

use posthouse_protocol::{
    id::HandleName,
    limits,
    problem::{Code, Rejection},
    rest::Secret,
};
use zeroize::Zeroizing;

/// The commonest passwords of ten bytes and more, lowercase: what guessers try first. Shorter ones
/// are refused by their length.
const COMMON: &[&str] = &[
    "0123456789",
    "0987654321",
    "1029384756",
    "1111111111",
    "1122334455",
    "11223344556677",
    "1212121212",
    "123123123123",
    "1231231231",
    "1234512345",
    "123454321",
    "1234567890",
    "12345678900",
    "12345678901",
    "123456789012",
    "1234567890123",
    "12345678910",
    "1234567891",
    "1234567899",
    "123456789a",
    "123456789abc",
    "123456789q",
    "123456abcdef",
    "1234qwerasdf",
    "12qwaszx12qwaszx",
    "1q2w3e4r5t",
    "1q2w3e4r5t6y",
    "1q2w3e4r5t6y7u",
    "1qaz2wsx3edc",
    "1qaz2wsx3edc4rfv",
    "1qazxsw23edc",
    "2222222222",
    "3333333333",
    "5555555555",
    "6666666666",
    "7777777777",
    "8888888888",
    "9876543210",
    "9999999999",
    "0000000000",
    "00000000000",
    "000000000000",
    "a123456789",
    "aa12345678",
    "aaaaaaaaaa",
    "abc1234567",
    "abc123456789",
    "abcabcabcabc",
    "abcd123456",
    "abcd12345678",
    "abcde12345",
    "abcdef123456",
    "abcdefghij",
    "abcdefghijk",
    "abcdefghijkl",
    "administrator",
    "asdf123456",
    "asdfasdfasdf",
    "asdfghjkl1",
    "asdfghjkl123",
    "asdfghjkl;",
    "asdfghjkl;'",
    "asdfghjklz",
    "asdfjkl;asdfjkl;",
    "azertyuiop",
    "basketball",
    "basketball1",
    "blink182blink182",
    "california",
    "changeme123",
    "changemenow",
    "charlie123",
    "chocolate1",
    "computer123",
    "correcthorsebatterystaple",
    "default123",
    "dragon12345",
    "facebook123",
    "football123",
    "footballfootball",
    "helloworld",
    "helloworld1",
    "ihateyou123",
    "iloveyou12",
    "iloveyou123",
    "iloveyou1234",
    "iloveyou2000",
    "iloveyouforever",
    "iloveyousomuch",
    "internet123",
    "letmein123",
    "letmein1234",
    "letmeinnow",
    "liverpool1",
    "liverpool123",
    "manchester",
    "manchesterunited",
    "master12345",
    "michael123",
    "minecraft1",
    "minecraft123",
    "monkey12345",
    "motherfucker",
    "mypassword",
    "mypassword1",
    "naruto12345",
    "newpassword",
    "nopassword",
    "p@ssw0rd12",
    "p@ssw0rd123",
    "p@ssword123",
    "passpasspass",
    "passw0rd12",
    "passw0rd123",
    "password!!",
    "password01",
    "password10",
    "password11",
    "password12",
    "password123",
    "password123!",
    "password1234",
    "password12345",
    "password123456",
    "password99",
    "password@1",
    "password@123",
    "passwordpassword",
    "passwort12",
    "passwort123",
    "pokemon12345",
    "princess12",
    "princess123",
    "q1w2e3r4t5",
    "q1w2e3r4t5y6",
    "qazwsx1234",
    "qazwsxedc1",
    "qazwsxedc123",
    "qazwsxedcrfv",
    "qwaszx1234",
    "qwer123456",
    "qwertasdfg",
    "qwertasdfgzxcvb",
    "qwerty1234",
    "qwerty12345",
    "qwerty123456",
    "qwertyqwerty",
    "qwertyuiop",
    "qwertyuiop1",
    "qwertyuiop123",
    "qwertyuiop[]",
    "qwertyuiopasdfghjkl",
    "qwertyuiopasdfghjklzxcvbnm",
    "qwertzuiop",
    "samsung123",
    "secret12345",
    "skywalker1",
    "starwars123",
    "summer2023",
    "summer2024",
    "summer2025",
    "summer2026",
    "sunshine12",
    "sunshine123",
    "superman12",
    "superman123",
    "testpassword",
    "testtest12",
    "testtest123",
    "testtesttest",
    "thepassword",
    "trustno1trustno1",
    "unbelievable",
    "welcome123",
    "welcome1234",
    "welcome2023",
    "welcome2024",
    "welcome2025",
    "welcome2026",
    "whatever123",
    "winter2023",
    "winter2024",
    "winter2025",
    "winter2026",
    "yourpassword",
    "zaq12wsxcde3",
    "zaq1zaq1zaq1",
    "zxcvbnm123",
    "zxcvbnm1234",
    "zxcvbnmasdfghjkl",
    "zxcvbnmzxcvbnm",
    "zzzzzzzzzz",
];

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
    if repeated || is_handle || COMMON.contains(&lowercase.as_str()) {
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
        for common in COMMON {
            assert!(common.len() <= limits::MAX_PASSWORD, "{common}");
            assert_eq!(*common, common.to_lowercase());
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
