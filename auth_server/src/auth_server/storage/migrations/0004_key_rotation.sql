-- The whole life of a signing key, what was promised to verifiers about it, and who changed what.
--
-- A promise is stored when it is made: "activate_after" (does not sign before) and "keep_until" (is not dropped before).
-- Whatever the policy says later may put it off and never brings it forward.

ALTER TABLE signing_keys
    DROP CONSTRAINT signing_keys_state_check,
    DROP CONSTRAINT signing_keys_check,
    DROP CONSTRAINT signing_keys_check1,
    ALTER COLUMN sealed_private_key DROP NOT NULL,
    ALTER COLUMN kek_id DROP NOT NULL,
    ADD COLUMN sealed_public_key bytea,
    ADD COLUMN bits              integer,
    ADD COLUMN published_at      timestamptz,
    ADD COLUMN activate_after    timestamptz,
    ADD COLUMN keep_until        timestamptz,
    ADD COLUMN token_seconds     integer NOT NULL DEFAULT 0,
    ADD COLUMN signatures        bigint  NOT NULL DEFAULT 0,
    ADD COLUMN revoked_reason    text;

-- The version before published every key that it had made, and let tokens live a day at most.
UPDATE signing_keys
   SET bits           = length(public_jwk ->> 'n') * 6 / 8 * 8,
       token_seconds  = 86400,
       announced_at   = coalesce(announced_at, created_at),
       published_at   = coalesce(announced_at, created_at),
       activate_after = coalesce(announced_at, created_at),
       activated_at   = CASE WHEN state = 'active' THEN coalesce(activated_at, created_at) ELSE activated_at END,
       retired_at     = CASE WHEN state = 'retiring' THEN coalesce(retired_at, transaction_timestamp())
                             ELSE retired_at END,
       keep_until     = CASE WHEN state = 'retiring' THEN coalesce(retired_at, transaction_timestamp()) + interval '2 days' END,
       gone_at        = CASE WHEN state = 'gone' THEN coalesce(gone_at, transaction_timestamp()) ELSE gone_at END,
       revoked_at     = CASE WHEN state = 'revoked' THEN coalesce(revoked_at, transaction_timestamp())
                             ELSE revoked_at END;

ALTER TABLE signing_keys
    ADD CONSTRAINT signing_keys_state
        CHECK (state IN ('ready', 'announced', 'active', 'retiring', 'gone', 'revoked')),
    ADD CONSTRAINT signing_keys_ready_is_not_published
        CHECK (state <> 'ready' OR (announced_at IS NULL AND published_at IS NULL AND activated_at IS NULL)),
    ADD CONSTRAINT signing_keys_announced_has_a_moment
        CHECK (state <> 'announced' OR announced_at IS NOT NULL),
    -- What may be signed with has promised how long its tokens live: its retirement is reckoned from that.
    ADD CONSTRAINT signing_keys_active_has_promised
        CHECK (state <> 'active' OR (announced_at IS NOT NULL AND activated_at IS NOT NULL AND token_seconds > 0)),
    ADD CONSTRAINT signing_keys_retiring_has_promised
        CHECK (state <> 'retiring' OR (retired_at IS NOT NULL AND keep_until IS NOT NULL)),
    ADD CONSTRAINT signing_keys_keep_until_is_later
        CHECK (keep_until IS NULL OR keep_until >= retired_at),
    ADD CONSTRAINT signing_keys_gone_has_a_moment
        CHECK (state <> 'gone' OR gone_at IS NOT NULL),
    ADD CONSTRAINT signing_keys_revoked_has_a_moment
        CHECK (state <> 'revoked' OR revoked_at IS NOT NULL),
    ADD CONSTRAINT signing_keys_reason_is_of_a_revocation
        CHECK (revoked_reason IS NULL OR state = 'revoked'),
    ADD CONSTRAINT signing_keys_published_has_promised
        CHECK ((published_at IS NULL) = (activate_after IS NULL) AND activate_after >= published_at),
    ADD CONSTRAINT signing_keys_counts
        CHECK (token_seconds >= 0 AND signatures >= 0 AND bits > 0),
    -- A key that comes back from a published document has no private half and never signs; its public half is sealed,
    -- so that who can write to this table alone cannot have a key published. Of a revoked one the kid is enough.
    ADD CONSTRAINT signing_keys_have_what_they_need
        CHECK (CASE WHEN state = 'revoked' THEN true
                    WHEN state IN ('ready', 'announced', 'active') THEN sealed_private_key IS NOT NULL
                    ELSE num_nonnulls(sealed_private_key, sealed_public_key) = 1 END),
    ADD CONSTRAINT signing_keys_sealed_names_its_kek
        CHECK (kek_id IS NOT NULL OR num_nonnulls(sealed_private_key, sealed_public_key) = 0);

COMMENT ON COLUMN signing_keys.published_at IS 'when a publication that holds the key was first confirmed';
COMMENT ON COLUMN signing_keys.token_seconds IS 'longest life of a token that the key may have signed; only grows';

-- One row. Verifiers refuse a set of keys whose sequence is below the one that they hold; 2^53 - 1 is the largest integer
-- that every reader of JSON keeps whole (RFC 8259 section 6).
CREATE TABLE publication (
    one      boolean PRIMARY KEY DEFAULT true CHECK (one),
    sequence bigint  NOT NULL CHECK (sequence BETWEEN 1 AND 9007199254740991)
);
INSERT INTO publication (sequence) VALUES (1);

-- Who changed which key, and why. The trigger holds whoever uses these tables; the owner of the table could remove it.
CREATE TABLE audit (
    id     bigint      PRIMARY KEY GENERATED ALWAYS AS IDENTITY,
    at     timestamptz NOT NULL,
    actor  text        NOT NULL CHECK (actor <> ''),
    action text        NOT NULL CHECK (action <> ''),
    kid    text,
    reason text,
    before jsonb,
    after  jsonb
);
CREATE INDEX audit_kid ON audit (kid, id);

CREATE FUNCTION audit_refuse() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'the table audit is append-only: % is refused', TG_OP USING ERRCODE = 'restrict_violation';
END
$$;
CREATE TRIGGER audit_is_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON audit
    FOR EACH STATEMENT EXECUTE FUNCTION audit_refuse();
ALTER TABLE audit ENABLE ALWAYS TRIGGER audit_is_append_only;
