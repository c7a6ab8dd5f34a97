"""Sealed keys under another KEK, and private keys from outside."""

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    KeySerializationEncryption,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

from auth_server.keys.generation import KeyMaterialError, generate
from auth_server.keys.importing import import_key, read_private_key
from auth_server.keys.opening import KeyringError
from auth_server.keys.public_key import PublicKey
from auth_server.keys.requests import Refused
from auth_server.keys.rewrap import Rewrapped, rewrap
from auth_server.keys.sealing import Kek
from auth_server.storage import audit, publication, signing_keys
from farseal.environment import Secret
from farseal.service.postgres import create_pool
from tests.support.auth import migrate
from tests.support.postgres import NewDatabase
from tests.support.rotation import KEK, NOW, POLICY, Replica

NEW = Kek(bytes(range(40, 72)))


@pytest.fixture
async def pool(new_database: NewDatabase):
    dsn = await new_database()
    await migrate(dsn)
    async with await create_pool(Secret(dsn)) as pool:
        yield pool


async def test_after_a_rewrap_the_old_kek_is_superfluous(pool) -> None:
    """A replica with both opens what each sealed; afterwards one with the new KEK alone starts and signs on."""
    old = await Replica(pool).start()
    await old.turn(POLICY.rotation_seconds)
    await old.turn()
    both = await Replica(pool, time=old.time, keks=(NEW, KEK)).start()
    assert both.keyring.active_key().kid == old.keyring.active_key().kid
    with pytest.raises(KeyringError, match="sealed under KEK"):
        await Replica(pool, time=old.time, keks=(NEW,)).start()

    told: list[Rewrapped] = []
    async with pool.acquire() as conn:
        before = await publication.sequence(conn)
    found = await rewrap(pool, (NEW, KEK), actor="alice", now=NOW, reason="yearly", progress=told.append)
    assert found == Rewrapped(4, 0)
    assert told == [found]
    alone = await Replica(pool, time=old.time, keks=(NEW,)).start()
    assert alone.keyring.keys.said == old.keyring.keys.said
    async with pool.acquire() as conn:
        assert {key.kek_id for key in await signing_keys.list_all(conn)} == {NEW.id}
        entries = [entry for entry in await audit.entries(conn) if entry.action == "rewrap"]
        assert await publication.sequence(conn) == before
    assert len(entries) == 4
    assert (entries[0].before, entries[0].after) == ({"kek_id": KEK.id}, {"kek_id": NEW.id})
    assert await rewrap(pool, (NEW,), actor="alice", now=NOW) == Rewrapped(0, 0)
    for replica in (old, both, alone):
        await replica.close()


async def test_a_key_that_does_not_open_is_counted_and_the_others_go_on(pool) -> None:
    """Its row stays as it was."""
    replica = await Replica(pool).start()
    await replica.turn()
    await replica.close()
    kid = replica.keyring.active_key().kid
    await pool.execute("UPDATE signing_keys SET sealed_private_key = 'broken', kek_id = 'x' WHERE kid = $1", kid)
    found = await rewrap(pool, (NEW, KEK), actor="alice", now=NOW)
    assert found == Rewrapped(2, 0, (kid,))
    assert await pool.fetchval("SELECT sealed_private_key FROM signing_keys WHERE kid = $1", kid) == b"broken"


async def test_a_rewrap_that_ends_early_is_taken_up_again(pool, monkeypatch) -> None:
    """A few keys in each transaction: what was done stays done."""
    monkeypatch.setattr("auth_server.keys.rewrap.BATCH", 1)
    replica = await Replica(pool).start()
    await replica.turn()
    await replica.close()

    def stop(found: Rewrapped) -> None:
        assert found.left == 2
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        await rewrap(pool, (NEW, KEK), actor="alice", now=NOW, progress=stop)
    assert await pool.fetchval("SELECT count(*) FROM signing_keys WHERE kek_id = $1", NEW.id) == 1
    assert await rewrap(pool, (NEW, KEK), actor="alice", now=NOW) == Rewrapped(2, 0)


def exported(
    key, encoding: Encoding, form: PrivateFormat, protection: KeySerializationEncryption | None = None
) -> bytes:
    return key.private_bytes(encoding, form, protection or NoEncryption())


KEY = generate(2048)


@pytest.mark.parametrize(
    ("encoding", "form"),
    [
        (Encoding.PEM, PrivateFormat.PKCS8),
        (Encoding.PEM, PrivateFormat.TraditionalOpenSSL),
        (Encoding.DER, PrivateFormat.PKCS8),
    ],
)
async def test_a_private_key_from_outside_becomes_a_ready_one(pool, encoding, form) -> None:
    """Sealed, published nowhere, in the audit; a second time it is there already."""
    content = exported(KEY, encoding, form)
    async with pool.acquire() as conn:
        stored = await import_key(conn, content, (KEK,), actor="alice", reason="moved", now=NOW)
        again = await import_key(conn, content, (KEK,), actor="alice", reason="moved", now=NOW)
        assert not isinstance(stored, Refused)
        assert stored.kid == PublicKey.of(KEY.public_key()).kid
        assert isinstance(again, Refused)
        assert (await signing_keys.list_all(conn)) == (stored,)
        (entry,) = await audit.entries(conn)
        assert (entry.action, entry.kid, entry.reason) == ("import", stored.kid, "moved")
        assert await publication.sequence(conn) == 1
    assert stored.state == "ready"


def test_numbers_that_are_not_prime_are_found() -> None:
    """A key from outside may be made to be broken: its factors are proved prime."""
    numbers = KEY.private_numbers()
    p, q, e = 3 * 5 * numbers.p, numbers.q, 65537
    d = pow(e, -1, (p - 1) * (q - 1))
    forged = rsa.RSAPrivateNumbers(
        p, q, d, d % (p - 1), d % (q - 1), pow(q, -1, p), rsa.RSAPublicNumbers(e, p * q)
    ).private_key(unsafe_skip_rsa_key_validation=True)
    with pytest.raises(KeyMaterialError):
        read_private_key(exported(forged, Encoding.PEM, PrivateFormat.PKCS8))


@pytest.mark.parametrize(
    ("content", "says"),
    [
        pytest.param(b"", "not a private key", id="empty"),
        pytest.param(b"-----BEGIN nonsense", "not a private key", id="nonsense"),
        pytest.param(b"x" * 20_000, "longer than", id="long"),
        pytest.param(
            exported(ec.generate_private_key(ec.SECP256R1()), Encoding.PEM, PrivateFormat.PKCS8), "not an RSA", id="ec"
        ),
        pytest.param(
            exported(rsa.generate_private_key(65537, 1024), Encoding.PEM, PrivateFormat.PKCS8),  # noqa: S505 - refused
            "size or exponent",
            id="short",
        ),
        pytest.param(
            exported(rsa.generate_private_key(3, 2048), Encoding.PEM, PrivateFormat.PKCS8), "size or exponent", id="e3"
        ),
        pytest.param(
            exported(KEY, Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"sesame")),
            "pass phrase",
            id="protected",
        ),
        pytest.param(
            KEY.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo),
            "not a private key",
            id="public",
        ),
    ],
)
def test_what_is_no_key_to_sign_with_is_refused(content: bytes, says: str) -> None:
    """In words that quote nothing of it."""
    with pytest.raises(KeyMaterialError, match=says):
        read_private_key(content)
