-- Counts of login attempts, one row for each address, each account and each pair of them that tried of late.

CREATE TABLE throttle (
    -- SHA-256 of the kind and the value: people type passwords into the username field.
    key      bytea PRIMARY KEY,
    -- GCRA's theoretical arrival time, in seconds since the epoch: the moment at which the allowance is whole again.
    -- A row whose moment has passed says the same as no row, so it may be deleted at any time.
    whole_at bigint NOT NULL,
    -- Whether the latest attempt was let through. Nothing reads it but the RETURNING of the statement that wrote it:
    -- RETURNING sees only the new row, and the decision was made on the old one.
    admitted boolean NOT NULL,

    CONSTRAINT throttle_key_is_sha256 CHECK (octet_length(key) = 32)
);

CREATE INDEX throttle_whole_at ON throttle (whole_at);
