//! Whole tables as records.

use async_trait::async_trait;
use rusqlite::{
    Connection, Row, ToSql, params_from_iter,
    types::{FromSqlError, FromSqlResult, ToSqlOutput, ValueRef},
};

use super::{
    Sqlite,
    columns::{integer, natural, rows},
    statements::Statements,
};
use crate::store::{
    FeedPosition, StoreError,
    records::{Class, Column, Holds, Record, Records, Snapshot, Value},
};

#[async_trait]
impl Records for Sqlite {
    async fn snapshot(&self) -> Result<Box<dyn Snapshot>, StoreError> {
        let connection = self.readers.open()?;
        let written = data_version(&connection)?;
        connection.execute_batch("BEGIN")?;
        // The transaction begins with its first read.
        connection.query_row("SELECT epoch FROM feed", [], |_| Ok(()))?;
        // Written to between the two: then the earlier number says more than is true, never less.
        Ok(Box::new(Moment { connection, written }))
    }

    async fn put_records(&self, class: Class, records: Vec<Record>) -> Result<(), StoreError> {
        let names = names(class.columns());
        let places = vec!["?"; class.columns().len()].join(", ");
        let insert = format!("INSERT INTO {} ({names}) VALUES ({places})", class.table());
        let put = move |db: Statements<'_>| {
            // All of them first: a name may go from one row of the batch to another.
            remove(db, class, &records)?;
            records.iter().try_for_each(|record| db.run(&insert, params_from_iter(&record.0)).map(drop))
        };
        self.writer.work(put).await
    }

    async fn remove_records(&self, class: Class, records: Vec<Record>) -> Result<(), StoreError> {
        self.writer.work(move |db| remove(db, class, &records)).await
    }

    async fn copy_note(&self) -> Result<Option<String>, StoreError> {
        self.read(|db| db.one("SELECT note FROM copied", [], |row| row.get(0)))
    }

    async fn put_copy_note(&self, note: String, epoch: Option<u64>) -> Result<(), StoreError> {
        let put = move |db: Statements<'_>| {
            let sql = "INSERT INTO copied (one, note) VALUES (1, ?1)
                       ON CONFLICT (one) DO UPDATE SET note = excluded.note";
            db.run(sql, [note])?;
            if let Some(epoch) = epoch {
                db.run("UPDATE feed SET epoch = max(epoch + 1, ?1)", [integer(epoch)])?;
            }
            Ok(())
        };
        self.writer.work(put).await
    }
}

/// A connection inside a read transaction.
struct Moment {
    connection: Connection,
    written: i64,
}

#[async_trait]
impl Snapshot for Moment {
    async fn records(
        &mut self,
        class: Class,
        after: Option<&Record>,
        limit: usize,
    ) -> Result<Vec<Record>, StoreError> {
        let (columns, key) = (names(class.columns()), names(class.key()));
        let from = match after {
            Some(_) => format!("WHERE ({key}) > ({})", vec!["?"; class.key().len()].join(", ")),
            None => String::new(),
        };
        let sql = format!("SELECT {columns} FROM {} {from} ORDER BY {key} LIMIT ?", class.table());
        let limit = Value::Number(rows(limit));
        let values = after.map_or(&[][..], |record| record.key(class)).iter().chain([&limit]);
        let mut statement = self.connection.prepare_cached(&sql)?;
        let found = statement.query_map(params_from_iter(values), |row| read(row, class.columns()))?;
        Ok(found.collect::<Result<_, _>>()?)
    }

    async fn position(&mut self) -> Result<FeedPosition, StoreError> {
        let sql = "SELECT epoch, coalesce((SELECT seq FROM sqlite_sequence WHERE name = 'changes'), 0)
                   FROM feed";
        let position = self.connection.query_row(sql, [], |row| {
            Ok(FeedPosition { epoch: natural(row.get_ref(0)?)?, seq: natural(row.get_ref(1)?)? })
        })?;
        Ok(position)
    }

    async fn is_outdated(self: Box<Self>) -> Result<bool, StoreError> {
        self.connection.execute_batch("COMMIT")?;
        Ok(data_version(&self.connection)? != self.written)
    }
}

/// Another number whenever another connection has written
/// (<https://www.sqlite.org/pragma.html#pragma_data_version>).
fn data_version(connection: &Connection) -> rusqlite::Result<i64> {
    connection.pragma_query_value(None, "data_version", |row| row.get(0))
}

fn remove(db: Statements<'_>, class: Class, records: &[Record]) -> rusqlite::Result<()> {
    let alike: Vec<_> = class.key().iter().map(|column| format!("\"{}\" = ?", column.name)).collect();
    let sql = format!("DELETE FROM {} WHERE {}", class.table(), alike.join(" AND "));
    records.iter().try_for_each(|record| db.run(&sql, params_from_iter(record.key(class))).map(drop))
}

/// Quoted, because `key` is a word of SQL.
fn names(columns: &[Column]) -> String {
    let names: Vec<_> = columns.iter().map(|column| format!("\"{}\"", column.name)).collect();
    names.join(", ")
}

fn read(row: &Row<'_>, columns: &[Column]) -> rusqlite::Result<Record> {
    let value = |(at, column): (usize, &Column)| Ok(value(row.get_ref(at)?, column.holds)?);
    columns.iter().enumerate().map(value).collect::<Result<_, _>>().map(Record)
}

fn value(held: ValueRef<'_>, holds: Holds) -> FromSqlResult<Value> {
    match (holds, held) {
        (_, ValueRef::Null) => Ok(Value::Null),
        (Holds::Id | Holds::Bytes, ValueRef::Blob(bytes)) => Ok(Value::Bytes(bytes.to_vec())),
        (Holds::Number, ValueRef::Integer(number)) => Ok(Value::Number(number)),
        (Holds::Flag, ValueRef::Integer(number)) => Ok(Value::Flag(number != 0)),
        (Holds::Text, ValueRef::Text(_)) => Ok(Value::Text(held.as_str()?.to_owned())),
        _ => Err(FromSqlError::InvalidType),
    }
}

impl ToSql for Value {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        match self {
            Self::Null => None::<i64>.to_sql(),
            Self::Number(number) => number.to_sql(),
            Self::Flag(flag) => flag.to_sql(),
            Self::Bytes(bytes) => bytes.to_sql(),
            Self::Text(text) => text.to_sql(),
        }
    }
}
