//! RFC 4648 §5 — base64url without padding, canonical only.

use base64_simd::{AsOut, URL_SAFE_NO_PAD};

/// The number of characters that `bytes` bytes become.
pub const fn encoded_len(bytes: usize) -> usize {
    bytes.div_ceil(3) * 4 - (3 - bytes % 3) % 3
}

/// The number of bytes that `characters` characters become; `None` if no bytes are written so.
pub const fn decoded_len(characters: usize) -> Option<usize> {
    match characters % 4 {
        0 => Some(characters / 4 * 3),
        1 => None,
        rest => Some(characters / 4 * 3 + rest - 1),
    }
}

/// Writes bytes as base64url.
pub fn encode(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode_to_string(bytes)
}

/// Appends bytes as base64url to `out`.
pub fn encode_into(bytes: &[u8], out: &mut String) {
    URL_SAFE_NO_PAD.encode_append(bytes, out);
}

/// Reads base64url; `None` for padding, foreign characters and non-zero trailing bits, so that a value
/// has exactly one text (RFC 4648 §3.5).
pub fn decode(text: &str) -> Option<Vec<u8>> {
    URL_SAFE_NO_PAD.decode_to_vec(text).ok()
}

/// Reads base64url into the front of `out` and returns the length; `None` as for [`decode`], or if it
/// does not fit.
pub fn decode_into(text: &str, out: &mut [u8]) -> Option<usize> {
    let length = decoded_len(text.len())?;
    let decoded = URL_SAFE_NO_PAD.decode(text.as_bytes(), out.get_mut(..length)?.as_out()).ok()?;
    (decoded.len() == length).then_some(length)
}

/// Reads base64url of exactly `N` bytes.
pub fn decode_array<const N: usize>(text: &str) -> Option<[u8; N]> {
    let mut bytes = [0; N];
    (text.len() == encoded_len(N) && decode_into(text, &mut bytes)? == N).then_some(bytes)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn padding_foreign_characters_and_trailing_bits_are_refused() {
        assert_eq!(decode("AQ"), Some(vec![1]));
        for text in ["AQ==", "AQ=", "AR", "A", "A+", "A/", "AQ\n", " AQ", "ÄQ"] {
            assert_eq!(decode(text), None, "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn a_value_survives_its_text_form(bytes: Vec<u8>) {
            let text = encode(&bytes);
            prop_assert_eq!(text.len(), encoded_len(bytes.len()));
            prop_assert_eq!(decode(&text), Some(bytes.clone()));
            let mut out = vec![0; bytes.len()];
            prop_assert_eq!(decode_into(&text, &mut out), Some(bytes.len()));
            prop_assert_eq!(out, bytes);
        }

        #[test]
        fn another_implementation_agrees(bytes: Vec<u8>, text in "[A-Za-z0-9_=+/ -]{0,90}") {
            use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
            prop_assert_eq!(encode(&bytes), URL_SAFE_NO_PAD.encode(&bytes));
            prop_assert_eq!(decode(&text), URL_SAFE_NO_PAD.decode(&text).ok());
            let mut out = [0; 90];
            let length = decode_into(&text, &mut out);
            prop_assert_eq!(length.map(|length| out[..length].to_vec()), decode(&text));
        }

        #[test]
        fn what_decodes_is_the_one_text_of_its_value(text in "[A-Za-z0-9_=+/-]{0,40}") {
            if let Some(bytes) = decode(&text) {
                prop_assert_eq!(encode(&bytes), text);
            }
        }

        #[test]
        fn an_array_is_read_at_its_exact_length_only(text in "[A-Za-z0-9_-]{0,60}") {
            prop_assert_eq!(decode_array::<40>(&text).is_some(), decode(&text).is_some_and(|b| b.len() == 40));
        }
    }
}
