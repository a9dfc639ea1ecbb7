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

CREATE TABLE refresh_tokens (
    id            BLOB    NOT NULL PRIMARY KEY CHECK (length(id) = 16),
    digest        BLOB    NOT NULL,
    family        BLOB    NOT NULL,
    client        BLOB    NOT NULL,
    created_at    INTEGER NOT NULL,
    expires_at    INTEGER NOT NULL,
    spent_by      BLOB,
    spent_at      INTEGER,
    successor     BLOB,
    retry_request BLOB,
    retry_answer  BLOB
) STRICT, WITHOUT ROWID;
CREATE UNIQUE INDEX refresh_tokens_digest ON refresh_tokens (digest);
CREATE INDEX refresh_tokens_family ON refresh_tokens (family);
CREATE INDEX refresh_tokens_expiry ON refresh_tokens (expires_at);
CREATE INDEX refresh_tokens_retry ON refresh_tokens (spent_at) WHERE retry_answer IS NOT NULL;

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
