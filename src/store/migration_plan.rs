//! What migrations would do before they do it: the tables they touch, and who has to wait.

/// How far a store's schema is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MigrationStatus {
    /// The number of the last applied migration; 0 for a store that does not exist yet.
    pub applied: u32,
    /// The number of the last migration this version knows.
    pub known: u32,
    /// Those still to be applied, in order.
    pub pending: Vec<String>,
}

impl MigrationStatus {
    /// Of all migrations (number and name), those above `applied` are pending.
    pub(super) fn new(applied: u32, mut all: Vec<(u32, String)>) -> Self {
        all.sort();
        let known = all.last().map_or(0, |(version, _)| *version);
        let pending = all.into_iter().filter(|(version, _)| *version > applied).map(|(_, name)| name);
        Self { applied, known, pending: pending.collect() }
    }
}

/// One pending file of migrations.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlannedFile {
    /// Its name, as in `MigrationStatus::pending`.
    pub name: String,
    /// What it does, in order.
    pub steps: Vec<PlannedStep>,
}

/// One statement of a migration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlannedStep {
    /// The statement's first words, as `CREATE INDEX`.
    pub action: String,
    /// The index it makes or drops, if that is what it does.
    pub index: Option<String>,
    /// The table it touches; empty where it names none that could be found.
    pub table: String,
    /// The lock it takes there, until the migration is committed.
    pub lock: Lock,
    /// Rows of the table now, roughly; `None` for a table that does not exist yet.
    pub rows: Option<u64>,
}

/// Locks of Postgres on a table
/// (<https://www.postgresql.org/docs/current/explicit-locking.html#LOCKING-TABLES>), and SQLite's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lock {
    /// The table is new: nobody knows it yet.
    New,
    /// Only other changes of the schema wait.
    ShareUpdateExclusive,
    /// Who writes the same rows waits.
    RowExclusive,
    /// Who writes waits.
    Share,
    /// Everybody waits, readers too. Assumed of statements that are not known.
    AccessExclusive,
    /// The whole file: who writes anything waits, readers go on.
    File,
}

impl Lock {
    /// Its name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::New => "none",
            Self::ShareUpdateExclusive => "SHARE UPDATE EXCLUSIVE",
            Self::RowExclusive => "ROW EXCLUSIVE",
            Self::Share => "SHARE",
            Self::AccessExclusive => "ACCESS EXCLUSIVE",
            Self::File => "the file",
        }
    }

    /// What it means to those who use the table meanwhile.
    pub const fn meaning(self) -> &'static str {
        match self {
            Self::New => "the table is new",
            Self::ShareUpdateExclusive => "reads and writes go on",
            Self::RowExclusive => "writes to the same rows wait",
            Self::Share => "writes wait, reads go on",
            Self::AccessExclusive => "reads and writes wait",
            Self::File => "every write waits, reads go on",
        }
    }
}

/// Where a statement names its table.
#[derive(Clone, Copy)]
enum TableWord {
    /// Right after the words of the rule.
    Next,
    /// After the word ON.
    On,
    /// Nowhere: it names an index.
    No,
}

/// The first rule whose words begin the statement holds. `IF EXISTS`, `IF NOT EXISTS` and `ONLY` are
/// passed over.
const RULES: &[(&str, TableWord, Lock)] = &[
    ("CREATE TABLE", TableWord::Next, Lock::New),
    ("CREATE UNIQUE INDEX CONCURRENTLY", TableWord::On, Lock::ShareUpdateExclusive),
    ("CREATE INDEX CONCURRENTLY", TableWord::On, Lock::ShareUpdateExclusive),
    ("CREATE UNIQUE INDEX", TableWord::On, Lock::Share),
    ("CREATE INDEX", TableWord::On, Lock::Share),
    ("DROP INDEX CONCURRENTLY", TableWord::No, Lock::ShareUpdateExclusive),
    ("DROP INDEX", TableWord::No, Lock::AccessExclusive),
    ("ALTER TABLE", TableWord::Next, Lock::AccessExclusive),
    ("DROP TABLE", TableWord::Next, Lock::AccessExclusive),
    ("TRUNCATE TABLE", TableWord::Next, Lock::AccessExclusive),
    ("TRUNCATE", TableWord::Next, Lock::AccessExclusive),
    ("LOCK TABLE", TableWord::Next, Lock::AccessExclusive),
    ("INSERT INTO", TableWord::Next, Lock::RowExclusive),
    ("UPDATE", TableWord::Next, Lock::RowExclusive),
    ("DELETE FROM", TableWord::Next, Lock::RowExclusive),
    ("ANALYZE", TableWord::Next, Lock::ShareUpdateExclusive),
    ("COMMENT ON TABLE", TableWord::Next, Lock::ShareUpdateExclusive),
];

