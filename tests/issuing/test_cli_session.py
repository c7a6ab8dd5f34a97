"""How a command tells what went wrong: in a line, and without what a row holds."""

import asyncpg
import pytest

from auth_server.cli.session import Refusal, told


def test_a_rule_of_the_database_is_named_without_the_row_that_broke_it() -> None:
    """PostgreSQL's detail may quote the whole row: hashes of passwords, sealed keys."""
    error = asyncpg.CheckViolationError('new row for relation "users" violates check constraint "users_username_form"')
    error.detail = "Failing row contains (1, alice, $argon2id$v=19$..."
    assert "argon2id" in str(error)
    with pytest.raises(Refusal) as refused, told():
        raise error
    assert refused.value.format_message() == (
        'the database refused: new row for relation "users" violates check constraint "users_username_form"'
        " (nothing was changed)"
    )
