//! Whole tables as records: how an installation is moved from one store to another.
//!
//! A record is a row as it lies in its table, column by column, so that nothing is lost or reworded on
//! the way. [`Class`] is the one table of tables and columns; each driver makes its statements from it.
//! `changes` is not among them: the feed's history ends where its store ends.

use async_trait::async_trait;

use super::{FeedPosition, StoreError};

/// A table that is moved.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Class {
    /// Clients, with the digests of their secrets.
    Clients,
    /// Resources.
    Resources,
    /// People, with the hashes of their passwords.
    Users,
    /// Sign-ins.
    Sessions,
    /// What people agreed to.
    Consents,
    /// Authorizations.
    Families,
    /// Authorization codes, spent ones too.
    Codes,
    /// Where the refresh tokens of each family stand.
    Rotations,
    /// The sealed answers of the last minute's rotations.
    RetryAnswers,
    /// The revocation index.
    Revocations,
    /// One-time values that were used.
    Spent,
    /// Signing keys, sealed as they are.
    SigningKeys,
}

/// A column of a table.
#[derive(Clone, Copy, Debug)]
pub struct Column {
    /// Its name in SQLite.
    pub name: &'static str,
    /// What it holds.
    pub holds: Holds,
}

/// What a column holds, whatever a driver calls that.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Holds {
    /// Sixteen bytes.
    Id,
    /// Any bytes: digests and sealed values.
    Bytes,
    /// A count, an epoch, seconds.
    Number,
    /// Yes or no.
    Flag,
    /// Text, or JSON as text.
    Text,
}

/// A column's value in one row.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Value {
    /// Nothing.
    Null,
    /// A number.
    Number(i64),
    /// Yes or no.
    Flag(bool),
    /// Bytes, ids among them.
    Bytes(Vec<u8>),
    /// Text.
    Text(String),
}

/// A row: a value for each column of its class, the key's first.
#[derive(Clone, PartialEq, Eq)]
pub struct Record(pub Vec<Value>);

/// Whole tables.
#[async_trait]
pub trait Records: Send + Sync {
    /// One moment of the store, to be read page by page; what is written meanwhile is not in it.
    async fn snapshot(&self) -> Result<Box<dyn Snapshot>, StoreError>;

    /// Writes records in one transaction; rows that have their keys are replaced. Tells no node.
    async fn put_records(&self, class: Class, records: Vec<Record>) -> Result<(), StoreError>;

    /// Removes the rows that have the keys of these records, in one transaction. Tells no node.
    async fn remove_records(&self, class: Class, records: Vec<Record>) -> Result<(), StoreError>;

    /// The note that the last copy left in this store.
    async fn copy_note(&self) -> Result<Option<String>, StoreError>;

    /// Leaves a note. With an epoch, the feed's is raised to it in the same transaction, so that every
    /// node that knew another store reads everything anew.
    async fn put_copy_note(&self, note: String, epoch: Option<u64>) -> Result<(), StoreError>;
}

/// One moment of a store.
#[async_trait]
pub trait Snapshot: Send {
    /// Up to `limit` records of a class in key order, after the key of one.
    async fn records(
        &mut self,
        class: Class,
        after: Option<&Record>,
        limit: usize,
    ) -> Result<Vec<Record>, StoreError>;

    /// Where the feed stood.
    async fn position(&mut self) -> Result<FeedPosition, StoreError>;

    /// Ends the snapshot, and says whether the store may have been written to since it began.
    async fn is_outdated(self: Box<Self>) -> Result<bool, StoreError>;
}

impl Class {
    /// Every class.
    pub const ALL: [Self; 12] = [
        Self::Clients,
        Self::Resources,
        Self::Users,
        Self::Sessions,
        Self::Consents,
        Self::Families,
        Self::Codes,
        Self::Rotations,
        Self::RetryAnswers,
        Self::Revocations,
        Self::Spent,
        Self::SigningKeys,
    ];

    /// The table's name.
    pub const fn table(self) -> &'static str {
        match self {
            Self::Clients => "clients",
            Self::Resources => "resources",
            Self::Users => "users",
            Self::Sessions => "sessions",
            Self::Consents => "consents",
            Self::Families => "families",
            Self::Codes => "codes",
            Self::Rotations => "rotations",
            Self::RetryAnswers => "retry_answers",
            Self::Revocations => "revocations",
            Self::Spent => "spent",
            Self::SigningKeys => "signing_keys",
        }
    }

    /// The table's columns, the key's first.
    pub const fn columns(self) -> &'static [Column] {
        match self {
            Self::Clients => CLIENTS,
            Self::Resources => RESOURCES,
            Self::Users => USERS,
            Self::Sessions => SESSIONS,
            Self::Consents => CONSENTS,
            Self::Families => FAMILIES,
            Self::Codes => CODES,
            Self::Rotations => ROTATIONS,
            Self::RetryAnswers => RETRY_ANSWERS,
            Self::Revocations => REVOCATIONS,
            Self::Spent => SPENT,
            Self::SigningKeys => SIGNING_KEYS,
        }
    }

    /// The columns of the key.
    pub fn key(self) -> &'static [Column] {
        let length = if matches!(self, Self::RetryAnswers | Self::Revocations) { 2 } else { 1 };
        &self.columns()[..length]
    }
}

