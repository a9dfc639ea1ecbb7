//! Whole tables as records: pages by key, written as set-based statements.

use std::{
    sync::{Arc, LazyLock, atomic::AtomicU64},
    time::Duration,
};

use async_trait::async_trait;
use deadpool_postgres::{ClientWrapper, Object};
use tokio_postgres::{
    Error, Row,
    types::{ToSql, Type},
};

use super::{
    Lane, Postgres,
    columns::{Natural, integer, rows},
    statements::{Failure, Param, StatementConnection, Statements},
};
use crate::{
    model::Id,
    store::{
        FeedPosition, StoreError, StoreErrorKind,
        records::{Class, Column, Holds, Record, Records, Snapshot, Value},
    },
};

#[async_trait]
impl Records for Postgres {
    async fn snapshot(&self) -> Result<Box<dyn Snapshot>, StoreError> {
        // Never given back: whatever becomes of it, its transaction ends with it.
        let connection = Object::take(self.upkeep.get().await?);
        let (prepared, executed) = (self.options.prepared, self.executed.clone());
        let moment = Moment { connection, prepared, executed };
        // Between two pages there may be a while.
        let begin = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY;
                     SET LOCAL statement_timeout = '5min';
                     SET LOCAL idle_in_transaction_session_timeout = 0";
        moment.session().batch(begin).await?;
        // What it sees is what there is at its first statement.
        moment.trace(FIRST_READ).await?;
        Ok(Box::new(moment))
    }

    async fn put_records(&self, class: Class, records: Vec<Record>) -> Result<(), StoreError> {
        let arrays = arrays(class.columns(), &records)?;
        let keys = &arrays[..class.key().len()];
        let columns: Vec<_> = arrays.iter().map(param).collect();
        let transaction = self.begin(Lane::Upkeep).await?;
        let db = transaction.statements();
        // All of them first: a name may go from one row of the batch to another.
        remove(db, class, keys).await?;
        db.run(&sql(class).insert, &columns).await?;
        Ok(transaction.commit().await?)
    }

    async fn remove_records(&self, class: Class, records: Vec<Record>) -> Result<(), StoreError> {
        let keys = arrays(class.key(), &records)?;
        let transaction = self.begin(Lane::Upkeep).await?;
        remove(transaction.statements(), class, &keys).await?;
        Ok(transaction.commit().await?)
    }

    async fn copy_note(&self) -> Result<Option<String>, StoreError> {
        Ok(self.reads().one("SELECT note FROM copied", &[], |row| row.try_get(0)).await?)
    }

    async fn put_copy_note(&self, note: String, epoch: Option<u64>) -> Result<(), StoreError> {
        let transaction = self.begin(Lane::Upkeep).await?;
        let db = transaction.statements();
        let sql = "INSERT INTO copied (one, note) VALUES (1, $1)
                   ON CONFLICT (one) DO UPDATE SET note = excluded.note";
        db.run(sql, &[(&note, Type::TEXT)]).await?;
        if let Some(epoch) = epoch.map(integer) {
            let sql = "UPDATE feed SET epoch = greatest(epoch + 1, $1)";
            db.run(sql, &[(&epoch, Type::INT8)]).await?;
        }
        Ok(transaction.commit().await?)
    }
}

/// A connection inside a read transaction.
struct Moment {
    connection: ClientWrapper,
    prepared: bool,
    executed: Arc<AtomicU64>,
}

impl Moment {
    fn session(&self) -> StatementConnection<'_> {
        let (connection, prepared, executed) = (&self.connection, self.prepared, &*self.executed);
        StatementConnection { connection, prepared, executed, patience: COUNTED }
    }

    fn statements(&self) -> Statements<'_> {
        Statements::on(self.session())
    }

    async fn trace(&self, sql: &'static str) -> Result<String, StoreError> {
        let trace = self.statements().one(sql, &[], |row| row.try_get(0)).await?;
        Ok(trace.unwrap_or_default())
    }
}

/// Large tables are looked through from end to end, which takes as long as it takes.
const COUNTED: Duration = Duration::from_secs(60 * 60);

const FIRST_READ: &str = "SELECT note FROM copied";

