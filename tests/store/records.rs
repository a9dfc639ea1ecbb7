//! Moving an installation: what a copy holds, what it refuses, and what it notices.

use std::{
    any::Any,
    collections::BTreeSet,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use async_trait::async_trait;
use chancery::{
    model::*,
    store::{
        copy::{CopyError, copy, sum},
        postgres::{self, Postgres},
        records::{Class, Record, Records, Snapshot, Value},
        sqlite::{Options, Sqlite},
        *,
    },
};

use crate::{
    servers::{self, PgBouncer},
    store::fixtures::*,
};

/// A store that can be moved.
trait Movable: Store + Records {}

impl<S: Store + Records> Movable for S {}

/// A store of its own, and what must outlive it.
struct Installation {
    store: Arc<dyn Store>,
    records: Arc<dyn Records>,
    _place: Box<dyn Any>,
}

impl Installation {
    fn new(store: impl Movable + 'static, place: impl Any) -> Self {
        let store = Arc::new(store);
        Self { store: store.clone(), records: store, _place: Box::new(place) }
    }

    async fn sqlite() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("data/chancery.db");
        Self::new(Sqlite::open(&path, Options::default()).expect("the store opens"), folder)
    }

    async fn postgres() -> Self {
        let database = servers::Postgres::shared().await.database().await;
        let options = postgres::Options { url: database.url().to_owned(), ..postgres::Options::default() };
        Self::new(Postgres::open(options).await.expect("the store opens"), database)
    }

    async fn pgbouncer() -> Self {
        let database = servers::Postgres::shared().await.database().await;
        let options = postgres::Options {
            url: crate::store::postgres::pgbouncer().await.url(database.name()),
            migration_url: Some(database.url().to_owned()),
            prepared: PgBouncer::prepares(),
            ..postgres::Options::default()
        };
        Self::new(Postgres::open(options).await.expect("the store opens"), database)
    }

    async fn sums(&self) -> Vec<(Class, copy::TableSum)> {
        let mut snapshot = self.records.snapshot().await.expect("a snapshot");
        let mut sums = Vec::new();
        for class in Class::ALL {
            sums.push((class, sum(class, snapshot.as_mut()).await.expect("a sum")));
        }
        sums
    }
}

/// Something in every table, most of it twice.
struct Filled {
    client: Client,
    user: User,
    session: Session,
    unspent: Code,
    spent: Code,
    rotated: RefreshToken,
    current: (Family, RefreshToken),
    once: Id,
}

async fn fill(store: &Arc<dyn Store>) -> Filled {
    let (client, user) = (client("app"), user("alice"));
    let session = session(user.id);
    let once = id();
    let key = |kid: &str, state| Effect::InsertKey(signing_key(kid, SigningAlg::EdDSA, state));
    given(
        store,
        [
            Effect::InsertClient(client.clone().into()),
            Effect::InsertResource(resource("https://api.example", Some(client.key))),
            Effect::InsertResource(resource("https://nobodys.example", None)),
            Effect::InsertUser(user.clone().into()),
            Effect::InsertUser(User { password: None, ..self::user("bob") }.into()),
            Effect::InsertSession(session.clone().into()),
            Effect::PutConsent(consent(user.id, client.key, "openid")),
            Effect::RevokeToken { token: TokenId(id()), client: client.key, until: LATER },
            key("first", KeyState::Active),
            key("second", KeyState::Next),
        ],
    )
    .await;
    let (_, unspent) = stored_code(store).await;
    let (_, spent) = stored_code(store).await;
    let (family, rotated) = stored_refresh_token(store).await;
    let (spend, current) = rotation(&rotated);
    for commit in [
        spending(Spend::Code(spent.id), []),
        spending(spend, []),
        spending(Spend::Once { id: once, expires_at: LATER }, []),
        commit([Effect::RevokeFamily { family: spent.family, client: spent.client, until: LATER }]),
    ] {
        store.commit(commit).await.expect("the installation is filled");
    }
    Filled { client, user, session, unspent, spent, rotated, current: (family, current), once }
}

