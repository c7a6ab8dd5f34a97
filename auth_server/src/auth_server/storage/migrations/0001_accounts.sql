-- People, machines, resources, and who may ask for what.
--
-- Names that are compared byte for byte (RFC 9068 section 4, RFC 6749 section 3.3) are COLLATE "C": the order is the
-- same on every server, and an upgrade of the system's collations cannot damage their indexes.
-- No default is now(): the moment is the caller's, so that one request has one time and tests have theirs.

CREATE TABLE users (
    -- The `sub` of tokens: made once, never reused, unlike a username that people change.
    id            uuid PRIMARY KEY,
    username      text COLLATE "C" NOT NULL,
    -- NULL: the account exists and nobody can log in with a password yet.
    password_hash text,
    disabled_at   timestamptz,
    -- What resources may have mapped into claims (resource_claims).
    attributes    jsonb NOT NULL DEFAULT '{}',
    created_at    timestamptz NOT NULL,
    updated_at    timestamptz NOT NULL,

    CONSTRAINT users_username_unique UNIQUE (username),
    -- The whole rule is auth_server.accounts.names.username; here is the part that another writer would get wrong.
    -- No colon: HTTP Basic could not carry it (RFC 7617 section 2).
    CONSTRAINT users_username_form CHECK (
        char_length(username) BETWEEN 1 AND 128
        AND username !~ '[A-Z:[:space:][:cntrl:]]'
    ),
    CONSTRAINT users_password_hash_form CHECK (password_hash LIKE '$argon2id$%'),
    -- Attributes travel in every token: the bound keeps headers below what proxies take.
    CONSTRAINT users_attributes_form CHECK (
        jsonb_typeof(attributes) = 'object' AND octet_length(attributes::text) <= 4096
    )
);

CREATE TABLE clients (
    id                   text COLLATE "C" PRIMARY KEY,
    name                 text NOT NULL,
    -- SHA-256 of a generated secret of 256 bits: nothing to guess, so nothing to slow down. NULL: no secret.
    secret_hash          bytea,
    grant_types          text[] NOT NULL DEFAULT '{}',
    -- NULL: the server's own setting.
    access_token_seconds integer,
    disabled_at          timestamptz,
    created_at           timestamptz NOT NULL,
    updated_at           timestamptz NOT NULL,

    -- A client's id is the `sub` of its own tokens, a user's id is a UUID: the two must never be mistaken
    -- (RFC 9068 section 5).
    CONSTRAINT clients_id_form CHECK (
        id ~ '^[a-z0-9][a-z0-9._-]{0,63}$'
        AND id !~ '^[0-9a-f]{8}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{12}$'
    ),
    CONSTRAINT clients_name_form CHECK (char_length(name) BETWEEN 1 AND 200 AND name !~ '[[:cntrl:]]'),
    CONSTRAINT clients_secret_hash_form CHECK (octet_length(secret_hash) = 32),
    CONSTRAINT clients_grant_types_known CHECK (grant_types <@ ARRAY['client_credentials']),
    -- Only a client that can prove who it is may act for itself (RFC 6749 section 4.4).
    CONSTRAINT clients_client_credentials_secret CHECK (
        secret_hash IS NOT NULL OR NOT 'client_credentials' = ANY (grant_types)
    ),
    -- The client of POST /api/tokens (at the end of this file) is us: nobody else may ever prove to be it.
    CONSTRAINT clients_login_proves_nothing CHECK (id <> 'login' OR (secret_hash IS NULL AND grant_types = '{}')),
    CONSTRAINT clients_access_token_seconds_range CHECK (access_token_seconds BETWEEN 10 AND 86400)
);

CREATE TABLE resources (
    -- The `aud` of tokens and the `resource` of requests: an absolute URI without a fragment (RFC 8707 section 2),
    -- in the characters of RFC 3986.
    audience   text COLLATE "C" PRIMARY KEY,
    name       text NOT NULL,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,

    CONSTRAINT resources_audience_form CHECK (
        octet_length(audience) <= 512
        AND audience ~ '^[A-Za-z][A-Za-z0-9+.-]*:[][A-Za-z0-9._~:/?@!$&''()*+,;=%-]+$'
    ),
    CONSTRAINT resources_name_form CHECK (char_length(name) BETWEEN 1 AND 200 AND name !~ '[[:cntrl:]]')
);

