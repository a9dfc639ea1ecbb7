//! Scopes: small ordered sets of scope tokens.

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

/// A set of scope tokens (RFC 6749 §3.3), kept in the order given, without duplicates.
///
/// Held as the text it is written as, since it is copied and written far more often than it is changed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Scopes(String);

impl Scopes {
    /// Parses a space-delimited list; `None` if a token has a character outside RFC 6749 §3.3.
    pub fn parse(text: &str) -> Option<Self> {
        // RFC 6749 §3.3: scope-token = 1*( %x21 / %x23-5B / %x5D-7E )
        text.bytes().all(|b| matches!(b, 0x20 | 0x21 | 0x23..=0x5b | 0x5d..=0x7e)).then_some(())?;
        let mut scopes = Self(String::with_capacity(text.len()));
        text.split(' ').for_each(|token| scopes.insert(token));
        Some(scopes)
    }

    /// Adds a token unless it is there already.
    pub fn insert(&mut self, token: &str) {
        debug_assert!(!token.contains(' '), "more than one token");
        if token.is_empty() || self.contains(token) {
            return;
        }
        if !self.0.is_empty() {
            self.0.push(' ');
        }
        self.0.push_str(token);
    }

    /// Takes every token out.
    pub fn clear(&mut self) {
        self.0.clear();
    }

    /// Whether the token is in the set.
    pub fn contains(&self, token: &str) -> bool {
        self.iter().any(|held| held == token)
    }

    /// Whether every token of `self` is in `other`.
    pub fn is_subset_of(&self, other: &Self) -> bool {
        self.iter().all(|token| other.contains(token))
    }

    /// The tokens of `self`, then those of `other` that were not there.
    #[must_use]
    pub fn union(&self, other: &Self) -> Self {
        let mut all = self.clone();
        other.iter().for_each(|token| all.insert(token));
        all
    }

    /// The set without one token.
    #[must_use]
    pub fn without(&self, token: &str) -> Self {
        self.iter().filter(|held| *held != token).collect()
    }

    /// The tokens in order.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        let mut rest = self.0.as_str();
        std::iter::from_fn(move || {
            // They are so short that a look at each byte takes less than a search made for long texts.
            let end = rest.bytes().position(|byte| byte == b' ').unwrap_or(rest.len());
            let (token, after) = rest.split_at(end);
            rest = after.get(1..).unwrap_or_default();
            (!token.is_empty()).then_some(token)
        })
    }

    /// Whether there is no token.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The number of tokens.
    pub fn len(&self) -> usize {
        self.iter().count()
    }

    /// The space-delimited list.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Display for Scopes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl<'a> FromIterator<&'a str> for Scopes {
    fn from_iter<I: IntoIterator<Item = &'a str>>(tokens: I) -> Self {
        let mut scopes = Self::default();
        tokens.into_iter().for_each(|token| scopes.insert(token));
        scopes
    }
}

/// As a list of tokens.
impl Serialize for Scopes {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.iter())
    }
}

impl<'de> Deserialize<'de> for Scopes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let tokens = Vec::<std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
        if tokens.iter().any(|token| token.contains(' ')) {
            return Err(D::Error::custom("a scope token has a space"));
        }
        Ok(tokens.iter().map(|token| &**token).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scopes_keep_their_order_and_lose_their_duplicates() {
        for (text, expected) in
            [("b a  b", &["b", "a"][..]), ("  ", &[]), ("", &[]), (" long a", &["long", "a"])]
        {
            let scopes = Scopes::parse(text).expect("good scopes");
            assert_eq!(
                (scopes.iter().collect::<Vec<_>>(), scopes.as_str()),
                (expected.to_vec(), &*expected.join(" "))
            );
            assert!(expected.iter().all(|token| scopes.contains(token)) && !scopes.contains("lon"));
        }
    }

    #[test]
    fn scopes_are_a_list_in_json_and_a_text_elsewhere() {
        let scopes = Scopes::parse("read write").expect("good scopes");
        assert_eq!(serde_json::to_value(&scopes).expect("JSON"), serde_json::json!(["read", "write"]));
        let from = |json: &str| serde_json::from_str::<Scopes>(json).ok();
        assert_eq!(from(r#"["read","write"]"#), Some(scopes.clone()));
        assert_eq!((from(r#"["read write"]"#), scopes.len(), scopes.as_str()), (None, 2, "read write"));
        assert_eq!(scopes.without("read").as_str(), "write");
    }

    #[test]
    fn characters_outside_the_grammar_are_refused() {
        for text in ["a\"b", "a\\b", "a\tb", "ä"] {
            assert_eq!(Scopes::parse(text), None, "{text}");
        }
    }
}