/// What files of migrations do, in order; how many rows the tables have is for the store to say.
pub(super) fn plan(files: impl IntoIterator<Item = (String, String)>) -> Vec<PlannedFile> {
    let mut new: Vec<String> = Vec::new();
    let files = files.into_iter().map(|(name, sql)| {
        let mut steps: Vec<PlannedStep> = statements(&sql).map(|words| step(&words)).collect();
        for step in &mut steps {
            if step.lock == Lock::New {
                new.push(step.table.clone());
            } else if new.contains(&step.table) {
                step.lock = Lock::New;
            }
        }
        PlannedFile { name, steps }
    });
    files.collect()
}

fn step(words: &[&str]) -> PlannedStep {
    let fits = |rule: &&(&str, TableWord, Lock)| {
        let rule: Vec<&str> = rule.0.split(' ').collect();
        words.len() > rule.len() && words.starts_with(&rule)
    };
    let Some((action, named, lock)) = RULES.iter().find(fits) else {
        let action = words.iter().take(2).copied().collect::<Vec<_>>().join(" ");
        let (table, lock) = (String::new(), Lock::AccessExclusive);
        return PlannedStep { action, index: None, table, lock, rows: None };
    };
    let after = action.split(' ').count();
    let named_from = |start: usize| {
        let name = words.iter().skip(start).find(|word| !["IF", "NOT", "EXISTS", "ONLY"].contains(word));
        name.map(|name| (*name).to_owned())
    };
    // An index need not have a name of its own.
    let index = action.contains("INDEX").then(|| named_from(after)).flatten().filter(|name| name != "ON");
    let table = match named {
        TableWord::Next => named_from(after),
        TableWord::On => words.iter().position(|word| *word == "ON").and_then(|at| named_from(at + 1)),
        TableWord::No => None,
    };
    PlannedStep {
        action: (*action).to_owned(),
        index,
        table: table.unwrap_or_default(),
        lock: *lock,
        rows: None,
    }
}

