//! Which waiting commits go together: pure, so that it can be tested without a store.

use std::collections::HashMap;

use smallvec::SmallVec;

use crate::{
    model::*,
    store::{Commit, Effect, Spend},
};

/// The entries of the queue that one turn looks at. Rows that everybody waits for would make a long
/// queue costly otherwise.
const LOOK_AHEAD: usize = 1024;

/// How a commit needs a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Need {
    /// It writes the row: nobody else may name it meanwhile.
    Own,
    /// It writes something that belongs to the row.
    Share,
}

/// Stands for all signing keys, which are few and have rules that span them.
const SIGNING_KEYS: Id = Id([0xff; 16]);
/// Stands for all resources, which are named by their URI.
const RESOURCES: Id = Id([0xfe; 16]);

/// The rows a commit names, what it writes itself first.
#[derive(Debug, Default)]
pub(super) struct Named(SmallVec<[(Need, Id); 6]>);

impl Named {
    /// Every row that a commit names.
    pub(super) fn by(commit: &Commit) -> Self {
        let mut named = Self::default();
        match &commit.spend {
            Some(Spend::Code(id)) => named.own(id.0),
            Some(Spend::Refresh { token, .. }) => named.own(token.family.0),
            Some(Spend::Once { id, .. }) => named.own(*id),
            None => {}
        }
        commit.effects.iter().for_each(|effect| named.effect(effect));
        named.0.sort_unstable();
        // Both own and share is own.
        let mut seen: SmallVec<[Id; 6]> = SmallVec::new();
        named.0.retain(|(need, id)| {
            let known = seen.contains(id);
            seen.push(*id);
            *need == Need::Own || !known
        });
        named
    }

    fn effect(&mut self, effect: &Effect) {
        match effect {
            Effect::InsertClient(client) => self.own(client.key.0),
            Effect::UpdateClient { to, .. } => self.own(to.key.0),
            Effect::SetClientEnabled(client, _)
            | Effect::RaiseClientEpoch { client, .. }
            | Effect::DeleteClient(client) => self.own(client.0),
            Effect::InsertResource(_) | Effect::DeleteResource(_) => self.own(RESOURCES),
            Effect::InsertUser(user) => self.own(user.id.0),
            Effect::SetPassword { user, .. }
            | Effect::RehashPassword { user, .. }
            | Effect::SetUserEnabled(user, _)
            | Effect::RaiseUserEpoch { user, .. }
            | Effect::DeleteUser(user)
            | Effect::RevokeFamilies { user, .. }
            | Effect::EndSessions(user) => self.own(user.0),
            Effect::InsertFamily(family) => {
                self.own(family.id.0);
                self.share(family.user.0);
                self.share(family.client.0);
            }
            Effect::RevokeFamily { family, client, .. } => {
                self.own(family.0);
                self.share(client.0);
            }
            Effect::RevokeToken { token, client, .. } => {
                self.own(token.0);
                self.share(client.0);
            }
            Effect::InsertCode(code) => {
                self.own(code.id.0);
                self.share(code.family.0);
                self.share(code.client.0);
            }
            Effect::InsertRefreshToken { token, .. } => self.share(token.family.0),
            Effect::InsertSession(session) => {
                self.own(session.id.0);
                self.share(session.user.0);
            }
            Effect::TouchSession(session, _) | Effect::EndSession(session) => self.own(session.0),
            Effect::PutConsent(consent) => {
                self.own(consent.user.0);
                self.share(consent.client.0);
            }
            Effect::DeleteConsent(user, client) => {
                self.own(user.0);
                self.share(client.0);
            }
            Effect::InsertKey(_) | Effect::SetKeyState { .. } | Effect::ResealKey { .. } => {
                self.own(SIGNING_KEYS);
            }
        }
    }

    fn own(&mut self, id: Id) {
        self.0.push((Need::Own, id));
    }

    fn share(&mut self, id: Id) {
        self.0.push((Need::Share, id));
    }

    /// The least row it writes itself: batches are sorted by it.
    pub(super) fn first(&self) -> Option<Id> {
        self.0.first().map(|(_, id)| *id)
    }