async fn once_more(from: &Installation, to: &Installation) -> copy::Copied {
    copy(from.records.as_ref(), to.records.as_ref(), NOW).await.expect("it is copied")
}

async fn refusal(from: &Installation, to: &dyn Records) -> CopyError {
    copy(from.records.as_ref(), to, NOW).await.expect_err("it is refused")
}

async fn everything_works_on_the_other_side(from: Installation, to: Installation) {
    let filled = fill(&from.store).await;
    let copied = once_more(&from, &to).await;
    assert!(!copied.source_changed);
    assert!(copied.tables.iter().all(|table| table.sum.rows > 0 && table.removed == 0), "{copied:?}");
    assert_eq!(from.sums().await, to.sums().await);

    let (old, new) = (&from.store, &to.store);
    let name = &filled.client.client_id;
    assert_eq!(new.client(name).await.unwrap(), old.client(name).await.unwrap());
    assert_eq!(new.user_by_name("alice").await.unwrap(), Some(filled.user.clone()), "with the password");
    assert_eq!(new.session(&filled.session.digest).await.unwrap(), Some(filled.session));
    assert_eq!(new.consents(filled.user.id).await.unwrap(), old.consents(filled.user.id).await.unwrap());
    assert_eq!(new.resources(None, 9).await.unwrap(), old.resources(None, 9).await.unwrap());
    assert_eq!(new.signing_keys(true).await.unwrap(), old.signing_keys(true).await.unwrap());
    assert_eq!(all_revocations(new).await, all_revocations(old).await);
    let (family, current) = filled.current;
    assert_eq!(new.family(family.id).await.unwrap(), old.family(family.id).await.unwrap());
    let row = async |store: &Arc<dyn Store>| {
        let mut row = row_of(&**store, &filled.rotated).await.expect("the row");
        row.last.iter_mut().for_each(|last| last.age = None);
        row
    };
    let rotated = row(new).await;
    assert!(rotated.last.as_ref().is_some_and(|last| last.answer.is_some()), "retries are answered");
    assert_eq!(rotated, row(old).await);

    // What was not used can be, once; what was used cannot.
    new.commit(spending(rotation(&current).0, [])).await.expect("a refresh token goes on");
    new.commit(spending(Spend::Code(filled.unspent.id), [])).await.expect("a code is redeemed");
    let again = Spend::Once { id: filled.once, expires_at: LATER };
    for spend in [Spend::Code(filled.spent.id), Spend::Code(filled.unspent.id), again] {
        let refused = new.commit(spending(spend, [])).await;
        assert!(matches!(refused, Err(CommitError::AlreadySpent)), "{refused:?}");
    }
}

/// F21: whoever knew the old store must not take the new feed for its continuation.
async fn the_feed_begins_anew_above_every_epoch_known(from: Installation, to: Installation) {
    fill(&from.store).await;
    from.store.restored(NOW.plus(1000), LATER).await.unwrap();
    let known = from.store.feed(0, 1).await.unwrap().head;
    once_more(&from, &to).await;
    let first = to.store.feed(0, 1).await.unwrap();
    assert!(first.head.epoch > known.epoch, "{first:?}, {known:?}");
    assert_eq!((first.head.seq, first.oldest, first.changes.len()), (0, 1, 0), "{first:?}");
    once_more(&from, &to).await;
    assert!(to.store.feed(0, 1).await.unwrap().head.epoch > first.head.epoch);
}

