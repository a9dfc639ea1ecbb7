//! Every statement of a request and of the sweeper finds its rows by an index, however many there are.

use chancery::{
    model::*,
    store::{
        postgres::{Options, Postgres, statements_of_the_request_path},
        *,
    },
};
use tokio_postgres::Client;

use crate::{servers, store::fixtures::*};

/// 100,000 users, 10,000 clients and 500,000 families with a refresh token; and what comes with them.
const DATA: &str = "
    CREATE FUNCTION id(class text, number bigint) RETURNS uuid LANGUAGE sql IMMUTABLE PARALLEL SAFE AS
        $$ SELECT (lpad(to_hex(number), 12, '0') || left(md5(class), 20))::uuid $$;
    CREATE FUNCTION digest(class text, number bigint) RETURNS bytea LANGUAGE sql IMMUTABLE PARALLEL SAFE AS
        $$ SELECT sha256((class || number)::bytea) $$;
    -- Indexes are made when the rows are there: that takes a third of the time.
    CREATE TEMPORARY TABLE held AS SELECT indexname, indexdef FROM pg_indexes
        WHERE tablename = 'families' AND indexdef NOT LIKE '% (id)';
    DO $$ DECLARE index record; BEGIN
        FOR index IN SELECT * FROM held LOOP EXECUTE 'DROP INDEX ' || index.indexname; END LOOP; END $$;
    INSERT INTO clients SELECT id('client', n), 'client-' || n, true, 0, n, n, '{}'
        FROM generate_series(1, 10000) AS n;
    INSERT INTO resources SELECT id('resource', n), 'https://' || n || '.example', NULL, n
        FROM generate_series(1, 10000) AS n;
    INSERT INTO users SELECT id('user', n), 'user-' || n, NULL, true, 0, n, n, '{}'
        FROM generate_series(1, 100000) AS n;
    INSERT INTO sessions SELECT id('session', n), digest('session', n), id('user', n % 100000 + 1), 0, n,
            '[]', '', n, n
        FROM generate_series(1, 100000) AS n;
    INSERT INTO consents SELECT id('consent', n), id('user', n), id('client', n % 10000 + 1), n, n, '{}'
        FROM generate_series(1, 100000) AS n;
    INSERT INTO families SELECT id('family', n), id('client', n % 10000 + 1), 0, id('user', n % 100000 + 1),
            0, NULL, n, true, n % 2 = 0, n, n, CASE n % 10 WHEN 0 THEN n END, '{}'
        FROM generate_series(1, 500000) AS n;
    INSERT INTO codes SELECT id('code', n), digest('code', n), id('family', n), id('client', n % 10000 + 1),
            '', NULL, NULL, n, n, CASE WHEN n % 10 > 0 THEN id('commit', n) END
        FROM generate_series(1, 100000) AS n;
    INSERT INTO rotations SELECT id('family', n), n % 5, digest('token', n), n, n, n / 10000,
            CASE WHEN n % 5 > 0 THEN digest('previous', n) END
        FROM generate_series(1, 500000) AS n;
    INSERT INTO retry_answers SELECT n, id('family', n), '\\x00' FROM generate_series(1, 50000) AS n;
    INSERT INTO revocations SELECT n % 4 + 1, id('revocation', n), 0, id('client', n % 10000 + 1), n
        FROM generate_series(1, 100000) AS n;
    INSERT INTO spent SELECT id('spent', n), id('commit', n), n FROM generate_series(1, 100000) AS n;
    INSERT INTO changes SELECT n, n, id('commit', n), '{}' FROM generate_series(1, 100000) AS n;
    UPDATE feed SET seq = 100000;
    DO $$ DECLARE index record; BEGIN
        FOR index IN SELECT * FROM held LOOP EXECUTE index.indexdef; END LOOP; END $$;
    ANALYZE;";

/// Rows of another time, in tables that were empty.
const DATA_OF_FULL_TABLES: &str = "
    INSERT INTO sessions SELECT gen_random_uuid(), sha256(n::text::bytea), gen_random_uuid(), 0, n, '[]', '', n,
            4000000000
        FROM generate_series(1, ROWS) AS n;
    INSERT INTO families SELECT gen_random_uuid(), gen_random_uuid(), 0, gen_random_uuid(), 0, NULL, n, true,
            false, n, 4000000000, NULL, '{}'
        FROM generate_series(1, ROWS) AS n;
    INSERT INTO codes SELECT gen_random_uuid(), sha256(n::text::bytea), gen_random_uuid(), gen_random_uuid(), '',
            NULL, NULL, n, 4000000000, NULL
        FROM generate_series(1, ROWS) AS n;
    INSERT INTO rotations SELECT gen_random_uuid(), 0, sha256(n::text::bytea), n, 4000000000, 100000
        FROM generate_series(1, ROWS) AS n;";

