-- The first schema. Row keys are time-ordered UUIDs, times and epochs are integers (Unix seconds),
-- names compare byte by byte. A `doc` holds, as JSON, what is never searched for; a column always
-- overrides its doc.
--
-- Where a row is updated once in its life (a code or a token that is spent, a family that is
-- revoked) pages are left some room, so that the new version lies beside the old one and no index
-- is touched (a HOT update). Tables that the sweeper empties are vacuumed early and often.

CREATE TABLE clients (
    key        uuid    NOT NULL PRIMARY KEY,
    client_id  text    COLLATE "C" NOT NULL,
    enabled    boolean NOT NULL,
    epoch      bigint  NOT NULL CHECK (epoch BETWEEN 0 AND 4294967295),
    created_at bigint  NOT NULL,
    updated_at bigint  NOT NULL,
    doc        text    NOT NULL
);
CREATE UNIQUE INDEX clients_client_id ON clients (client_id);

CREATE TABLE resources (
    id         uuid   NOT NULL PRIMARY KEY,
    uri        text   COLLATE "C" NOT NULL,
    owner      uuid,
    created_at bigint NOT NULL
);
CREATE UNIQUE INDEX resources_uri ON resources (uri);

CREATE TABLE users (
    id         uuid    NOT NULL PRIMARY KEY,
    username   text    COLLATE "C" NOT NULL,
    password   text,
    enabled    boolean NOT NULL,
    epoch      bigint  NOT NULL CHECK (epoch BETWEEN 0 AND 4294967295),
    created_at bigint  NOT NULL,
    updated_at bigint  NOT NULL,
    doc        text    NOT NULL
);
CREATE UNIQUE INDEX users_username ON users (username);

-- `seen_at` moves at most once a minute.
CREATE TABLE sessions (
    id         uuid   NOT NULL PRIMARY KEY,
    digest     bytea  NOT NULL,
    user_id    uuid   NOT NULL,
    user_epoch bigint NOT NULL,
    auth_time  bigint NOT NULL,
    amr        text   NOT NULL,
    user_agent text   NOT NULL,
    seen_at    bigint NOT NULL,
    expires_at bigint NOT NULL
) WITH (fillfactor = 80, autovacuum_vacuum_scale_factor = 0.05, autovacuum_analyze_scale_factor = 0.05);
CREATE UNIQUE INDEX sessions_digest ON sessions (digest);
CREATE INDEX sessions_user ON sessions (user_id);
CREATE INDEX sessions_expiry ON sessions (expires_at);

CREATE TABLE consents (
    id         uuid   NOT NULL PRIMARY KEY,
    user_id    uuid   NOT NULL,
    client     uuid   NOT NULL,
    created_at bigint NOT NULL,
    updated_at bigint NOT NULL,
    doc        text   NOT NULL
);
CREATE UNIQUE INDEX consents_user_client ON consents (user_id, client);
CREATE INDEX consents_client ON consents (client);

CREATE TABLE families (
    id           uuid    NOT NULL PRIMARY KEY,
    client       uuid    NOT NULL,
    client_epoch bigint  NOT NULL,
    user_id      uuid    NOT NULL,
    user_epoch   bigint  NOT NULL,
    session      uuid,
    auth_time    bigint  NOT NULL,
    refreshable  boolean NOT NULL,
    -- Whether `offline_access` is among the scopes: sign-out may spare those.
    offline      boolean NOT NULL,
    created_at   bigint  NOT NULL,
    expires_at   bigint  NOT NULL,
    revoked_at   bigint,
    doc          text    NOT NULL
) WITH (fillfactor = 90, autovacuum_vacuum_scale_factor = 0.05, autovacuum_analyze_scale_factor = 0.05);
CREATE INDEX families_user ON families (user_id);
CREATE INDEX families_client ON families (client);
CREATE INDEX families_expiry ON families (expires_at);

