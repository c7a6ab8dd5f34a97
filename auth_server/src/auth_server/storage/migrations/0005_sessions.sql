-- Sessions: grants that live longer than one token, what ends them, and the published lists that say so.

-- An index of a status list is given to one grant and never again: lists are filled once, and taken away whole.
CREATE TABLE status_lists (
    -- Part of the list's address. Random, so that it tells nothing of how many there are.
    id              text COLLATE "C" PRIMARY KEY CHECK (id ~ '^[A-Za-z0-9_-]{16}$'),
    size            integer     NOT NULL CHECK (size BETWEEN 1024 AND 16777216 AND size & (size - 1) = 0),
    -- Of the permutation that turns the count of indexes given out into an index.
    permutation_key bytea       NOT NULL CHECK (octet_length(permutation_key) = 16),
    taken           integer     NOT NULL DEFAULT 0,
    -- Grows with every revocation, under a lock of the row: who has read up to a version has read all up to it.
    version         bigint      NOT NULL DEFAULT 1 CHECK (version BETWEEN 1 AND 9007199254740991),
    created_at      timestamptz NOT NULL DEFAULT now(),
    -- When a publication that holds the list was first confirmed; from open_after on indexes are given out.
    published_at    timestamptz,
    open_after      timestamptz,
    -- No index is given out any more.
    closed_at       timestamptz,

    CONSTRAINT status_lists_taken CHECK (taken BETWEEN 0 AND size),
    CONSTRAINT status_lists_published_has_promised
        CHECK ((published_at IS NULL) = (open_after IS NULL) AND open_after >= published_at)
);

-- The bits that are set. They outlive the grant: a bit goes with its list.
CREATE TABLE status_revocations (
    list_id text    COLLATE "C" NOT NULL REFERENCES status_lists ON DELETE CASCADE,
    index   integer NOT NULL CHECK (index >= 0),
    version bigint  NOT NULL,

    PRIMARY KEY (list_id, index)
);
CREATE INDEX status_revocations_version ON status_revocations (list_id, version);

-- One login of one person, or one standing permission of a client: the `sid` of its tokens. Neither user nor client is
-- a foreign key: what was granted is told for a while after the account is gone, and ids are never given again.
CREATE TABLE grants (
    id            uuid        PRIMARY KEY,
    client_id     text COLLATE "C" NOT NULL,
    -- NULL: the client's own.
    user_id       uuid,
    -- The most that its tokens may say.
    audience      text[]      NOT NULL,
    scopes        text[]      NOT NULL,
    created_at    timestamptz NOT NULL,
    -- The absolute deadline, of its access tokens too.
    expires_at    timestamptz NOT NULL,
    last_used_at  timestamptz NOT NULL,
    -- For people to recognise it by, as of the last use.
    address       text        NOT NULL DEFAULT '',
    agent         text        NOT NULL DEFAULT '',
    -- SHA-256 of the one refresh token that is good; NULL: there is none. The nonce and the server's own key make it.
    refresh_hash  bytea,
    refresh_nonce bytea,
    generation    integer     NOT NULL DEFAULT 0 CHECK (generation >= 0),
    -- When the generations before this one were used, the last one last; no more than the grace window asks for.
    recent_uses   timestamptz[] NOT NULL DEFAULT '{}',
    -- The client's own that its next token belongs to.
    standing      boolean     NOT NULL DEFAULT false,
    status_list   text COLLATE "C" NOT NULL REFERENCES status_lists,
    status_index  integer     NOT NULL CHECK (status_index >= 0),
    ended_at      timestamptz,
    ended_by      text,
    -- Nothing of it matters from then on: every token is dead everywhere, and people have been told long enough.
    keep_until    timestamptz NOT NULL,

    CONSTRAINT grants_ended_has_a_reason CHECK ((ended_at IS NULL) = (ended_by IS NULL)),
    CONSTRAINT grants_refresh_is_whole
        CHECK (num_nonnulls(refresh_hash, refresh_nonce) IN (0, 2)
               AND octet_length(refresh_hash) = 32 AND octet_length(refresh_nonce) = 32),
    CONSTRAINT grants_times CHECK (expires_at >= created_at AND keep_until >= created_at),
    CONSTRAINT grants_standing_is_a_clients CHECK (NOT standing OR user_id IS NULL),
    CONSTRAINT grants_told CHECK (octet_length(address) <= 64 AND char_length(agent) <= 256)
) WITH (fillfactor = 85);
-- Never one index for two. None of the indexes here holds a column that a refresh writes, so that it stays cheap.
CREATE UNIQUE INDEX grants_status ON grants (status_list, status_index);
CREATE UNIQUE INDEX grants_one_standing ON grants (client_id) WHERE standing;
CREATE INDEX grants_user ON grants (user_id) WHERE user_id IS NOT NULL;
CREATE INDEX grants_client ON grants (client_id, created_at);
CREATE INDEX grants_keep_until ON grants (keep_until);

-- How a client's refresh tokens behave; NULL: the server's own setting.
ALTER TABLE clients
    ADD COLUMN refresh_policy           text NOT NULL DEFAULT 'rotate'
        CONSTRAINT clients_refresh_policy_known CHECK (refresh_policy IN ('rotate', 'extend', 'none')),
    ADD COLUMN session_idle_seconds     integer
        CONSTRAINT clients_session_idle_seconds_range CHECK (session_idle_seconds BETWEEN 60 AND 31536000),
    ADD COLUMN session_absolute_seconds integer
        CONSTRAINT clients_session_absolute_seconds_range CHECK (session_absolute_seconds BETWEEN 60 AND 31536000),
    ADD COLUMN refresh_grace_seconds    integer
        CONSTRAINT clients_refresh_grace_seconds_range CHECK (refresh_grace_seconds BETWEEN 0 AND 300);

-- Moves on when a password is set, not when the same one is hashed anew: a login that began before is refused after.
ALTER TABLE users ADD COLUMN password_changed_at timestamptz;

-- The client that may introspect tokens for this resource (RFC 7662).
ALTER TABLE resources
    ADD COLUMN introspection_client text COLLATE "C" REFERENCES clients ON DELETE SET NULL;