/// Another text after whatever was written: an insert or a delete changes the number of a table's rows,
/// an update the transaction that made one of them.
static TRACE: LazyLock<String> = LazyLock::new(|| {
    let trace =
        |table| format!("(SELECT count(*) || ':' || coalesce(sum(xmin::text::bigint), 0) FROM {table})");
    let tables = Class::ALL.iter().map(|class| class.table()).chain(["feed"]);
    format!("SELECT concat_ws(' ', {})", tables.map(trace).collect::<Vec<_>>().join(", "))
});

#[async_trait]
impl Snapshot for Moment {
    async fn records(
        &mut self,
        class: Class,
        after: Option<&Record>,
        limit: usize,
    ) -> Result<Vec<Record>, StoreError> {
        let limit = rows(limit);
        let keys = after.map(|record| record.key(class).iter().map(single).collect::<Result<Vec<_>, _>>());
        let keys = keys.transpose()?;
        let statement = if keys.is_some() { &sql(class).page } else { &sql(class).first };
        let mut params: Vec<Param<'_>> = keys.iter().flatten().map(param).collect();
        params.push((&limit, Type::INT8));
        Ok(self.statements().all(statement, &params, |row| read(row, class)).await?)
    }

    async fn position(&mut self) -> Result<FeedPosition, StoreError> {
        let read = |row: &Row| {
            let (Natural(epoch), Natural(seq)) = (row.try_get(0)?, row.try_get(1)?);
            Ok(FeedPosition { epoch, seq })
        };
        let position = self.statements().one("SELECT epoch, seq FROM feed", &[], read).await?;
        position.ok_or_else(|| {
            StoreError::new(StoreErrorKind::Other, "the table feed is empty: the database is incomplete")
        })
    }

    async fn is_outdated(self: Box<Self>) -> Result<bool, StoreError> {
        let then = self.trace(&TRACE).await?;
        self.session().batch("COMMIT").await?;
        Ok(self.trace(&TRACE).await? != then)
    }
}

/// The statements of a class.
struct Sql {
    first: String,
    page: String,
    insert: String,
    remove: String,
}

static SQL: LazyLock<Vec<Sql>> = LazyLock::new(|| Class::ALL.into_iter().map(write).collect());

fn sql(class: Class) -> &'static Sql {
    &SQL[class as usize]
}

fn write(class: Class) -> Sql {
    let table = class.table();
    let listed = |columns: &[Column], write: &dyn Fn((usize, &Column)) -> String| {
        columns.iter().enumerate().map(write).collect::<Vec<_>>().join(", ")
    };
    let selected = listed(class.columns(), &|(_, column)| match column {
        // `kind` is a smallint.
        Column { holds: Holds::Number, .. } => format!("held.{}::bigint", name(column)),
        column => format!("held.{}", name(column)),
    });
    let key = listed(class.key(), &|(_, column)| format!("held.{}", name(column)));
    let after = listed(class.key(), &|(at, _)| format!("${}", at + 1));
    let limit = class.key().len() + 1;
    let select = format!("SELECT {selected} FROM {table} AS held");
    let names = listed(class.columns(), &|(_, column)| name(column).to_owned());
    let arrays = |columns: &[Column]| {
        listed(columns, &|(at, column)| format!("${}::{}[]", at + 1, type_name(column.holds)))
    };
    let same: Vec<_> =
        class.key().iter().map(|column| format!("held.{0} = gone.{0}", name(column))).collect();
    let gone = listed(class.key(), &|(_, column)| name(column).to_owned());
    Sql {
        first: format!("{select} ORDER BY {key} LIMIT $1"),
        page: format!("{select} WHERE ({key}) > ({after}) ORDER BY {key} LIMIT ${limit}"),
        insert: format!("INSERT INTO {table} ({names}) SELECT * FROM UNNEST({})", arrays(class.columns())),
        remove: format!(
            "DELETE FROM {table} AS held USING UNNEST({}) AS gone ({gone}) WHERE {}",
            arrays(class.key()),
            same.join(" AND ")
        ),
    }
}

/// `user` is a word of SQL that Postgres keeps for itself.
fn name(column: &Column) -> &'static str {
    if column.name == "user" { "user_id" } else { column.name }
}