impl Record {
    /// The values of its key, which order the records of a class as their bytes do.
    pub fn key(&self, class: Class) -> &[Value] {
        &self.0[..class.key().len()]
    }

    /// Adds its canonical form to a buffer: each value's kind, length and bytes. Two records have the
    /// same form if and only if they are equal, in whichever store they lie.
    pub fn write_canonical(&self, to: &mut Vec<u8>) {
        for value in &self.0 {
            let number;
            let (kind, bytes): (u8, &[u8]) = match value {
                Value::Null => (0, &[]),
                Value::Number(one) => {
                    number = one.to_be_bytes();
                    (1, &number)
                }
                Value::Flag(false) => (2, &[0]),
                Value::Flag(true) => (2, &[1]),
                Value::Bytes(bytes) => (3, bytes),
                Value::Text(text) => (4, text.as_bytes()),
            };
            to.push(kind);
            to.extend_from_slice(&(bytes.len() as u64).to_be_bytes());
            to.extend_from_slice(bytes);
        }
    }
}

const fn id(name: &'static str) -> Column {
    Column { name, holds: Holds::Id }
}

const fn bytes(name: &'static str) -> Column {
    Column { name, holds: Holds::Bytes }
}

const fn number(name: &'static str) -> Column {
    Column { name, holds: Holds::Number }
}

const fn flag(name: &'static str) -> Column {
    Column { name, holds: Holds::Flag }
}

const fn text(name: &'static str) -> Column {
    Column { name, holds: Holds::Text }
}

const CLIENTS: &[Column] = &[
    id("key"),
    text("client_id"),
    flag("enabled"),
    number("epoch"),
    number("created_at"),
    number("updated_at"),
    text("doc"),
];

const RESOURCES: &[Column] = &[id("id"), text("uri"), id("owner"), number("created_at")];

const USERS: &[Column] = &[
    id("id"),
    text("username"),
    text("password"),
    flag("enabled"),
    number("epoch"),
    number("created_at"),
    number("updated_at"),
    text("doc"),
];

const SESSIONS: &[Column] = &[
    id("id"),
    bytes("digest"),
    id("user"),
    number("user_epoch"),
    number("auth_time"),
    text("amr"),
    text("user_agent"),
    number("seen_at"),
    number("expires_at"),
];

const CONSENTS: &[Column] =
    &[id("id"), id("user"), id("client"), number("created_at"), number("updated_at"), text("doc")];

const FAMILIES: &[Column] = &[
    id("id"),
    id("client"),
    number("client_epoch"),
    id("user"),
    number("user_epoch"),
    id("session"),
    number("auth_time"),
    flag("refreshable"),
    flag("offline"),
    number("created_at"),
    number("expires_at"),
    number("revoked_at"),
    text("doc"),
];

const CODES: &[Column] = &[
    id("id"),
    bytes("digest"),
    id("family"),
    id("client"),
    text("redirect_uri"),
    text("challenge"),
    text("nonce"),
    number("created_at"),
    number("expires_at"),
    id("spent_by"),
];

const ROTATIONS: &[Column] = &[
    id("family"),
    number("generation"),
    bytes("digest"),
    number("issued_us"),
    number("expires_at"),
    number("expiry_day"),
    bytes("previous"),
    bytes("retry_request"),
    id("rotated_by"),
];

const RETRY_ANSWERS: &[Column] = &[number("issued_us"), id("family"), bytes("answer")];

const REVOCATIONS: &[Column] =
    &[number("kind"), id("id"), number("epoch"), id("client"), number("expires_at")];

const SPENT: &[Column] = &[id("id"), id("spent_by"), number("expires_at")];

const SIGNING_KEYS: &[Column] = &[
    text("kid"),
    text("alg"),
    text("state"),
    bytes("sealed"),
    number("created_at"),
    number("activated_at"),
    number("retired_at"),
    number("gone_at"),
];

#[cfg(test)]
mod tests {
    use super::*;

    fn canonical(values: &[Value]) -> Vec<u8> {
        let mut bytes = Vec::new();
        Record(values.to_vec()).write_canonical(&mut bytes);
        bytes
    }

    #[test]
    fn no_two_records_have_the_same_canonical_form() {
        let text = |text: &str| Value::Text(text.to_owned());
        let records = [
            vec![text("ab"), text("c")],
            vec![text("a"), text("bc")],
            vec![text("abc"), text("")],
            vec![text("abc"), Value::Null],
            vec![Value::Bytes(b"abc".to_vec()), text("")],
            vec![Value::Number(1), Value::Flag(true)],
            vec![Value::Number(1), Value::Number(1)],
            vec![Value::Flag(true), Value::Flag(false)],
        ];
        let forms: std::collections::BTreeSet<_> = records.iter().map(|one| canonical(one)).collect();
        assert_eq!(forms.len(), records.len());
    }

    #[test]
    fn every_class_has_a_key_and_no_column_twice() {
        for class in Class::ALL {
            let mut names: Vec<_> = class.columns().iter().map(|column| column.name).collect();
            assert!(!class.key().is_empty() && class.key().len() < names.len(), "{class:?}");
            names.sort_unstable();
            names.dedup();
            assert_eq!(names.len(), class.columns().len(), "{class:?}");
        }
    }
}
