-- Signing keys. The private half is sealed (AES-256-GCM) under a key-encryption key that this database never sees.
-- The words of "state" are those of the whole life of a key; each has the moment in which it began.

CREATE TABLE signing_keys (
    kid                text        PRIMARY KEY CHECK (kid ~ '^[A-Za-z0-9_-]{43}$'),
    state              text        NOT NULL
                                   CHECK (state IN ('announced', 'active', 'retiring', 'gone', 'revoked')),
    public_jwk         jsonb       NOT NULL,
    sealed_private_key bytea       NOT NULL,
    kek_id             text        NOT NULL,
    created_at         timestamptz NOT NULL,
    announced_at       timestamptz,
    activated_at       timestamptz,
    retired_at         timestamptz,
    gone_at            timestamptz,
    revoked_at         timestamptz,
    CHECK (state <> 'announced' OR announced_at IS NOT NULL),
    CHECK (state <> 'active' OR activated_at IS NOT NULL)
);

-- Whatever the replicas do at the same moment, one key signs.
CREATE UNIQUE INDEX signing_keys_one_active ON signing_keys (state) WHERE state = 'active';

COMMENT ON COLUMN signing_keys.kid IS 'RFC 7638 SHA-256 thumbprint of the public key';
COMMENT ON COLUMN signing_keys.kek_id IS 'which key-encryption key sealed the private half; derived one way from it';