async fn remove(db: Statements<'_>, class: Class, keys: &[Given]) -> Result<(), Failure> {
    let keys: Vec<_> = keys.iter().map(param).collect();
    db.run(&sql(class).remove, &keys).await?;
    Ok(())
}

/// A value or an array of values, with its type.
type Given = (Box<dyn ToSql + Sync + Send>, Type);

fn param(given: &Given) -> Param<'_> {
    (given.0.as_ref(), given.1.clone())
}

const fn type_name(holds: Holds) -> &'static str {
    match holds {
        Holds::Id => "uuid",
        Holds::Bytes => "bytea",
        Holds::Number => "bigint",
        Holds::Flag => "boolean",
        Holds::Text => "text",
    }
}

/// Column by column, the values of the records.
fn arrays(columns: &[Column], records: &[Record]) -> Result<Vec<Given>, StoreError> {
    columns
        .iter()
        .enumerate()
        .map(|(at, column)| array(column, records.iter().map(|one| &one.0[at])))
        .collect()
}

fn array<'a>(column: &Column, values: impl Iterator<Item = &'a Value>) -> Result<Given, StoreError> {
    Ok(match column.holds {
        Holds::Id => (Box::new(each(values, id)?), Type::UUID_ARRAY),
        Holds::Bytes => (Box::new(each(values, bytes)?), Type::BYTEA_ARRAY),
        Holds::Number => (Box::new(each(values, number)?), Type::INT8_ARRAY),
        Holds::Flag => (Box::new(each(values, flag)?), Type::BOOL_ARRAY),
        Holds::Text => (Box::new(each(values, text)?), Type::TEXT_ARRAY),
    })
}

fn each<'a, T>(
    values: impl Iterator<Item = &'a Value>,
    read: fn(&Value) -> Option<T>,
) -> Result<Vec<Option<T>>, StoreError> {
    let one = |value: &Value| match value {
        Value::Null => Ok(None),
        value => read(value).map(Some).ok_or_else(misfit),
    };
    values.map(one).collect()
}

/// A value of a key.
fn single(value: &Value) -> Result<Given, StoreError> {
    match value {
        Value::Number(number) => Ok((Box::new(*number), Type::INT8)),
        Value::Text(text) => Ok((Box::new(text.clone()), Type::TEXT)),
        value => Ok((Box::new(id(value).ok_or_else(misfit)?), Type::UUID)),
    }
}

fn misfit() -> StoreError {
    StoreError::new(StoreErrorKind::Other, "a record holds a value that its column cannot")
}

fn id(value: &Value) -> Option<Id> {
    match value {
        Value::Bytes(bytes) => bytes.as_slice().try_into().ok().map(Id),
        _ => None,
    }
}

fn bytes(value: &Value) -> Option<Vec<u8>> {
    match value {
        Value::Bytes(bytes) => Some(bytes.clone()),
        _ => None,
    }
}

fn number(value: &Value) -> Option<i64> {
    match value {
        Value::Number(number) => Some(*number),
        _ => None,
    }
}

fn flag(value: &Value) -> Option<bool> {
    match value {
        Value::Flag(flag) => Some(*flag),
        _ => None,
    }
}

fn text(value: &Value) -> Option<String> {
    match value {
        Value::Text(text) => Some(text.clone()),
        _ => None,
    }
}

fn read(row: &Row, class: Class) -> Result<Record, Error> {
    let value = |(at, column): (usize, &Column)| {
        let value = match column.holds {
            Holds::Id => row.try_get::<_, Option<Id>>(at)?.map(|id| Value::Bytes(id.0.to_vec())),
            Holds::Bytes => row.try_get::<_, Option<Vec<u8>>>(at)?.map(Value::Bytes),
            Holds::Number => row.try_get::<_, Option<i64>>(at)?.map(Value::Number),
            Holds::Flag => row.try_get::<_, Option<bool>>(at)?.map(Value::Flag),
            Holds::Text => row.try_get::<_, Option<String>>(at)?.map(Value::Text),
        };
        Ok(value.unwrap_or(Value::Null))
    };
    class.columns().iter().enumerate().map(value).collect::<Result<_, _>>().map(Record)
}
