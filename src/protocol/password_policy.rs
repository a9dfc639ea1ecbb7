//! NIST SP 800-63B-4 §3.1.1.2 — what may be a password, and the form it is hashed in.

use std::{collections::HashSet, sync::LazyLock};

use unicode_normalization::UnicodeNormalization;
use zeroize::Zeroizing;

use crate::model::Secret;

/// The most code points of a password.
pub const MAX_CODE_POINTS: usize = 128;
/// The most bytes of a password as it is typed.
pub const MAX_BYTES: usize = 512;

/// Common and breached passwords; the file's header names its source and licence.
static COMMON: LazyLock<HashSet<&'static str>> = LazyLock::new(|| {
    include_str!("common_passwords.txt").lines().skip_while(|line| line.starts_with('#')).collect()
});

/// Runs of keys and characters that people take for passwords, forwards and backwards.
const RUNS: [&str; 6] = [
    "abcdefghijklmnopqrstuvwxyz",
    "01234567890",
    "qwertyuiop",
    "asdfghjkl",
    "zxcvbnm",
    "qazwsxedcrfvtgbyhnujmikolp",
];

/// Why a new password was refused; its text says what to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PasswordFault {
    /// Fewer characters than the policy asks for.
    #[error(
        "The password is too short: use at least {0} characters. Several words are easier to remember than signs."
    )]
    TooShort(usize),
    /// More than can be accepted.
    #[error("The password is too long: at most 128 characters and 512 bytes.")]
    TooLong,
    /// It, or what it is made of, is on the list of common passwords.
    #[error("The password is one of the first that attackers try. Choose another.")]
    Common,
    /// One thing repeated, or keys and letters in their order.
    #[error("The password is only a repetition or a sequence. Choose another.")]
    Pattern,
    /// The user's name or the service's name and little else.
    #[error("The password is made of the user name or the name of this service. Choose another.")]
    Context,
}

/// The form a password is hashed in: NFKC, nothing cut off. `TooLong` is found before any work.
pub fn normalise(password: &str) -> Result<Secret<String>, PasswordFault> {
    // R51: the bound is on what was typed, so that it costs nothing to refuse.
    if password.len() > MAX_BYTES || password.chars().count() > MAX_CODE_POINTS {
        return Err(PasswordFault::TooLong);
    }
    // The room is taken at once: growing would leave pieces of the password behind.
    let mut normal = String::with_capacity(password.len() * 12);
    normal.extend(password.nfkc());
    Ok(Secret::new(normal))
}

/// Checks a new password and gives it in the form it is hashed in. `context` are words that
/// belong to the user or the service: the user name, the issuer's host.
pub fn check(password: &str, min_length: usize, context: &[&str]) -> Result<Secret<String>, PasswordFault> {
    let normal = normalise(password)?;
    if normal.expose().chars().count() < min_length {
        return Err(PasswordFault::TooShort(min_length));
    }
    let lower = Zeroizing::new(normal.expose().to_lowercase());
    if is_pattern(&lower) {
        return Err(PasswordFault::Pattern);
    }
    if is_context(&lower, context) {
        return Err(PasswordFault::Context);
    }
    if is_common(&lower) {
        return Err(PasswordFault::Common);
    }
    Ok(normal)
}

/// One unit repeated, fewer than four different characters, or nothing but runs of keys.
fn is_pattern(password: &str) -> bool {
    let chars = Zeroizing::new(password.chars().collect::<Vec<_>>());
    let repeated =
        (1..=chars.len() / 2).any(|unit| chars.iter().zip(chars.iter().skip(unit)).all(|(a, b)| a == b));
    let distinct = chars.iter().collect::<HashSet<_>>().len();
    repeated || distinct < 4 || only_runs(password)
}

/// Whether the whole is made of runs of at least three characters.
fn only_runs(password: &str) -> bool {
    let mut rest = password;
    while !rest.is_empty() {
        let run = (3..=rest.len()).rev().find(|end| rest.get(..*end).is_some_and(is_run));
        let Some(end) = run else { return false };
        rest = &rest[end..];
    }
    true
}

fn is_run(piece: &str) -> bool {
    let backwards = Zeroizing::new(piece.chars().rev().collect::<String>());
    RUNS.iter().any(|run| run.contains(piece) || run.contains(backwards.as_str()))
}

