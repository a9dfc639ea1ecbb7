//! What text may reach a page (RFC 6749 §4.1.2.1 for errors; Unicode TR 36 for names).

/// Longer error texts are cut: nothing we say ourselves is near it.
const LONGEST_ERROR: usize = 500;

/// Longer names are cut, with an ellipsis.
const LONGEST_NAME: usize = 200;

/// The text with the characters of an OAuth error code or description only.
///
/// RFC 6749 §4.1.2.1: %x20-21 / %x23-5B / %x5D-7E. Double quotes become single ones, backslashes
/// slashes, line breaks and tabs blanks, everything else a question mark.
pub fn limited(text: &str) -> String {
    let allowed = |c| match c {
        '\x20'..='\x21' | '\x23'..='\x5b' | '\x5d'..='\x7e' => c,
        '"' => '\'',
        '\\' => '/',
        '\t' | '\n' | '\r' => ' ',
        _ => '?',
    };
    text.chars().take(LONGEST_ERROR).map(allowed).collect()
}

/// A name as it may be shown: without the invisible characters that turn the text around it or hide in
/// it, on one line, and not endless. For display only; what a form carries stays as it is.
pub fn plain(text: &str) -> String {
    let shown = text.chars().filter_map(|c| match c {
        '\t' | '\n' | '\r' => Some(' '),
        // Unicode TR 9 §2: marks, embeddings, overrides and isolates.
        '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => None,
        // Blanks without width, line and paragraph separators, old format controls, tags.
        '\u{200b}' | '\u{2028}' | '\u{2029}' | '\u{2060}'..='\u{2064}' | '\u{206a}'..='\u{206f}' => None,
        '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}' => None,
        c if c.is_control() => None,
        c => Some(c),
    });
    let mut name = String::with_capacity(text.len().min(LONGEST_NAME));
    for (at, c) in shown.enumerate() {
        if at == LONGEST_NAME {
            name.push('…');
            break;
        }
        name.push(c);
    }
    name
}

#[cfg(test)]
mod tests {
    use super::*;

    /// R16
    #[test]
    fn an_error_text_has_the_characters_of_rfc_6749_only() {
        let table = [
            ("redirect_uri is not registered.", "redirect_uri is not registered."),
            ("say \"hi\" \\ there", "say 'hi' / there"),
            ("one\r\ntwo\tthree", "one  two three"),
            ("caf\u{e9} \u{202e}\u{0}", "caf? ??"),
        ];
        for (text, expected) in table {
            assert_eq!(limited(text), expected);
        }
        let all: String = ('\0'..='\u{2ff}').collect();
        assert!(limited(&all).bytes().all(|b| matches!(b, 0x20..=0x21 | 0x23..=0x5b | 0x5d..=0x7e)));
        assert_eq!(limited(&"x".repeat(10_000)).len(), LONGEST_ERROR);
    }

    #[test]
    fn a_name_cannot_turn_the_text_around_it() {
        assert_eq!(plain("Bank\u{202e}gnp.exe\u{2066}\u{200b}\n!"), "Bankgnp.exe !");
        assert_eq!(plain("Ünïcödé العربية 日本語 👩\u{200d}🚀"), "Ünïcödé العربية 日本語 👩\u{200d}🚀");
        assert_eq!(plain(&"n".repeat(5_000)).chars().count(), LONGEST_NAME + 1);
    }
}