    /// Whether it writes a row twice: then the order of its effects matters, which a batch does not keep.
    pub(super) fn twice(&self) -> bool {
        self.0.windows(2).any(|pair| pair[0].0 == Need::Own && pair[0] == pair[1])
    }
}

/// Rows that somebody holds: `OWNED`, or the number of those who share them.
#[derive(Debug, Default)]
pub(super) struct Held(HashMap<Id, usize>);

const OWNED: usize = usize::MAX;

impl Held {
    /// Whether a commit may go: nobody owns what it names, and nobody shares what it owns.
    fn allows(&self, named: &Named) -> bool {
        named.0.iter().all(|(need, id)| match self.0.get(id) {
            None => true,
            Some(&count) => *need == Need::Share && count != OWNED,
        })
    }

    /// Holds what a commit names.
    pub(super) fn take(&mut self, named: &Named) {
        for (need, id) in &named.0 {
            let count = self.0.entry(*id).or_default();
            *count = if *need == Need::Own { OWNED } else { count.saturating_add(1) };
        }
    }

    /// Gives back what [`take`](Self::take) took.
    pub(super) fn release(&mut self, named: &Named) {
        for (need, id) in &named.0 {
            match self.0.get_mut(id) {
                Some(count) if *need == Need::Share && *count != OWNED && *count > 1 => *count -= 1,
                _ => _ = self.0.remove(id),
            }
        }
    }
}