/// Tables of a few pages, whose rows do not grow in number with the use of the server.
const SMALL: [&str; 4] = ["feed", "signing_keys", "refinery_schema_history", "pg_class"];

#[tokio::test]
async fn no_statement_of_a_request_or_a_sweep_reads_a_whole_table() {
    let database = servers::Postgres::shared().await.database().await;
    let options = Options { url: database.url().to_owned(), ..Options::default() };
    drop(Postgres::open(options).await.expect("the schema"));
    let beside = database.connect().await;
    // This database is nobody's, and is gone when the test is.
    beside.batch_execute("SET synchronous_commit = off; SET maintenance_work_mem = '256MB'").await.unwrap();
    beside.batch_execute(DATA).await.expect("data");
    // A statement that is prepared ends with this plan, which knows none of its parameters.
    beside.batch_execute("SET plan_cache_mode = force_generic_plan").await.unwrap();

    let statements = statements_of_the_request_path();
    assert!(statements.len() > 60, "{}", statements.len());
    let mut whole = Vec::new();
    for (file, name, sql) in statements {
        let plan = plan(&beside, sql).await;
        let scans = plan.lines().filter_map(|line| line.split("Seq Scan on ").nth(1));
        for table in scans.map(|rest| rest.split_whitespace().next().unwrap_or_default()) {
            if !SMALL.contains(&table) {
                whole.push(format!("{file}: {name} reads all of {table}:\n{plan}"));
            }
        }
    }
    assert!(whole.is_empty(), "{}", whole.join("\n"));
}

/// A statement that is planned for an empty table keeps its plan when the table has grown, until the
/// server's own maintenance comes by.
#[tokio::test]
async fn what_was_planned_for_empty_tables_does_not_read_them_when_they_are_full() {
    const ROWS: i64 = 20_000;
    let database = servers::Postgres::shared().await.database().await;
    let options = Options { url: database.url().to_owned(), read_connections: 1, ..Options::default() };
    let store = Postgres::open(options).await.expect("it opens");
    let beside = database.connect().await;
    // As maintenance leaves them when everything in them was swept.
    beside.batch_execute("VACUUM ANALYZE").await.expect("the tables are known to be empty");
    let use_it = async |number: usize| {
        let session = session(UserId(id()));
        assert!(store.session(&session.digest).await.expect("a read").is_none());
        let token = RefreshToken { family: FamilyId(id()), generation: 0, digest: session.digest };
        assert!(row_of(&store, &token).await.is_none());
        store.commit(spending(rotation(&token).0, [])).await.expect_err("there is none");
        let effects = [
            Effect::TouchSession(session.id, LATER),
            Effect::RevokeFamily { family: FamilyId(id()), client: ClientKey(id()), until: LATER },
        ];
        store.commit(commit(effects)).await.expect("nothing to do");
        let spend = Spend::Code(RowId(id()));
        store.commit(spending(spend, [])).await.expect_err("there is none");
        store.sweep(UnixTime(1), 10).await.unwrap_or_else(|error| panic!("sweep {number}: {error}"));
    };
    for number in 0..10 {
        use_it(number).await;
    }
    let fill = DATA_OF_FULL_TABLES.replace("ROWS", &ROWS.to_string());
    beside.batch_execute(&fill).await.expect("rows");
    for number in 0..10 {
        use_it(number).await;
    }
    // A session tells what it did when it ends.
    store.close().await;
    let read = "SELECT relname::text, seq_tup_read FROM pg_stat_user_tables
                WHERE relname IN ('sessions', 'families', 'codes', 'rotations') AND seq_tup_read > 0";
    let idle = "SELECT count(*) FROM pg_stat_activity
                WHERE datname = current_database() AND application_name = 'chancery'";
    servers::until("the store's sessions to end", async || {
        beside.query_one(idle, &[]).await.expect("a count").get::<_, i64>(0) == 0
    })
    .await;
    let rows = beside.query(read, &[]).await.expect("statistics");
    let whole: Vec<(String, i64)> = rows.iter().map(|row| (row.get(0), row.get(1))).collect();
    assert!(whole.iter().all(|(_, read)| *read < ROWS), "{whole:?}");
}

async fn plan(beside: &Client, sql: &str) -> String {
    let parameters = (1..).take_while(|number| sql.contains(&format!("${number}"))).count();
    let nulls = match parameters {
        0 => String::new(),
        count => format!("({})", vec!["NULL"; count].join(", ")),
    };
    let explain = format!("PREPARE it AS {sql}; EXPLAIN (COSTS OFF) EXECUTE it{nulls}; DEALLOCATE it");
    let rows = beside.simple_query(&explain).await.unwrap_or_else(|error| panic!("{error}: {sql}"));
    let lines = rows.iter().filter_map(|message| match message {
        tokio_postgres::SimpleQueryMessage::Row(row) => row.get(0),
        _ => None,
    });
    lines.collect::<Vec<_>>().join("\n")
}
