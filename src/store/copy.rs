//! Copying an installation from one store to another, while it serves.
//!
//! A copy reads one moment of the source and brings the target to it: rows that are gone are removed,
//! rows that differ are written, and then the target is read back and compared by count and checksum.
//! Done again, with nobody serving, it writes only what has changed since. The memory it needs is a few
//! pages, whatever the size of the tables.

use std::{
    cmp::Ordering,
    collections::{BTreeMap, VecDeque},
};

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::{
    StoreError,
    records::{Class, Record, Records, Snapshot, Value},
};
use crate::model::UnixTime;

/// Records read, or written in one transaction.
const PAGE: usize = 500;

/// What was done.
#[derive(Clone, Debug)]
pub struct Copied {
    /// Table by table.
    pub tables: Vec<CopiedTable>,
    /// Whether the source may have been written to since it was read: then the copy is not the last.
    pub source_changed: bool,
}

/// What was done to one table.
#[derive(Clone, Debug)]
pub struct CopiedTable {
    /// Which.
    pub class: Class,
    /// Its rows and checksum, the same in both stores.
    pub sum: TableSum,
    /// Rows that had to be written.
    pub written: u64,
    /// Rows that had to be removed.
    pub removed: u64,
}

/// Rows and checksum of a table: SHA-256 over the canonical forms of its records in key order, each
/// preceded by its length.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TableSum {
    /// How many.
    pub rows: u64,
    /// The checksum, in hexadecimal digits.
    pub sha256: String,
}

/// Why a copy was not made.
#[derive(Debug, thiserror::Error)]
pub enum CopyError {
    /// The target holds something else.
    #[error(
        "the target is neither empty nor a copy of this installation; nothing was written. \
         Give an empty database"
    )]
    Foreign,
    /// Somebody has written to the target.
    #[error(
        "the target was written to after the last copy (in {}); a server may have run on it. \
         Nothing was written. Give an empty database, or empty this one first", .0.join(", ")
    )]
    Written(Vec<&'static str>),
    /// What was read back is not what was written.
    #[error(
        "the copy does not match the source in {}: something else writes to the target. \
         Do not start on it; find out what it is, and copy again", .0.join(", ")
    )]
    Differs(Vec<&'static str>),
    /// A store failed.
    #[error("{0}; run it again, it goes on from what is there")]
    Store(#[from] StoreError),
}

/// What a copy leaves in its target, so that the next one knows it.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Note {
    /// The first signing key there ever was: its `kid` is unique, and its row is kept for ever.
    installation: Option<String>,
    at: UnixTime,
    /// What the tables were when it was done; `None` while it is not.
    tables: Option<BTreeMap<String, TableSum>>,
}

/// Copies everything but the change feed, which begins anew in the target.
pub async fn copy(from: &dyn Records, to: &dyn Records, now: UnixTime) -> Result<Copied, CopyError> {
    let mut source = from.snapshot().await?;
    let position = source.position().await?;
    let installation = first_key(source.as_mut()).await?;
    refuse_others(to, installation.as_deref()).await?;
    let note = Note { installation, at: now, tables: None };
    to.put_copy_note(written(&note), None).await?;

    let mut tables = Vec::new();
    for class in Class::ALL {
        tables.push(copy_table(class, source.as_mut(), to).await?);
    }
    let mut target = to.snapshot().await?;
    let mut differing = Vec::new();
    for table in &tables {
        if sum(table.class, target.as_mut()).await? != table.sum {
            differing.push(table.class.table());
        }
    }
    if !differing.is_empty() {
        return Err(CopyError::Differs(differing));
    }
    let sums = tables.iter().map(|table| (table.class.table().to_owned(), table.sum.clone()));
    let note = Note { tables: Some(sums.collect()), ..note };
    // ARCHITECTURE.md, Revocation: another epoch is another history. Nodes and caches that knew the source know none so high.
    let epoch = now.0.max(position.epoch + 1);
    to.put_copy_note(written(&note), Some(epoch)).await?;
    Ok(Copied { tables, source_changed: source.is_outdated().await? })
}

fn written(note: &Note) -> String {
    serde_json::to_string(note).expect("a note has only texts and numbers")
}

/// A copy never overwrites what it did not write itself.
async fn refuse_others(to: &dyn Records, installation: Option<&str>) -> Result<(), CopyError> {
    let mut target = to.snapshot().await?;
    let Some(note) = to.copy_note().await? else {
        for class in Class::ALL {
            if !target.records(class, None, 1).await?.is_empty() {
                return Err(CopyError::Foreign);
            }
        }
        return Ok(());
    };
    let note: Note = serde_json::from_str(&note).map_err(|_| CopyError::Foreign)?;
    // One that never had a key may have got its first since.
    if note.installation.is_some() && note.installation.as_deref() != installation {
        return Err(CopyError::Foreign);
    }
    let Some(tables) = note.tables else { return Ok(()) };
    let mut changed = Vec::new();
    for class in Class::ALL {
        if tables.get(class.table()) != Some(&sum(class, target.as_mut()).await?) {
            changed.push(class.table());
        }
    }
    if changed.is_empty() { Ok(()) } else { Err(CopyError::Written(changed)) }
}

