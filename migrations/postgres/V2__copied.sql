-- One row: what the last `chancery store copy` into this store knows of itself, as JSON.
CREATE TABLE copied (
    one  smallint NOT NULL PRIMARY KEY CHECK (one = 1),
    note text     NOT NULL
);