async fn a_copy_is_of_one_moment_and_the_next_brings_the_rest(from: Installation, to: Installation) {
    let filled = fill(&from.store).await;
    let before = from.sums().await;
    // Commits while it is copied: after the families, before their refresh tokens.
    let meddled = Meddled::new(&to, {
        let source = from.store.clone();
        move |event| {
            let (source, client) = (source.clone(), filled.client.clone());
            Box::pin(async move {
                if matches!(event, Event::Put(Class::Codes)) {
                    stored_refresh_token(&source).await;
                    given(&source, [Effect::SetClientEnabled(client.key, false)]).await;
                }
                Ok(())
            })
        }
    });
    let copied = copy(from.records.as_ref(), &meddled, NOW).await.expect("it is copied");
    assert!(copied.source_changed);
    assert_eq!(to.sums().await, before);

    let last = once_more(&from, &to).await;
    assert!(!last.source_changed);
    assert_eq!(to.sums().await, from.sums().await);
    let written = |class| last.tables.iter().find(|table| table.class == class).unwrap().written;
    let expected = [(Class::Clients, 2), (Class::Families, 1), (Class::Rotations, 1), (Class::Codes, 0)];
    expected.into_iter().for_each(|(class, rows)| assert_eq!(written(class), rows, "{class:?}"));
}

async fn what_is_gone_from_the_source_goes_from_the_copy(from: Installation, to: Installation) {
    let filled = fill(&from.store).await;
    once_more(&from, &to).await;
    // The same name, the same two parties: only the rows are others. The new client's key is the
    // lower one, as after a clock was set back.
    let again = Client { key: ClientKey(Id([0; 16])), ..client("app") };
    let key = |kid: &str, from, to| Effect::SetKeyState { kid: kid.to_owned(), from, to };
    given(
        &from.store,
        [
            Effect::DeleteClient(filled.client.key),
            Effect::InsertClient(again.clone().into()),
            Effect::EndSessions(filled.user.id),
            key("first", KeyState::Active, KeyState::Retiring),
            key("second", KeyState::Next, KeyState::Active),
        ],
    )
    .await;
    from.store.sweep(LATER, 1000).await.unwrap();
    let copied = once_more(&from, &to).await;
    assert_eq!(from.sums().await, to.sums().await);
    assert!(copied.tables.iter().any(|table| table.removed > 0), "{copied:?}");
    assert_eq!(to.store.client("app").await.unwrap().as_deref(), Some(&again));
    assert_eq!(to.store.sessions(filled.user.id).await.unwrap(), []);
}

async fn tables_longer_than_a_page_are_copied_whole(from: Installation, to: Installation) {
    let uri = |number| format!("https://{number}.example");
    let all = (0..1201).map(|number| Effect::InsertResource(resource(&uri(number), None)));
    given(&from.store, all).await;
    once_more(&from, &to).await;
    assert_eq!(to.store.resources(None, 9999).await.unwrap().len(), 1201);
    let gone = (0..1201).filter(|number| number % 2 == 0).map(|number| Effect::DeleteResource(uri(number)));
    given(&from.store, gone).await;
    once_more(&from, &to).await;
    assert_eq!(to.sums().await, from.sums().await);
}

async fn a_row_changed_behind_the_copys_back_is_caught(from: Installation, to: Installation) {
    let filled = fill(&from.store).await;
    let meddled = Meddled::new(&to, {
        let (target, user) = (to.store.clone(), filled.user.id);
        move |event| {
            let target = target.clone();
            Box::pin(async move {
                if matches!(event, Event::Put(Class::SigningKeys)) {
                    let password = "another".to_owned();
                    given(&target, [Effect::SetPassword { user, password }]).await;
                }
                Ok(())
            })
        }
    });
    let refused = refusal(&from, &meddled).await;
    assert!(matches!(&refused, CopyError::Differs(tables) if *tables == ["users"]), "{refused}");
    // Once it stops, the next copy puts it right.
    once_more(&from, &to).await;
    assert_eq!(to.sums().await, from.sums().await);
}

async fn a_target_that_was_written_to_after_the_copy_is_refused(from: Installation, to: Installation) {
    fill(&from.store).await;
    once_more(&from, &to).await;
    // A sign-in: nothing that the feed tells.
    stored_refresh_token(&to.store).await;
    let before = to.sums().await;
    let refused = refusal(&from, to.records.as_ref()).await;
    assert!(
        matches!(&refused, CopyError::Written(tables) if *tables == ["clients", "users", "families", "rotations"]),
        "{refused}"
    );
    assert_eq!(to.sums().await, before);
}