/// The first line of each statement, as words. No SQL is parsed: the files are ours, and written so that a
/// line that begins with a capital letter begins a statement and names its action and its table (a test
/// holds every file to that).
fn statements(sql: &str) -> impl Iterator<Item = Vec<&str>> {
    let first = sql.lines().filter(|line| line.starts_with(|sign: char| sign.is_ascii_uppercase()));
    first.map(|line| line.split([' ', '(', ',', ';']).filter(|word| !word.is_empty()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn only(sql: &str) -> (String, String, Lock) {
        let planned = plan([("V1__a".to_owned(), sql.to_owned())]);
        let [PlannedFile { steps, .. }] = &planned[..] else { panic!("{planned:?}") };
        let [step] = &steps[..] else { panic!("{sql}: {steps:?}") };
        (step.action.clone(), step.table.clone(), step.lock)
    }

    #[test]
    fn each_kind_of_statement_has_its_table_and_lock() {
        for (sql, table, lock) in [
            ("CREATE TABLE IF NOT EXISTS a (\n    b text\n);", "a", Lock::New),
            ("-- Of a.\nCREATE INDEX a_b ON a(b);", "a", Lock::Share),
            ("CREATE UNIQUE INDEX CONCURRENTLY a_b ON a (b)", "a", Lock::ShareUpdateExclusive),
            ("CREATE INDEX a_b ON ONLY a (b) WHERE c = 'on; d'", "a", Lock::Share),
            ("DROP INDEX a_b", "", Lock::AccessExclusive),
            ("ALTER TABLE ONLY a ADD COLUMN b text;", "a", Lock::AccessExclusive),
            ("DROP TABLE IF EXISTS a;", "a", Lock::AccessExclusive),
            ("UPDATE a SET b = 1; -- c", "a", Lock::RowExclusive),
            ("INSERT INTO a\n    VALUES ('it''s; on')", "a", Lock::RowExclusive),
            ("DELETE FROM ONLY a;", "a", Lock::RowExclusive),
            ("DO $$ BEGIN\n    DELETE FROM a; END $$", "", Lock::AccessExclusive),
        ] {
            let (_, found, locked) = only(sql);
            assert_eq!((found.as_str(), locked), (table, lock), "{sql}");
        }
        assert_eq!(only("GRANT SELECT ON a TO b").0, "GRANT SELECT");
    }

    /// What `statements` relies on.
    #[test]
    fn every_migration_begins_its_statements_at_the_margin_and_names_the_table_there() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/migrations");
        let stores = ["sqlite", "postgres"]
            .map(|store| std::fs::read_dir(format!("{folder}/{store}")).expect("its migrations"));
        for file in stores.into_iter().flatten() {
            let path = file.expect("a file").path();
            let sql = std::fs::read_to_string(&path).expect("a migration");
            let mut begins = true;
            for line in sql.lines().filter(|line| !line.is_empty() && !line.starts_with("--")) {
                let code = line.split(" --").next().unwrap_or_default().trim_end();
                let capital = line.starts_with(|sign: char| sign.is_ascii_uppercase());
                assert_eq!(begins, capital, "{}: {line}", path.display());
                assert!(!code.trim_end_matches(';').contains(';'), "{}: {line}", path.display());
                begins = code.ends_with(';');
            }
            for step in statements(&sql).map(|words| step(&words)) {
                assert!(!step.table.is_empty() || step.index.is_some(), "{}: {step:?}", path.display());
            }
        }
    }

    #[test]
    fn an_index_is_called_by_its_name() {
        for (sql, name) in [
            ("CREATE INDEX a_b ON a (b)", Some("a_b")),
            ("CREATE UNIQUE INDEX CONCURRENTLY IF NOT EXISTS a_b ON a (b)", Some("a_b")),
            ("DROP INDEX IF EXISTS a_b", Some("a_b")),
            ("CREATE INDEX ON a (b)", None),
            ("ALTER TABLE a ADD COLUMN b text", None),
        ] {
            let planned = plan([("V1__a".to_owned(), sql.to_owned())]);
            assert_eq!(planned[0].steps[0].index.as_deref(), name, "{sql}");
        }
    }

    #[test]
    fn a_table_that_is_made_by_the_same_migrations_makes_nobody_wait() {
        let first = "CREATE TABLE a (b text);\nCREATE INDEX a_b ON a (b);\nINSERT INTO a VALUES ('x');";
        let second = "ALTER TABLE a ADD COLUMN c text;\nALTER TABLE old ADD COLUMN c text;";
        let planned = plan([("1".to_owned(), first.to_owned()), ("2".to_owned(), second.to_owned())]);
        let locks: Vec<Lock> = planned.iter().flat_map(|file| &file.steps).map(|step| step.lock).collect();
        assert_eq!(locks, [Lock::New, Lock::New, Lock::New, Lock::New, Lock::AccessExclusive]);
    }

    #[test]
    fn what_is_above_the_applied_number_is_pending() {
        let all = vec![(2, "V2__b".to_owned()), (1, "V1__a".to_owned()), (3, "V3__c".to_owned())];
        let status = MigrationStatus::new(1, all);
        assert_eq!((status.applied, status.known), (1, 3));
        assert_eq!(status.pending, ["V2__b", "V3__c"]);
    }
}