/// Plans what a free lane writes next: places in the queue, in its order, no two of which name the same
/// row; none if all wait for what is in flight. `waiting` is the queue: what each names, and whether it
/// must go alone. The first that can go decides whether it is one alone or a batch, so nobody is passed
/// over for ever; and nobody overtakes an earlier one that names the same rows.
pub(super) fn plan<'a>(
    waiting: impl Iterator<Item = (&'a Named, bool)>,
    in_flight: &Held,
    limit: usize,
) -> Vec<usize> {
    // What the chosen name, and those who were passed over.
    let mut ahead = Held::default();
    let mut batch = Vec::new();
    for (place, (named, alone)) in waiting.take(LOOK_AHEAD).enumerate() {
        let free = in_flight.allows(named) && ahead.allows(named);
        if free && alone && batch.is_empty() {
            return vec![place];
        }
        ahead.take(named);
        if free && !alone {
            batch.push(place);
            if batch.len() == limit.max(1) {
                break;
            }
        }
    }
    batch
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn id(number: u8) -> Id {
        Id([number; 16])
    }

    fn commit(effects: Vec<Effect>) -> Commit {
        Commit { id: CommitId(id(0)), at: UnixTime(1), spend: None, effects }
    }

    fn token(token: u8, client: u8) -> Effect {
        Effect::RevokeToken { token: TokenId(id(token)), client: ClientKey(id(client)), until: UnixTime(2) }
    }

    fn planned(queue: &[Commit], in_flight: &[Commit], limit: usize) -> Vec<usize> {
        let named: Vec<Named> = queue.iter().map(Named::by).collect();
        let mut held = Held::default();
        in_flight.iter().for_each(|commit| held.take(&Named::by(commit)));
        plan(named.iter().map(|named| (named, named.twice())), &held, limit)
    }

    #[test]
    fn a_batch_holds_a_key_once() {
        let queue = [1, 2, 1, 3, 2].map(|row| commit(vec![token(row, 9)]));
        assert_eq!(planned(&queue, &[], 256), [0, 1, 3]);
        assert_eq!(planned(&queue[2..], &queue[1..2], 256), [0, 1], "row 2 is in flight");
    }

    #[test]
    fn what_belongs_to_the_same_client_goes_together_but_not_past_a_change_of_the_client() {
        let edit = commit(vec![Effect::SetClientEnabled(ClientKey(id(9)), false)]);
        let queue = [commit(vec![token(1, 9)]), commit(vec![token(2, 9)]), edit, commit(vec![token(3, 9)])];
        assert_eq!(planned(&queue, &[], 256), [0, 1]);
        assert_eq!(planned(&queue[2..], &queue[..1], 256), [0; 0], "the client is in use");
        assert_eq!(planned(&queue[2..], &[], 256), [0]);
    }

    #[test]
    fn a_batch_is_no_larger_than_its_limit() {
        let queue: Vec<Commit> = (0..9).map(|row| commit(vec![token(row, 99)])).collect();
        assert_eq!(planned(&queue, &[], 4), [0, 1, 2, 3]);
    }

    #[test]
    fn the_first_that_can_go_decides_whether_it_is_a_batch() {
        let twice = |row| commit(vec![token(row, 9), token(row, 9)]);
        let once = |row| commit(vec![token(row, 9)]);
        assert_eq!(planned(&[twice(1), once(2)], &[], 256), [0]);
        assert_eq!(planned(&[once(2), twice(1), once(3), once(1)], &[], 256), [0, 2]);
        assert_eq!(planned(&[], &[], 256), [0; 0]);
    }

    #[test]
    fn what_is_written_and_belonged_to_is_written() {
        let family = FamilyId(id(4));
        let revoke = Effect::RevokeFamily { family, client: ClientKey(id(9)), until: UnixTime(2) };
        let named = Named::by(&commit(vec![token(7, 4), revoke]));
        assert!(!named.twice(), "it writes two rows, and names a third");
        assert_eq!(named.first(), Some(id(4)));
        assert_eq!(named.0.iter().filter(|(_, row)| *row == id(4)).count(), 1);
    }

    /// A commit that writes some of six rows, and belongs to some of six others.
    fn any_commit() -> impl Strategy<Value = Commit> {
        proptest::collection::vec((0..6_u8, 6..12_u8, proptest::bool::weighted(0.1)), 1..4).prop_map(
            |effects| {
                let effect = |(row, owner, edit)| match edit {
                    true => Effect::SetClientEnabled(ClientKey(id(owner)), true),
                    false => token(row, owner),
                };
                commit(effects.into_iter().map(effect).collect())
            },
        )
    }

    fn meet(one: &Named, other: &Named) -> bool {
        let mut held = Held::default();
        held.take(one);
        !held.allows(other)
    }

    proptest! {
        /// Lanes take turns and finish in any order: nobody is passed over for ever, no two who meet are
        /// in flight together, and nobody overtakes one it meets.
        #[test]
        fn everybody_gets_a_turn_in_order(
            commits in proptest::collection::vec(any_commit(), 0..40),
            ends in proptest::collection::vec(any::<proptest::sample::Index>(), 100),
        ) {
            let named: Vec<Named> = commits.iter().map(Named::by).collect();
            let mut waiting: Vec<usize> = (0..named.len()).collect();
            let mut held = Held::default();
            let mut in_flight: Vec<Vec<usize>> = Vec::new();
            let mut ends = ends.into_iter();
            loop {
                let queue = waiting.iter().map(|&each| (&named[each], named[each].twice()));
                let turn: Vec<usize> = plan(queue, &held, 8).into_iter().map(|place| waiting[place]).collect();
                if turn.is_empty() || in_flight.len() == 3 {
                    if in_flight.is_empty() {
                        break;
                    }
                    let end = ends.next().map_or(0, |end| end.index(in_flight.len()));
                    in_flight.remove(end).iter().for_each(|&each| held.release(&named[each]));
                    continue;
                }
                for (place, &each) in turn.iter().enumerate() {
                    let others = in_flight.iter().flatten().chain(&turn[..place]);
                    prop_assert!(others.into_iter().all(|&other| !meet(&named[each], &named[other])));
                    let earlier = waiting.iter().take_while(|&&other| other != each);
                    let overtaken = earlier.filter(|other| !turn.contains(other));
                    prop_assert!(overtaken.into_iter().all(|&other| !meet(&named[each], &named[other])));
                }
                prop_assert!(turn.len() == 1 || turn.iter().all(|&each| !named[each].twice()));
                turn.iter().for_each(|&each| held.take(&named[each]));
                waiting.retain(|each| !turn.contains(each));
                in_flight.push(turn);
            }
            prop_assert!(waiting.is_empty(), "nobody is left: {:?}", waiting);
            prop_assert!(held.0.is_empty(), "nothing is held: {:?}", held);
        }
    }
}