-- A scope means something at a resource, never by itself: two resources may define the same word.
CREATE TABLE resource_scopes (
    audience text COLLATE "C" NOT NULL REFERENCES resources ON DELETE CASCADE,
    scope    text COLLATE "C" NOT NULL,

    PRIMARY KEY (audience, scope),
    -- scope-token of RFC 6749 section 3.3: no space, no quote, no backslash.
    CONSTRAINT resource_scopes_form CHECK (octet_length(scope) <= 128 AND scope ~ '^[]!#-[^-~]+$')
);

-- Which attribute of a user this resource sees, and as which claim.
CREATE TABLE resource_claims (
    audience  text COLLATE "C" NOT NULL REFERENCES resources ON DELETE CASCADE,
    claim     text COLLATE "C" NOT NULL,
    attribute text COLLATE "C" NOT NULL,

    PRIMARY KEY (audience, claim),
    CONSTRAINT resource_claims_form CHECK (
        claim ~ '^[A-Za-z_][A-Za-z0-9_.:/-]{0,127}$' AND attribute ~ '^[A-Za-z_][A-Za-z0-9_.-]{0,63}$'
    ),
    -- An attribute must not speak with the voice of the issuer.
    CONSTRAINT resource_claims_not_registered CHECK (claim NOT IN (
        'iss', 'sub', 'aud', 'exp', 'nbf', 'iat', 'jti', 'client_id', 'scope', 'roles', 'groups', 'entitlements',
        'auth_time', 'acr', 'amr', 'sid', 'cnf', 'act', 'may_act', 'status', 'azp', 'nonce', 'at_hash', 'c_hash',
        'events', 'txn', 'authorization_details'
    ))
);

-- A client may name this resource. The scopes it may have there are apart, so that none is an answer too.
CREATE TABLE client_resources (
    client_id  text COLLATE "C" NOT NULL REFERENCES clients ON DELETE CASCADE,
    audience   text COLLATE "C" NOT NULL REFERENCES resources ON DELETE CASCADE,
    -- One of those meant when a request names no resource (RFC 9068 section 3).
    is_default boolean NOT NULL DEFAULT false,

    PRIMARY KEY (client_id, audience)
);
CREATE INDEX client_resources_audience ON client_resources (audience);

CREATE TABLE client_scopes (
    client_id text COLLATE "C" NOT NULL,
    audience  text COLLATE "C" NOT NULL,
    scope     text COLLATE "C" NOT NULL,

    PRIMARY KEY (client_id, audience, scope),
    FOREIGN KEY (client_id, audience) REFERENCES client_resources ON DELETE CASCADE,
    -- A scope that its resource no longer defines is nobody's any more.
    FOREIGN KEY (audience, scope) REFERENCES resource_scopes ON DELETE CASCADE
);
CREATE INDEX client_scopes_scope ON client_scopes (audience, scope);

CREATE TABLE user_resources (
    user_id  uuid NOT NULL REFERENCES users ON DELETE CASCADE,
    audience text COLLATE "C" NOT NULL REFERENCES resources ON DELETE CASCADE,

    PRIMARY KEY (user_id, audience)
);
CREATE INDEX user_resources_audience ON user_resources (audience);

CREATE TABLE user_scopes (
    user_id  uuid NOT NULL,
    audience text COLLATE "C" NOT NULL,
    scope    text COLLATE "C" NOT NULL,

    PRIMARY KEY (user_id, audience, scope),
    FOREIGN KEY (user_id, audience) REFERENCES user_resources ON DELETE CASCADE,
    FOREIGN KEY (audience, scope) REFERENCES resource_scopes ON DELETE CASCADE
);
CREATE INDEX user_scopes_scope ON user_scopes (audience, scope);

CREATE TABLE user_roles (
    user_id uuid NOT NULL REFERENCES users ON DELETE CASCADE,
    role    text COLLATE "C" NOT NULL,

    PRIMARY KEY (user_id, role),
    CONSTRAINT user_roles_form CHECK (role ~ '^[A-Za-z0-9][A-Za-z0-9._:-]{0,63}$')
);

-- The client in whose name people log in at POST /api/tokens: `client_id` is required in every token (RFC 9068
-- section 2.2), and that endpoint is ours. It has no secret, so it can never ask for a token of its own.
INSERT INTO clients (id, name, created_at, updated_at)
VALUES ('login', 'Login with username and password', 'epoch', 'epoch');
