-- Notes of people and of clients, each owned by the subject of the token that created it.

DO $$
BEGIN
    -- The limits below count characters: in any other encoding they would count something else, and fewer texts fit.
    IF current_setting('server_encoding') <> 'UTF8' THEN
        RAISE EXCEPTION 'the notes database must be encoded in UTF8, not in %', current_setting('server_encoding');
    END IF;
END
$$;

CREATE TABLE notes (
    id         uuid PRIMARY KEY,
    -- Order of creation, the key of the list's cursor. A moment would not do: two notes may share one.
    position   bigint GENERATED ALWAYS AS IDENTITY,
    -- A subject is unique within its issuer only (RFC 7519 section 4.1.2), and so is an organisation.
    issuer     text COLLATE "C" NOT NULL,
    owner      text COLLATE "C" NOT NULL CHECK (char_length(owner) BETWEEN 1 AND 255),
    -- The owner's organisation when the note was created; a later move of the owner does not move the note.
    org_id     text COLLATE "C" CHECK (char_length(org_id) BETWEEN 1 AND 255),
    title      text NOT NULL CHECK (char_length(title) BETWEEN 1 AND 200),
    body       text NOT NULL CHECK (char_length(body) <= 20000),
    -- Kept, so that a list does not have to unpack every body to tell its length.
    characters integer GENERATED ALWAYS AS (char_length(body)) STORED,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    -- The entity tag: one more with every change.
    version    integer NOT NULL DEFAULT 1 CHECK (version >= 1)
);

CREATE UNIQUE INDEX notes_by_owner ON notes (issuer, owner, position);
CREATE UNIQUE INDEX notes_by_org ON notes (issuer, org_id, position) WHERE org_id IS NOT NULL;
