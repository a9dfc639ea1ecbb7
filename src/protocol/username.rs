//! NIST SP 800-63B-4 §3.1.1.2 and RFC 8265 — user names, as they are compared.

use unicode_normalization::UnicodeNormalization;

/// The longest user name, in characters.
pub const MAX_USERNAME: usize = 128;

/// The form a name is stored and looked up in: NFKC, lower case. `None` if it cannot be a name.
///
/// Two people whose names look alike to a reader are one name here; that is what NFKC is for.
pub fn normalise(name: &str) -> Option<String> {
    // Bounded before it is expanded: one character of input can become 18.
    if name.len() > MAX_USERNAME * 4 {
        return None;
    }
    // Lower-casing can undo NFKC (for example U+0130), so it is applied between two rounds.
    let name: String = name.nfkc().flat_map(char::to_lowercase).nfkc().collect();
    let length = name.chars().count();
    let plain = |c: char| !c.is_control() && !c.is_whitespace() && !is_invisible(c);
    ((1..=MAX_USERNAME).contains(&length) && name.chars().all(plain)).then_some(name)
}

/// Characters that do not show, or turn the direction of what follows: names must look like what
/// they are.
fn is_invisible(c: char) -> bool {
    matches!(c, '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e0fff}')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn spellings_of_one_name_are_one_name() {
        for name in ["alice", "Alice", "ALICE", "ａｌｉｃｅ", "𝐀lice"] {
            assert_eq!(normalise(name).as_deref(), Some("alice"), "{name}");
        }
        assert_eq!(normalise("Zoë"), normalise("Zoe\u{308}"));
        assert_eq!(normalise("alice@example.com").as_deref(), Some("alice@example.com"));
    }

    #[test]
    fn what_cannot_be_a_name_is_none() {
        for name in ["", " ", "a b", "a\n", "a\0", "\u{200b}alice", "al\u{202e}ice", "\u{a0}"] {
            assert_eq!(normalise(name), None, "{name:?}");
        }
        assert_eq!(normalise(&"a".repeat(129)), None);
        assert!(normalise(&"a".repeat(128)).is_some());
        assert_eq!(normalise(&"\u{fdfa}".repeat(128)), None);
    }

    proptest! {
        #[test]
        fn normalising_twice_changes_nothing(name in "\\PC{0,40}") {
            if let Some(once) = normalise(&name) {
                prop_assert_eq!(normalise(&once), Some(once.clone()));
            }
        }
    }
}
