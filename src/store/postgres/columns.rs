//! How the model's newtypes are written in columns: ids as `uuid`, digests as `bytea`, times and
//! counts as `bigint`, names as text, everything else as JSON text.

use std::error::Error;

use bytes::{BufMut, BytesMut};
use serde::{Serialize, de::DeserializeOwned};
use tokio_postgres::types::{FromSql, IsNull, ToSql, Type, accepts, to_sql_checked};

use crate::model::*;

type Boxed = Box<dyn Error + Sync + Send>;

/// A value kept as JSON text.
#[derive(Debug)]
pub(super) struct Json<T>(pub(super) T);

impl<T: Serialize + std::fmt::Debug> ToSql for Json<T> {
    fn to_sql(&self, _: &Type, out: &mut BytesMut) -> Result<IsNull, Boxed> {
        serde_json::to_writer(out.writer(), &self.0)?;
        Ok(IsNull::No)
    }

    accepts!(TEXT);
    to_sql_checked!();
}

impl<'a, T: DeserializeOwned> FromSql<'a> for Json<T> {
    fn from_sql(_: &Type, raw: &'a [u8]) -> Result<Self, Boxed> {
        Ok(Self(serde_json::from_slice(raw)?))
    }

    accepts!(TEXT);
}

impl ToSql for Id {
    fn to_sql(&self, _: &Type, out: &mut BytesMut) -> Result<IsNull, Boxed> {
        out.put_slice(&self.0);
        Ok(IsNull::No)
    }

    accepts!(UUID);
    to_sql_checked!();
}

impl<'a> FromSql<'a> for Id {
    fn from_sql(_: &Type, raw: &'a [u8]) -> Result<Self, Boxed> {
        Ok(Self(raw.try_into()?))
    }

    accepts!(UUID);
}

macro_rules! id_columns {
    ($($name:ident)*) => {$(
        impl ToSql for $name {
            fn to_sql(&self, ty: &Type, out: &mut BytesMut) -> Result<IsNull, Boxed> {
                self.0.to_sql(ty, out)
            }

            accepts!(UUID);
            to_sql_checked!();
        }

        impl<'a> FromSql<'a> for $name {
            fn from_sql(ty: &Type, raw: &'a [u8]) -> Result<Self, Boxed> {
                Id::from_sql(ty, raw).map(Self)
            }

            accepts!(UUID);
        }
    )*};
}

id_columns! { ClientKey UserId FamilyId TokenId RowId SessionId CommitId }

impl ToSql for Digest {
    fn to_sql(&self, _: &Type, out: &mut BytesMut) -> Result<IsNull, Boxed> {
        out.put_slice(&self.0);
        Ok(IsNull::No)
    }

    accepts!(BYTEA);
    to_sql_checked!();
}

impl<'a> FromSql<'a> for Digest {
    fn from_sql(_: &Type, raw: &'a [u8]) -> Result<Self, Boxed> {
        Ok(Self(raw.try_into()?))
    }

    accepts!(BYTEA);
}

/// An unsigned number in a `bigint`; what is beyond its greatest is written as its greatest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Natural(pub(super) u64);

impl ToSql for Natural {
    fn to_sql(&self, ty: &Type, out: &mut BytesMut) -> Result<IsNull, Boxed> {
        integer(self.0).to_sql(ty, out)
    }

    accepts!(INT8);
    to_sql_checked!();
}

impl<'a> FromSql<'a> for Natural {
    fn from_sql(ty: &Type, raw: &'a [u8]) -> Result<Self, Boxed> {
        Ok(Self(u64::try_from(i64::from_sql(ty, raw)?)?))
    }

    accepts!(INT8);
}

/// The epoch of a user or client, in a `bigint`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Epoch(pub(super) u32);

impl ToSql for Epoch {
    fn to_sql(&self, ty: &Type, out: &mut BytesMut) -> Result<IsNull, Boxed> {
        i64::from(self.0).to_sql(ty, out)
    }

    accepts!(INT8);
    to_sql_checked!();
}

impl<'a> FromSql<'a> for Epoch {
    fn from_sql(ty: &Type, raw: &'a [u8]) -> Result<Self, Boxed> {
        Ok(Self(u32::try_from(i64::from_sql(ty, raw)?)?))
    }

    accepts!(INT8);
}

impl ToSql for UnixTime {
    fn to_sql(&self, ty: &Type, out: &mut BytesMut) -> Result<IsNull, Boxed> {
        integer(self.0).to_sql(ty, out)
    }

    accepts!(INT8);
    to_sql_checked!();
}

impl<'a> FromSql<'a> for UnixTime {
    fn from_sql(ty: &Type, raw: &'a [u8]) -> Result<Self, Boxed> {
        Natural::from_sql(ty, raw).map(|number| Self(number.0))
    }

    accepts!(INT8);
}

impl ToSql for KeyState {
    fn to_sql(&self, ty: &Type, out: &mut BytesMut) -> Result<IsNull, Boxed> {
        self.as_str().to_sql(ty, out)
    }

    accepts!(TEXT);
    to_sql_checked!();
}

impl<'a> FromSql<'a> for KeyState {
    fn from_sql(ty: &Type, raw: &'a [u8]) -> Result<Self, Boxed> {
        Self::parse(<&str>::from_sql(ty, raw)?).ok_or_else(|| Unknown("key state").into())
    }

    accepts!(TEXT);
}

impl ToSql for SigningAlg {
    fn to_sql(&self, ty: &Type, out: &mut BytesMut) -> Result<IsNull, Boxed> {
        self.as_str().to_sql(ty, out)
    }

    accepts!(TEXT);
    to_sql_checked!();
}

impl<'a> FromSql<'a> for SigningAlg {
    fn from_sql(ty: &Type, raw: &'a [u8]) -> Result<Self, Boxed> {
        Self::parse(<&str>::from_sql(ty, raw)?).ok_or_else(|| Unknown("algorithm").into())
    }

    accepts!(TEXT);
}

impl ToSql for RevocationKind {
    fn to_sql(&self, ty: &Type, out: &mut BytesMut) -> Result<IsNull, Boxed> {
        (*self as i16).to_sql(ty, out)
    }

    accepts!(INT2);
    to_sql_checked!();
}

impl<'a> FromSql<'a> for RevocationKind {
    fn from_sql(ty: &Type, raw: &'a [u8]) -> Result<Self, Boxed> {
        let number = u8::try_from(i16::from_sql(ty, raw)?)?;
        Self::from_u8(number).ok_or_else(|| Unknown("kind of revocation").into())
    }

    accepts!(INT2);
}

/// A column holds a name that this version does not know.
#[derive(Debug, thiserror::Error)]
#[error("a row holds an unknown {0}")]
struct Unknown(&'static str);

/// A count or a number of seconds as Postgres keeps it; what is beyond its integers is its greatest.
pub(super) fn integer(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// A limit as Postgres keeps it.
pub(super) fn rows(limit: usize) -> i64 {
    i64::try_from(limit).unwrap_or(i64::MAX)
}
