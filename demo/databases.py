"""Two databases and two roles on one PostgreSQL server, neither of which can open the other's."""

import base64
import hashlib
import hmac
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final
from urllib.parse import parse_qsl, quote, urlencode, urlsplit

import asyncpg

CONNECT_SECONDS: Final = 10.0
SCRAM_ITERATIONS: Final = 4096
"""PostgreSQL's own default; the passwords are 256 bits of chance, not words."""


class DatabaseError(Exception):
    """The server cannot be used. The message says why and holds no password."""


@dataclass(frozen=True, slots=True)
class Database:
    """A database and its owner, of the same name, with the password in clear."""

    name: str
    password: str

    def __repr__(self) -> str:
        """Name it; the password stays out of every log."""
        return f"Database({self.name!r})"


async def ensure_databases(admin_dsn: str, databases: Sequence[Database]) -> list[str]:
    """Bring roles and databases to what is wanted; nothing is ever dropped.

    Args:
        admin_dsn: of a superuser, or of a role with CREATEROLE and CREATEDB.
        databases: what is wanted.

    Returns:
        What was made, in words; empty when everything was there.

    Raises:
        DatabaseError: no server there, or the role may not do this.
    """
    try:
        connection = await asyncpg.connect(admin_dsn, timeout=CONNECT_SECONDS)
    except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, ValueError) as error:
        raise DatabaseError(f"cannot connect to the PostgreSQL of DEMO_DATABASE_URL: {error}") from None
    made: list[str] = []
    try:
        for database in databases:
            made += await _ensure(connection, database)
    except asyncpg.InsufficientPrivilegeError as error:
        raise DatabaseError(
            "the role of DEMO_DATABASE_URL may not create roles and databases "
            f"({error}); give it both: ALTER ROLE ... CREATEROLE CREATEDB"
        ) from None
    finally:
        await connection.close()
    return made


async def _ensure(connection: "asyncpg.Connection[asyncpg.Record]", database: Database) -> list[str]:
    """Make one role and its database; the role's password is set every time, it may be from an older state folder."""
    made: list[str] = []
    name = f'"{database.name}"'
    verifier = scram_verifier(database.password)
    if await connection.fetchval("SELECT 1 FROM pg_roles WHERE rolname = $1", database.name) is None:
        await connection.execute(f"CREATE ROLE {name} LOGIN PASSWORD '{verifier}'")
        made.append(f"role {database.name}")
    else:
        await connection.execute(f"ALTER ROLE {name} LOGIN PASSWORD '{verifier}'")
    if await connection.fetchval("SELECT 1 FROM pg_database WHERE datname = $1", database.name) is None:
        # Whoever is no superuser can give a database only to a role it is a member of.
        if not await connection.fetchval("SELECT rolsuper FROM pg_roles WHERE rolname = current_user"):
            await connection.execute(f"GRANT {name} TO CURRENT_USER")
        await connection.execute(f"CREATE DATABASE {name} OWNER {name} TEMPLATE template0 ENCODING 'UTF8'")
        made.append(f"database {database.name}")
    # Everybody may connect to every database unless told otherwise.
    await connection.execute(f"REVOKE ALL ON DATABASE {name} FROM PUBLIC")
    return made


def scram_verifier(password: str) -> str:
    """Give what the server stores of a password (RFC 5803), so that its logs never see the password itself."""
    salt = secrets.token_bytes(16)
    salted = hashlib.pbkdf2_hmac("sha256", password.encode(), salt, SCRAM_ITERATIONS)
    stored = hashlib.sha256(hmac.digest(salted, b"Client Key", "sha256")).digest()
    server = hmac.digest(salted, b"Server Key", "sha256")
    b64 = [base64.b64encode(part).decode() for part in (salt, stored, server)]
    return f"SCRAM-SHA-256${SCRAM_ITERATIONS}:{b64[0]}${b64[1]}:{b64[2]}"


def role_dsn(admin_dsn: str, database: Database) -> str:
    """Turn the administrator's connection string into the one of a role: same server, own name, own database."""
    parts = urlsplit(admin_dsn)
    where = parts.netloc.rpartition("@")[2]
    who = f"{quote(database.name, safe='')}:{quote(database.password, safe='')}"
    kept = [
        (name, value)
        for name, value in parse_qsl(parts.query)
        if name not in {"user", "password", "passfile", "dbname", "database"}
    ]
    return parts._replace(netloc=f"{who}@{where}", path=f"/{database.name}", query=urlencode(kept)).geturl()
