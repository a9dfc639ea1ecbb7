-- The first schema. Row keys are time-ordered 16-byte binaries, times are Unix seconds.
-- A `doc` holds, as JSON, what is never searched for; a column always overrides its doc.

CREATE TABLE clients (
    key        BLOB    NOT NULL PRIMARY KEY CHECK (length(key) = 16),
    client_id  TEXT    NOT NULL,
    enabled    INTEGER NOT NULL,
    epoch      INTEGER NOT NULL CHECK (epoch BETWEEN 0 AND 4294967295),
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    doc        TEXT    NOT NULL
) STRICT, WITHOUT ROWID;
CREATE UNIQUE INDEX clients_client_id ON clients (client_id);

CREATE TABLE resources (
    id         BLOB    NOT NULL PRIMARY KEY CHECK (length(id) = 16),
    uri        TEXT    NOT NULL,
    owner      BLOB,
    created_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE UNIQUE INDEX resources_uri ON resources (uri);

CREATE TABLE users (
    id         BLOB    NOT NULL PRIMARY KEY CHECK (length(id) = 16),
    username   TEXT    NOT NULL,
    password   TEXT,
    enabled    INTEGER NOT NULL,
    epoch      INTEGER NOT NULL CHECK (epoch BETWEEN 0 AND 4294967295),
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    doc        TEXT    NOT NULL
) STRICT, WITHOUT ROWID;
CREATE UNIQUE INDEX users_username ON users (username);

CREATE TABLE sessions (
    id         BLOB    NOT NULL PRIMARY KEY CHECK (length(id) = 16),
    digest     BLOB    NOT NULL,
    user       BLOB    NOT NULL,
    user_epoch INTEGER NOT NULL,
    auth_time  INTEGER NOT NULL,
    amr        TEXT    NOT NULL,
    user_agent TEXT    NOT NULL,
    seen_at    INTEGER NOT NULL,
    expires_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE UNIQUE INDEX sessions_digest ON sessions (digest);
CREATE INDEX sessions_user ON sessions (user);
CREATE INDEX sessions_expiry ON sessions (expires_at);

CREATE TABLE consents (
    id         BLOB    NOT NULL PRIMARY KEY CHECK (length(id) = 16),
    user       BLOB    NOT NULL,
    client     BLOB    NOT NULL,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    doc        TEXT    NOT NULL
) STRICT, WITHOUT ROWID;
CREATE UNIQUE INDEX consents_user_client ON consents (user, client);
CREATE INDEX consents_client ON consents (client);

CREATE TABLE families (
    id           BLOB    NOT NULL PRIMARY KEY CHECK (length(id) = 16),
    client       BLOB    NOT NULL,
    client_epoch INTEGER NOT NULL,
    user         BLOB    NOT NULL,
    user_epoch   INTEGER NOT NULL,
    session      BLOB,
    auth_time    INTEGER NOT NULL,
    refreshable  INTEGER NOT NULL,
    -- Whether `offline_access` is among the scopes: sign-out may spare those.
    offline      INTEGER NOT NULL,
    created_at   INTEGER NOT NULL,
    expires_at   INTEGER NOT NULL,
    revoked_at   INTEGER,
    doc          TEXT    NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX families_user ON families (user);
CREATE INDEX families_client ON families (client);
CREATE INDEX families_expiry ON families (expires_at);

CREATE TABLE codes (
    id           BLOB    NOT NULL PRIMARY KEY CHECK (length(id) = 16),
    digest       BLOB    NOT NULL,
    family       BLOB    NOT NULL,
    client       BLOB    NOT NULL,
    redirect_uri TEXT    NOT NULL,
    challenge    TEXT,
    nonce        TEXT,
    created_at   INTEGER NOT NULL,
    expires_at   INTEGER NOT NULL,
    spent_by     BLOB
) STRICT, WITHOUT ROWID;
CREATE UNIQUE INDEX codes_digest ON codes (digest);
CREATE INDEX codes_family ON codes (family);
-- A spent code is kept as long as its family, so that a replay can revoke it.
CREATE INDEX codes_expiry ON codes (expires_at) WHERE spent_by IS NULL;

-- Where the refresh tokens of a family stand: one row a family, however often they are rotated. A token
-- names its row, so there is no index of digests. `issued_us` (microseconds) is when the current token was
-- issued, which is when the previous one was spent; it is also how that one's answer is found.
CREATE TABLE rotations (
    family        BLOB    NOT NULL PRIMARY KEY CHECK (length(family) = 16),
    generation    INTEGER NOT NULL,
    digest        BLOB    NOT NULL,
    issued_us     INTEGER NOT NULL,
    expires_at    INTEGER NOT NULL,
    expiry_day    INTEGER NOT NULL,
    previous      BLOB,
    retry_request BLOB,
    rotated_by    BLOB
) STRICT, WITHOUT ROWID;
CREATE INDEX rotations_expiry ON rotations (expiry_day);

-- The sealed answers of rotations, which live for a minute: appended in the order of time, deleted from
-- the front.
CREATE TABLE retry_answers (
    issued_us INTEGER NOT NULL,
    family    BLOB    NOT NULL CHECK (length(family) = 16),
    answer    BLOB    NOT NULL,
    PRIMARY KEY (issued_us, family)
) STRICT, WITHOUT ROWID;

CREATE TABLE revocations (
    kind       INTEGER NOT NULL,
    id         BLOB    NOT NULL CHECK (length(id) = 16),
    epoch      INTEGER NOT NULL,
    client     BLOB    NOT NULL,
    expires_at INTEGER NOT NULL,
    PRIMARY KEY (kind, id)
) STRICT, WITHOUT ROWID;
CREATE INDEX revocations_expiry ON revocations (expires_at);

CREATE TABLE spent (
    id         BLOB    NOT NULL PRIMARY KEY CHECK (length(id) = 16),
    spent_by   BLOB    NOT NULL,
    expires_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX spent_expiry ON spent (expires_at);

CREATE TABLE signing_keys (
    kid          TEXT    NOT NULL PRIMARY KEY,
    alg          TEXT    NOT NULL,
    state        TEXT    NOT NULL,
    sealed       BLOB    NOT NULL,
    created_at   INTEGER NOT NULL,
    activated_at INTEGER,
    retired_at   INTEGER,
    gone_at      INTEGER
) STRICT, WITHOUT ROWID;

-- AUTOINCREMENT: a number is never used twice, and its order is the order of commits.
CREATE TABLE changes (
    seq  INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
    at   INTEGER NOT NULL,
    body TEXT    NOT NULL
) STRICT;

-- One row. `epoch` changes when history was rewritten by restoring a backup.
CREATE TABLE feed (
    one   INTEGER NOT NULL PRIMARY KEY CHECK (one = 1),
    epoch INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
INSERT INTO feed (one, epoch) VALUES (1, 1);