async fn copy_table(
    class: Class,
    source: &mut dyn Snapshot,
    to: &dyn Records,
) -> Result<CopiedTable, StoreError> {
    // All removals before all writes: a name or digest that must be unique may have gone to another row.
    let mut target = to.snapshot().await?;
    let mut gone = Difference::new(class, target.as_mut(), source, Record::has_key_of);
    while let Some(records) = gone.next().await? {
        to.remove_records(class, records).await?;
    }
    let removed = gone.found;
    drop(target);

    let mut target = to.snapshot().await?;
    let mut differing = Difference::new(class, source, target.as_mut(), |_, one, other| one == other);
    while let Some(records) = differing.next().await? {
        to.put_records(class, records).await?;
    }
    let Difference { found: written, sum, .. } = differing;
    Ok(CopiedTable { class, sum: sum.finish(), written, removed })
}

/// Rows and checksum of a table as it is in a snapshot.
pub async fn sum(class: Class, snapshot: &mut dyn Snapshot) -> Result<TableSum, StoreError> {
    let (mut cursor, mut sum) = (Cursor::new(class, snapshot), Sum::default());
    while let Some(record) = cursor.next().await? {
        sum.add(&record);
    }
    Ok(sum.finish())
}

/// The `kid` of the oldest signing key. There are few of them.
async fn first_key(source: &mut dyn Snapshot) -> Result<Option<String>, StoreError> {
    let mut cursor = Cursor::new(Class::SigningKeys, source);
    let created_at = Class::SigningKeys.columns().iter().position(|column| column.name == "created_at");
    let mut first: Option<(Option<Value>, Value)> = None;
    while let Some(Record(values)) = cursor.next().await? {
        let (kid, age) = (values[0].clone(), created_at.map(|at| values[at].clone()));
        if first.as_ref().is_none_or(|(oldest, _)| age < *oldest) {
            first = Some((age, kid));
        }
    }
    Ok(first.and_then(|(_, kid)| match kid {
        Value::Text(kid) => Some(kid),
        _ => None,
    }))
}

impl Record {
    fn has_key_of(class: Class, one: &Self, other: &Self) -> bool {
        one.key(class) == other.key(class)
    }
}

/// A table, record by record in key order.
struct Cursor<'a> {
    class: Class,
    snapshot: &'a mut dyn Snapshot,
    page: VecDeque<Record>,
    last: Option<Record>,
    ended: bool,
}

impl<'a> Cursor<'a> {
    fn new(class: Class, snapshot: &'a mut dyn Snapshot) -> Self {
        Self { class, snapshot, page: VecDeque::new(), last: None, ended: false }
    }

    async fn peek(&mut self) -> Result<Option<&Record>, StoreError> {
        if self.page.is_empty() && !self.ended {
            self.page = self.snapshot.records(self.class, self.last.as_ref(), PAGE).await?.into();
            self.ended = self.page.len() < PAGE;
            self.last = self.page.back().cloned();
        }
        Ok(self.page.front())
    }

    async fn next(&mut self) -> Result<Option<Record>, StoreError> {
        self.peek().await?;
        Ok(self.page.pop_front())
    }
}

/// The records of one table that have no like in another, and the sum of all of them.
struct Difference<'a> {
    class: Class,
    all: Cursor<'a>,
    others: Cursor<'a>,
    alike: fn(Class, &Record, &Record) -> bool,
    found: u64,
    sum: Sum,
}

impl<'a> Difference<'a> {
    fn new(
        class: Class,
        all: &'a mut dyn Snapshot,
        others: &'a mut dyn Snapshot,
        alike: fn(Class, &Record, &Record) -> bool,
    ) -> Self {
        let (all, others) = (Cursor::new(class, all), Cursor::new(class, others));
        Self { class, all, others, alike, found: 0, sum: Sum::default() }
    }

    /// The next of them, at most a page; `None` when there are no more.
    async fn next(&mut self) -> Result<Option<Vec<Record>>, StoreError> {
        let mut found = Vec::new();
        while found.len() < PAGE {
            let Some(record) = self.all.next().await? else { break };
            self.sum.add(&record);
            if !self.has_like(&record).await? {
                found.push(record);
            }
        }
        self.found += found.len() as u64;
        Ok((!found.is_empty()).then_some(found))
    }

    async fn has_like(&mut self, record: &Record) -> Result<bool, StoreError> {
        while let Some(other) = self.others.peek().await? {
            match other.key(self.class).cmp(record.key(self.class)) {
                Ordering::Less => _ = self.others.next().await?,
                Ordering::Equal => return Ok((self.alike)(self.class, record, other)),
                Ordering::Greater => return Ok(false),
            }
        }
        Ok(false)
    }
}

/// A sum in the making.
#[derive(Default)]
struct Sum {
    rows: u64,
    hash: Sha256,
    buffer: Vec<u8>,
}

impl Sum {
    fn add(&mut self, record: &Record) {
        self.buffer.clear();
        record.write_canonical(&mut self.buffer);
        self.hash.update((self.buffer.len() as u64).to_be_bytes());
        self.hash.update(&self.buffer);
        self.rows += 1;
    }

    fn finish(self) -> TableSum {
        let digits = self.hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
        TableSum { rows: self.rows, sha256: digits }
    }
}