async fn another_installation_is_not_overwritten(from: Installation, to: Installation) {
    fill(&from.store).await;
    given(&to.store, [Effect::InsertClient(client("theirs").into())]).await;
    let refused = refusal(&from, to.records.as_ref()).await;
    assert!(matches!(refused, CopyError::Foreign), "{refused}");

    let other = Installation::sqlite().await;
    let key = signing_key("another", SigningAlg::EdDSA, KeyState::Active);
    given(&other.store, [Effect::InsertKey(key)]).await;
    let third = Installation::sqlite().await;
    once_more(&other, &third).await;
    let refused = refusal(&from, third.records.as_ref()).await;
    assert!(matches!(refused, CopyError::Foreign), "a copy of another one: {refused}");
}

async fn an_interrupted_copy_goes_on_when_it_is_run_again(from: Installation, to: Installation) {
    fill(&from.store).await;
    let failed = Arc::new(AtomicBool::new(false));
    let meddled = Meddled::new(&to, move |event| {
        let fails = matches!(event, Event::Put(Class::Codes)) && !failed.swap(true, Ordering::Relaxed);
        let lost = StoreError::new(StoreErrorKind::Connection, "the connection was lost");
        Box::pin(std::future::ready(if fails { Err(lost) } else { Ok(()) }))
    });
    let refused = refusal(&from, &meddled).await;
    assert!(matches!(refused, CopyError::Store(_)), "{refused}");
    assert_ne!(to.sums().await, from.sums().await);
    copy(from.records.as_ref(), &meddled, NOW).await.expect("it is copied");
    assert_eq!(to.sums().await, from.sums().await);
}

/// What a [`Meddled`] store is told before it does it.
enum Event {
    Put(Class),
    Remove,
}

type Meddling = std::pin::Pin<Box<dyn Future<Output = Result<(), StoreError>> + Send>>;

/// A target during whose copy something happens.
struct Meddled {
    records: Arc<dyn Records>,
    meddle: Box<dyn Fn(Event) -> Meddling + Send + Sync>,
}

impl Meddled {
    fn new(to: &Installation, meddle: impl Fn(Event) -> Meddling + Send + Sync + 'static) -> Self {
        Self { records: to.records.clone(), meddle: Box::new(meddle) }
    }
}

#[async_trait]
impl Records for Meddled {
    async fn snapshot(&self) -> Result<Box<dyn Snapshot>, StoreError> {
        self.records.snapshot().await
    }

    async fn put_records(&self, class: Class, records: Vec<Record>) -> Result<(), StoreError> {
        (self.meddle)(Event::Put(class)).await?;
        self.records.put_records(class, records).await
    }

    async fn remove_records(&self, class: Class, records: Vec<Record>) -> Result<(), StoreError> {
        (self.meddle)(Event::Remove).await?;
        self.records.remove_records(class, records).await
    }

    async fn copy_note(&self) -> Result<Option<String>, StoreError> {
        self.records.copy_note().await
    }

    async fn put_copy_note(&self, note: String, epoch: Option<u64>) -> Result<(), StoreError> {
        self.records.put_copy_note(note, epoch).await
    }
}

macro_rules! each_move {
    ($($way:ident: $from:ident to $to:ident;)*) => {$(
        each_move! { @tests $way $from $to
            everything_works_on_the_other_side
            the_feed_begins_anew_above_every_epoch_known
            a_copy_is_of_one_moment_and_the_next_brings_the_rest
            what_is_gone_from_the_source_goes_from_the_copy
            tables_longer_than_a_page_are_copied_whole
            a_row_changed_behind_the_copys_back_is_caught
            a_target_that_was_written_to_after_the_copy_is_refused
            another_installation_is_not_overwritten
            an_interrupted_copy_goes_on_when_it_is_run_again
        }
    )*};
    (@tests $way:ident $from:ident $to:ident $($test:ident)*) => {
        mod $way {
            use super::Installation;

            $(#[tokio::test]
            async fn $test() {
                super::$test(Installation::$from().await, Installation::$to().await).await;
            })*
        }
    };
}