CREATE TABLE codes (
    id           uuid   NOT NULL PRIMARY KEY,
    digest       bytea  NOT NULL,
    family       uuid   NOT NULL,
    client       uuid   NOT NULL,
    redirect_uri text   NOT NULL,
    challenge    text,
    nonce        text,
    created_at   bigint NOT NULL,
    expires_at   bigint NOT NULL,
    spent_by     uuid
) WITH (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.05, autovacuum_analyze_scale_factor = 0.05);
CREATE UNIQUE INDEX codes_digest ON codes (digest);
CREATE INDEX codes_family ON codes (family);
-- A spent code is kept as long as its family, so that a replay can revoke it.
CREATE INDEX codes_expiry ON codes (expires_at) WHERE spent_by IS NULL;

-- Where the refresh tokens of a family stand: one row a family, however often they are rotated. A token
-- names its row, so there is no index of digests. `issued_us` (microseconds, by this server's clock) is
-- when the current token was issued, which is when the previous one was spent; it is also how that one's
-- answer is found. Of the columns that a rotation sets only `expiry_day` has an index, and that moves at
-- most once a day.
CREATE TABLE rotations (
    family        uuid   NOT NULL PRIMARY KEY,
    generation    bigint NOT NULL,
    digest        bytea  NOT NULL,
    issued_us     bigint NOT NULL,
    expires_at    bigint NOT NULL,
    expiry_day    bigint NOT NULL,
    previous      bytea,
    retry_request bytea,
    rotated_by    uuid
) WITH (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.05, autovacuum_analyze_scale_factor = 0.05);
CREATE INDEX rotations_expiry ON rotations (expiry_day);

-- The sealed answers of rotations, which live for a minute: appended in the order of time, deleted from
-- the front.
CREATE TABLE retry_answers (
    issued_us bigint NOT NULL,
    family    uuid   NOT NULL,
    answer    bytea  NOT NULL,
    PRIMARY KEY (issued_us, family)
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000);

CREATE TABLE revocations (
    kind       smallint NOT NULL,
    id         uuid     NOT NULL,
    epoch      bigint   NOT NULL,
    client     uuid     NOT NULL,
    expires_at bigint   NOT NULL,
    PRIMARY KEY (kind, id)
) WITH (autovacuum_vacuum_scale_factor = 0.05, autovacuum_analyze_scale_factor = 0.05);
CREATE INDEX revocations_expiry ON revocations (expires_at);

CREATE TABLE spent (
    id         uuid   NOT NULL PRIMARY KEY,
    spent_by   uuid   NOT NULL,
    expires_at bigint NOT NULL
) WITH (autovacuum_vacuum_scale_factor = 0.05, autovacuum_analyze_scale_factor = 0.05);
CREATE INDEX spent_expiry ON spent (expires_at);

CREATE TABLE signing_keys (
    kid          text   COLLATE "C" NOT NULL PRIMARY KEY,
    alg          text   NOT NULL,
    state        text   NOT NULL,
    sealed       bytea  NOT NULL,
    created_at   bigint NOT NULL,
    activated_at bigint,
    retired_at   bigint,
    gone_at      bigint
);

-- `seq` is not a sequence: it is taken from `feed` by the last statement before COMMIT, and so its
-- order is the order of commits. `commit_id` tells a node whose connection broke whether its commit
-- was done.
CREATE TABLE changes (
    seq       bigint NOT NULL PRIMARY KEY,
    at        bigint NOT NULL,
    commit_id uuid   NOT NULL,
    body      text   NOT NULL
) WITH (autovacuum_vacuum_scale_factor = 0.05, autovacuum_analyze_scale_factor = 0.05);

-- One row, and the lock that puts commits in order. `epoch` changes when history was rewritten by
-- restoring a backup; `seq` is the number of the last change, kept when the change itself was swept.
CREATE TABLE feed (
    one   smallint NOT NULL PRIMARY KEY CHECK (one = 1),
    epoch bigint   NOT NULL,
    seq   bigint   NOT NULL
) WITH (fillfactor = 10, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000);
INSERT INTO feed (one, epoch, seq) VALUES (1, 1, 0);
