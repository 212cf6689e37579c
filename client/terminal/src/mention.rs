//! `@name` in what is written and in what is shown.

use posthouse_client::{Entry, Text};
use posthouse_protocol::id::AccountId;

use crate::{names::Names, text::harmless};

/// Begins and ends a mention in a text that is to be wrapped: it takes no column.
pub(crate) const MARK: char = '\u{2063}';

/// Somebody who can be mentioned: the account, and the name that means it.
pub(crate) type Nameable = (AccountId, String);

/// Who can be mentioned among these people, by the names that they have here. A name of another
/// region may be written without the region, if it means one of them.
pub(crate) fn nameable<'a>(
    people: impl Iterator<Item = &'a AccountId>,
    names: &Names,
) -> Vec<Nameable> {
    let mut all: Vec<Nameable> = Vec::new();
    for person in people.filter(|person| names.knows(person)) {
        all.push((person.clone(), names.of(person)));
    }
    let short = |name: &str| name.split_once('@').map(|(short, _)| short.to_owned());
    let shorts: Vec<_> = all.iter().filter_map(|(who, n)| Some((who.clone(), short(n)?))).collect();
    for (who, name) in &shorts {
        let is_one = |other: &Nameable| other.1 != *name || other.0 == *who;
        if all.iter().all(is_one) && shorts.iter().all(is_one) {
            all.push((who.clone(), name.clone()));
        }
    }
    all
}

/// What was written, with the people that it names.
pub(crate) fn read(written: &str, people: &[Nameable]) -> Text {
    let (mut text, mut rest, mut before) = (Text::default(), written, None);
    while let Some(at) = rest.find('@') {
        let (plain, from) = rest.split_at(at);
        let is_begin = plain.chars().next_back().or(before).is_none_or(|c| !c.is_alphanumeric());
        text = text.then(plain);
        let named = people.iter().filter(|(_, name)| is_begin && names(from, name));
        let (len, who) = match named.max_by_key(|(_, name)| name.len()) {
            Some((who, name)) => (1 + name.len(), Some(who)),
            None => (1, None),
        };
        let (words, behind) = from.split_at(len);
        text = match who {
            Some(who) => text.mention(words, who),
            None => text.then(words),
        };
        (rest, before) = (behind, words.chars().next_back());
    }
    text.then(rest)
}

/// Whether `@` and this name stand here, and the name ends there.
fn names(from: &str, name: &str) -> bool {
    let Some(behind) = from.get(1..).and_then(|from| {
        let begins = from.get(..name.len()).is_some_and(|one| one.eq_ignore_ascii_case(name));
        begins.then(|| from.get(name.len()..)).flatten()
    }) else {
        return false;
    };
    let mut behind = behind.chars();
    match behind.next() {
        None => true,
        // The end of a sentence, not the middle of another name.
        Some('.') => !behind.next().is_some_and(char::is_alphanumeric),
        Some(next) => !next.is_alphanumeric() && !matches!(next, '_' | '-' | '@'),
    }
}

/// What could be meant by the `@…` that ends here: what is to be written behind it, and whose names
/// begin so. `None` where no name begins.
pub(crate) fn complete(before: &str, people: &[Nameable]) -> Option<(String, Vec<String>)> {
    let (head, begun) = before.rsplit_once('@')?;
    if head.chars().next_back().is_some_and(char::is_alphanumeric)
        || begun.contains(char::is_whitespace)
    {
        return None;
    }
    let begins =
        |name: &str| name.get(..begun.len()).is_some_and(|n| n.eq_ignore_ascii_case(begun));
    let mut found: Vec<&str> =
        people.iter().map(|(_, name)| name.as_str()).filter(|name| begins(name)).collect();
    found.sort_unstable();
    // The short form stands for the long one.
    let found: Vec<&str> = found
        .iter()
        .copied()
        .filter(|n| !found.iter().any(|o| n.starts_with(&format!("{o}@"))))
        .collect();
    let first = *found.first()?;
    let common = found.iter().fold(first.len(), |len, name| {
        let same = first.bytes().zip(name.bytes()).take_while(|(one, other)| one == other).count();
        len.min(same)
    });
    let mut more = first.get(begun.len()..common).unwrap_or_default().to_owned();
    if found.len() == 1 {
        more.push(' ');
    }
    Some((more, found.into_iter().map(str::to_owned).collect()))
}

/// A message's text, harmless, with a [`MARK`] before and behind each mention.
pub(crate) fn marked(entry: &Entry, text: &str) -> String {
    let clean = |piece: &str| harmless(piece).replace(MARK, "");
    let (mut out, mut at) = (String::new(), 0);
    for one in &entry.mentions {
        let (Some(plain), Some(words)) = (text.get(at..one.start), text.get(one.start..one.end))
        else {
            continue;
        };
        out.push_str(&clean(plain));
        out.push(MARK);
        out.push_str(&clean(words));
        out.push(MARK);
        at = one.end;
    }
    out.push_str(&clean(text.get(at..).unwrap_or_default()));
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn people() -> Vec<Nameable> {
        let account = |number: u8| {
            let id = format!("01890a5d-ac96-774b-bcce-b302099a80{number:02}@eu.example");
            AccountId::parse(&id).unwrap()
        };
        let mut names = Names::default();
        let all = [(1, "ben"), (2, "ben.two"), (3, "cleo@south.test")];
        let accounts = all.map(|(number, name)| {
            names.learn(&account(number), name);
            account(number)
        });
        nameable(accounts.iter(), &names)
    }

    #[test]
    fn names_are_found_where_they_begin_and_end() {
        let meant = |written: &str| -> Vec<usize> {
            let (text, people) = (read(written, &people()), people());
            assert_eq!(text.as_str(), written);
            let of = |words: &str, who: &AccountId| Text::default().mention(words, who);
            people
                .iter()
                .enumerate()
                .filter(|(_, (who, name))| {
                    [name.clone(), name.to_uppercase()].iter().any(|name| {
                        let words = format!("@{name}");
                        written == words && text == of(&words, who)
                    })
                })
                .map(|(at, _)| at)
                .collect()
        };
        assert_eq!(meant("@ben"), [0]);
        assert_eq!(meant("@BEN.TWO"), [1]);
        assert_eq!(meant("@cleo@south.test"), [2]);
        assert_eq!(meant("@cleo"), [3]);
        let (ben, _) = &people()[0];
        let wanted = Text::from("so, ").mention("@ben", ben).then(". (").mention("@ben", ben);
        assert_eq!(read("so, @ben. (@ben)", &people()), wanted.then(")"));
        for nobody in ["me@ben", "@benno", "@ben-x", "@ben.three", "@", "@@", "@dana", "@ben@x"] {
            assert_eq!(read(nobody, &people()), Text::from(nobody), "{nobody}");
        }
    }

    #[test]
    fn a_name_is_completed_as_far_as_it_is_clear() {
        let more = |before: &str| complete(before, &people());
        let only = |text: &str, name: &str| Some((text.to_owned(), vec![name.to_owned()]));
        assert_eq!(more("ask @c"), only("leo ", "cleo"));
        assert_eq!(more("ask @CL"), only("eo ", "cleo"));
        let both = vec!["ben".to_owned(), "ben.two".to_owned()];
        assert_eq!(more("@b"), Some(("en".to_owned(), both.clone())));
        assert_eq!(more("@ben"), Some((String::new(), both)));
        assert_eq!(more("@ben."), only("two ", "ben.two"));
        for none in ["ask", "@x", "me@b", "@ben is"] {
            assert_eq!(more(none), None, "{none}");
        }
    }
}