each_move! {
    sqlite_to_sqlite: sqlite to sqlite;
    sqlite_to_postgres: sqlite to postgres;
    postgres_to_sqlite: postgres to sqlite;
}

#[tokio::test]
async fn an_installation_moves_through_a_pooler_too() {
    let (from, to) = (Installation::sqlite().await, Installation::pgbouncer().await);
    everything_works_on_the_other_side(from, to).await;
    let (from, to) = (Installation::pgbouncer().await, Installation::sqlite().await);
    a_copy_is_of_one_moment_and_the_next_brings_the_rest(from, to).await;
}

/// Every column of every table is moved, also those that a later migration adds.
#[test]
fn no_column_is_forgotten() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("data/chancery.db");
    drop(Sqlite::open(&path, Options::default()).expect("the store opens"));
    let database = rusqlite::Connection::open(&path).expect("a database");
    let all = "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%'";
    let names = |sql: &str| -> Vec<String> {
        let mut statement = database.prepare(sql).expect("a statement");
        let names = statement.query_map([], |row| row.get(0)).expect("names");
        names.collect::<Result<_, _>>().expect("names")
    };
    let left_behind = ["changes", "feed", "copied", "refinery_schema_history"];
    let mut tables = names(all);
    tables.retain(|table| !left_behind.contains(&table.as_str()));
    tables.sort();
    let mut moved: Vec<_> = Class::ALL.iter().map(|class| class.table().to_owned()).collect();
    moved.sort();
    assert_eq!(tables, moved);
    for class in Class::ALL {
        let mut held = names(&format!("SELECT name FROM pragma_table_info('{}')", class.table()));
        let mut moved: Vec<_> = class.columns().iter().map(|column| column.name.to_owned()).collect();
        held.sort();
        moved.sort();
        assert_eq!(held, moved, "{class:?}");
    }
}

/// The same in Postgres, where `user` has another name.
#[tokio::test]
async fn no_column_of_postgres_is_forgotten() {
    let database = servers::Postgres::shared().await.database().await;
    let options = postgres::Options { url: database.url().to_owned(), ..postgres::Options::default() };
    drop(Postgres::open(options).await.expect("the store opens"));
    let client = database.connect().await;
    let sql = "SELECT table_name::text, column_name::text FROM information_schema.columns
               WHERE table_schema = 'public'";
    let held = client.query(sql, &[]).await.expect("the columns");
    let held = held.iter().map(|row| (row.get::<_, String>(0), row.get::<_, String>(1)));
    let elsewhere = ["changes", "feed", "copied", "refinery_schema_history"];
    let held: BTreeSet<_> = held.filter(|(table, _)| !elsewhere.contains(&table.as_str())).collect();
    let moved = Class::ALL.iter().flat_map(|class| {
        class.columns().iter().map(|column| {
            let name = if column.name == "user" { "user_id" } else { column.name };
            (class.table().to_owned(), name.to_owned())
        })
    });
    let moved: BTreeSet<_> = moved.collect();
    assert_eq!(held, moved);
}

/// The checksum must not depend on the store, nor change with a version.
#[test]
fn a_record_has_one_canonical_form() {
    let mut form = Vec::new();
    let values = [
        Value::Bytes(vec![1, 2]),
        Value::Text("ä".into()),
        Value::Flag(true),
        Value::Number(-2),
        Value::Null,
    ];
    Record(values.into()).write_canonical(&mut form);
    let expected: Vec<u8> = [
        &[3, 0, 0, 0, 0, 0, 0, 0, 2, 1, 2][..],
        &[4, 0, 0, 0, 0, 0, 0, 0, 2, 0xc3, 0xa4],
        &[2, 0, 0, 0, 0, 0, 0, 0, 1, 1],
        &[1, 0, 0, 0, 0, 0, 0, 0, 8, 255, 255, 255, 255, 255, 255, 255, 254],
        &[0, 0, 0, 0, 0, 0, 0, 0, 0],
    ]
    .concat();
    assert_eq!(form, expected);
}