/// On the list: as it is, without what is not a letter or digit, or as two entries in a row.
/// More than two words are a passphrase, which is what we want people to choose.
fn is_common(password: &str) -> bool {
    let letters = Zeroizing::new(password.chars().filter(|c| c.is_alphanumeric()).collect::<String>());
    [password, letters.as_str()].into_iter().any(|text| {
        let two = |at: usize| match (text.get(..at), text.get(at..)) {
            (Some(head), Some(tail)) => COMMON.contains(head) && (COMMON.contains(tail) || only_runs(tail)),
            _ => false,
        };
        COMMON.contains(text) || (1..text.len()).any(two)
    })
}

/// Whether fewer than eight letters and digits remain when the context's words are taken out.
fn is_context(password: &str, context: &[&str]) -> bool {
    let mut rest = Zeroizing::new(password.to_owned());
    let mut found = false;
    let mut words: Vec<String> = context.iter().flat_map(|text| pieces(text)).collect();
    words.push("chancery".into());
    // The longest first, so that a part of a name does not hide the whole.
    words.sort_by_key(|word| std::cmp::Reverse(word.len()));
    for word in words {
        if rest.contains(&word) {
            found = true;
            rest = Zeroizing::new(rest.replace(&word, " "));
        }
    }
    found && rest.chars().filter(|c| c.is_alphanumeric()).count() < 8
}

/// A context text and its parts (`alice.liddell@example.com` → alice, liddell, example), lower case.
fn pieces(text: &str) -> Vec<String> {
    let text: String = text.nfkc().flat_map(char::to_lowercase).collect();
    let parts = text.split(|c: char| !c.is_alphanumeric()).map(str::to_owned);
    parts.chain([text.clone()]).filter(|word| word.chars().count() >= 4).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(password: &str) -> Result<(), PasswordFault> {
        check(password, 15, &["alice.liddell", "id.wonderland.example"]).map(drop)
    }

    /// R51
    #[test]
    fn length_is_bounded_on_both_sides() {
        assert_eq!(verdict("fourteen chars"), Err(PasswordFault::TooShort(15)));
        assert_eq!(verdict("correct horse battery staple"), Ok(()));
        let phrase = |length: usize| {
            "correct horse battery staple ".chars().cycle().take(length).collect::<String>() + "!"
        };
        assert_eq!(verdict(&phrase(127)), Ok(()));
        assert_eq!(verdict(&phrase(128)), Err(PasswordFault::TooLong));
        assert!(normalise(&"\u{1f40e}".repeat(128)).is_ok());
        assert_eq!(normalise(&"\u{1f40e}".repeat(129)).err(), Some(PasswordFault::TooLong));
        assert_eq!(normalise(&"x".repeat(1_000_000)).err(), Some(PasswordFault::TooLong));
    }

    /// R52
    #[test]
    fn unicode_is_normalised_and_nothing_is_cut_or_composed() {
        let hashed = |password: &str| check(password, 15, &[]).unwrap().expose().clone();
        assert_eq!(hashed("pässword für Zoë"), hashed("pa\u{308}ssword fu\u{308}r Zoe\u{308}"));
        assert_eq!(hashed("only small letters here"), "only small letters here");
        assert_eq!(hashed(" spaces count too  ").len(), 19);
    }

    /// R53
    #[test]
    fn common_passwords_and_their_compositions_are_refused() {
        assert!(COMMON.len() >= 3000, "{}", COMMON.len());
        for password in ["password", "iloveyou", "Trustno1", "letmein!"] {
            assert_eq!(check(password, 8, &[]).err(), Some(PasswordFault::Common), "{password}");
        }
        for password in ["passwordiloveyou", "Password12345678", "iloveyou-princess", "1q2w3e4r5tpassword"] {
            assert_eq!(verdict(password), Err(PasswordFault::Common), "{password}");
        }
    }

    /// R53
    #[test]
    fn repetitions_and_sequences_are_refused() {
        for password in [
            "passwordpassword",
            "aaaaaaaaaaaaaaaaa",
            "abcabcabcabcabcab",
            "abcdefghijklmnop",
            "ponmlkjihgfedcba",
            "123456789012345",
            "qwertyuiopasdfghjkl",
            "1231231231231231",
            "aabbaabbabababab",
        ] {
            assert_eq!(verdict(password), Err(PasswordFault::Pattern), "{password}");
        }
    }

    /// R53
    #[test]
    fn the_names_of_the_user_and_the_service_are_refused() {
        for password in ["alice.liddell99", "Wonderland.Alice", "chancery-liddell1", "id.wonderland.example"]
        {
            assert_eq!(verdict(password), Err(PasswordFault::Context), "{password}");
        }
        assert_eq!(verdict("alice likes her white rabbit"), Ok(()));
    }
}
