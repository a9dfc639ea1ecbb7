//! RFC 7662 — many tokens at once: their answers are written one after another as they are found, and the
//! answers about tokens that turn out to be revoked are replaced at the end.

use std::sync::Arc;

use smallvec::SmallVec;

use crate::{
    model::{Client, ClientKey},
    protocol::introspect::INACTIVE,
    store::Revocable,
};

/// Bytes reserved for an answer; hardly any is longer.
pub(super) const ANSWER: usize = 384;

/// The answer about many tokens, while it is written: `{"results":[…]}`.
pub(super) struct Batch {
    body: Vec<u8>,
    /// Where each answer begins, and whether it holds only if the token was not revoked.
    answers: Vec<(usize, bool)>,
    asked: Vec<Revocable>,
}

const BEGIN: &[u8] = b"{\"results\":[";
const END: &[u8] = b"]}";

impl Batch {
    /// For so many tokens.
    pub(super) fn of(tokens: usize) -> Self {
        let mut body = Vec::with_capacity(BEGIN.len() + END.len() + tokens * ANSWER);
        body.extend_from_slice(BEGIN);
        Self { body, answers: Vec::with_capacity(tokens), asked: Vec::with_capacity(tokens) }
    }

    /// The next token is valid, unless it was revoked.
    pub(super) fn add(&mut self, what: Revocable, write: impl FnOnce(&mut Vec<u8>)) {
        self.next(true);
        self.asked.push(what);
        write(&mut self.body);
    }

    /// The next token is not valid.
    pub(super) fn add_inactive(&mut self) {
        self.next(false);
        self.body.extend_from_slice(INACTIVE);
    }

    fn next(&mut self, valid: bool) {
        if !self.answers.is_empty() {
            self.body.push(b',');
        }
        self.answers.push((self.body.len(), valid));
    }

    /// What the revocation index must be asked about, in order.
    pub(super) fn asked(&self) -> &[Revocable] {
        &self.asked
    }

    /// The answer, and how many of the tokens are active. `revoked` says it of each that was asked about.
    pub(super) fn finish(mut self, revoked: &[bool]) -> (Vec<u8>, usize) {
        let active = self.asked.len() - revoked.iter().filter(|revoked| **revoked).count();
        if active < self.asked.len() {
            self.body = self.replaced(revoked);
        }
        self.body.extend_from_slice(END);
        (self.body, active)
    }

    /// What was written, with the answers about revoked tokens replaced.
    fn replaced(&self, revoked: &[bool]) -> Vec<u8> {
        let mut body = Vec::with_capacity(self.body.len() + END.len());
        let mut revoked = revoked.iter();
        let ends = self.answers.iter().skip(1).map(|(start, _)| start - 1).chain([self.body.len()]);
        body.extend_from_slice(BEGIN);
        for ((start, valid), end) in self.answers.iter().zip(ends) {
            if body.len() > BEGIN.len() {
                body.push(b',');
            }
            let revoked = *valid && *revoked.next().expect("the index answers about each");
            body.extend_from_slice(if revoked { INACTIVE } else { &self.body[*start..end] });
        }
        body
    }
}

/// What was looked up for the tokens of a batch. They are of few clients and for few resources.
#[derive(Default)]
pub(super) struct Seen {
    clients: SmallVec<[(ClientKey, Option<Arc<Client>>); 2]>,
    owners: SmallVec<[(String, Option<ClientKey>); 1]>,
}

impl Seen {
    /// A client, if it was looked up; the inner `None` says that there is no such client.
    pub(super) fn client(&self, key: ClientKey) -> Option<Option<&Client>> {
        self.clients.iter().find(|(seen, _)| *seen == key).map(|(_, client)| client.as_deref())
    }

    pub(super) fn add_client(&mut self, key: ClientKey, client: Option<Arc<Client>>) -> Option<&Client> {
        self.clients.push((key, client));
        self.clients.last().and_then(|(_, client)| client.as_deref())
    }

    /// The owner of a resource, if that was looked up.
    pub(super) fn owner(&self, uri: &str) -> Option<Option<ClientKey>> {
        self.owners.iter().find(|(seen, _)| seen == uri).map(|(_, owner)| *owner)
    }

    pub(super) fn add_owner(&mut self, uri: &str, owner: Option<ClientKey>) -> Option<ClientKey> {
        self.owners.push((uri.to_owned(), owner));
        owner
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn batch(tokens: &[Option<&str>]) -> Batch {
        let mut batch = Batch::of(tokens.len());
        for token in tokens {
            let what = Revocable { token: None, family: None, client: Default::default(), user: None };
            match token {
                Some(answer) => batch.add(what, |out| out.extend_from_slice(answer.as_bytes())),
                None => batch.add_inactive(),
            }
        }
        batch
    }

    fn finished(tokens: &[Option<&str>], revoked: &[bool]) -> (String, usize) {
        let (body, active) = batch(tokens).finish(revoked);
        (String::from_utf8(body).expect("UTF-8"), active)
    }

    #[test]
    fn answers_stand_in_the_order_of_their_tokens() {
        assert_eq!(finished(&[], &[]), (r#"{"results":[]}"#.to_owned(), 0));
        let expected = r#"{"results":[{"a":1},{"active":false},{"b":2}]}"#;
        assert_eq!(
            finished(&[Some(r#"{"a":1}"#), None, Some(r#"{"b":2}"#)], &[false, false]),
            (expected.into(), 2)
        );
    }

    /// R41
    #[test]
    fn the_answers_about_revoked_tokens_are_replaced() {
        let tokens = [Some("1"), Some("22"), None, Some("333")];
        for (revoked, expected) in [
            ([true, false, false], "F,22,F,333"),
            ([false, true, false], "1,F,F,333"),
            ([false, false, true], "1,22,F,F"),
            ([true, true, true], "F,F,F,F"),
        ] {
            let expected = format!("{{\"results\":[{}]}}", expected.replace('F', r#"{"active":false}"#));
            let active = revoked.iter().filter(|revoked| !**revoked).count();
            assert_eq!(finished(&tokens, &revoked), (expected, active));
        }
    }
}
