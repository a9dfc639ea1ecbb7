-- One row: what the last `chancery store copy` into this store knows of itself, as JSON.
CREATE TABLE copied (
    one  INTEGER NOT NULL PRIMARY KEY CHECK (one = 1),
    note TEXT    NOT NULL
) STRICT, WITHOUT ROWID;
