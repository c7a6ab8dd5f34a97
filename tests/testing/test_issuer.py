"""What the issuer of tests makes has its stated outcome at the real verifier, and its documents are taken as real."""

import asyncio
import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from aiohttp import web

from farseal.settings import TrustSettings
from farseal.web import requires, setup
from farseal_testing.forge import Forgery
from farseal_testing.issuer import Issuer, claims_of, session_of

ORDERS = "https://orders.example"
ROOT = Path(__file__).parents[2]
pytest_plugins = ["pytester"]


@requires("orders:read")
async def orders(request: web.Request) -> web.Response:
    return web.json_response({})


@pytest.fixture
def ask(aiohttp_client) -> Callable:
    """Give what a service answers that trusts like this: status and code."""

    async def started(trust: TrustSettings) -> Callable:
        app = web.Application()
        app.router.add_get("/orders", orders)
        setup(app, trust)
        client = await aiohttp_client(app)

        async def answer(token: str) -> tuple[int, str | None]:
            response = await client.get("/orders", headers={"Authorization": f"Bearer {token}"})
            return response.status, (await response.json()).get("code")

        return answer

    return started


async def until(answer: Callable, token: str, expected: tuple[int, str | None]) -> None:
    """Wait until a token is answered so."""
    async with asyncio.timeout(10):
        while await answer(token) != expected:  # noqa: ASYNC110 - a condition of the outside
            await asyncio.sleep(0.05)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, (200, None)),
        ({"lifetime": -3600}, (401, "token_expired")),
        ({"nbf": 4_000_000_000}, (401, "token_not_yet_valid")),
        ({"iss": "https://else.example"}, (401, "issuer_unknown")),
        ({"sub": None}, (401, "claims_malformed")),
        ({"status": None}, (401, "status_missing")),
        ({"header": {"typ": None}}, (401, "type_refused")),
        ({"audience": "https://else.example"}, (401, "audience_mismatch")),
        ({"audience": [ORDERS, "https://else.example"]}, (200, None)),
        ({"scope": "orders:write"}, (403, "scope_insufficient")),
        ({"scope": None}, (403, "scope_insufficient")),
    ],
    ids=str,
)
async def test_a_token_has_its_outcome(farseal_issuer: Issuer, ask, changes, expected) -> None:
    answer = await ask(farseal_issuer.trust(ORDERS))
    token = farseal_issuer.mint(**({"audience": ORDERS, "scope": "orders:read"} | changes))
    assert await answer(token) == expected


async def test_every_forgery_is_refused_with_its_code(farseal_issuer: Issuer, farseal_forgery: Forgery, ask) -> None:
    answer = await ask(farseal_issuer.trust(ORDERS))
    token = farseal_issuer.mint(ORDERS, "orders:read")
    assert await answer(token) == (200, None)
    assert await answer(farseal_issuer.forged(farseal_forgery, token)) == (401, farseal_forgery.code)


async def test_a_session_ends_for_all_of_its_tokens_and_no_others(farseal_issuer: Issuer, ask) -> None:
    answer = await ask(farseal_issuer.trust(ORDERS))
    first, other = (farseal_issuer.mint(ORDERS, "orders:read") for _ in range(2))
    second = farseal_issuer.mint(ORDERS, "orders:read", sid=session_of(first))
    farseal_issuer.revoke(second)
    await until(answer, first, (401, "token_revoked"))
    assert await answer(second) == (401, "token_revoked")
    assert await answer(other) == (200, None)


async def test_a_rotation_keeps_old_tokens_good_until_the_key_is_retired(farseal_issuer: Issuer, ask) -> None:
    answer = await ask(farseal_issuer.trust(ORDERS))
    before, old = farseal_issuer.mint(ORDERS, "orders:read"), farseal_issuer.signer
    assert farseal_issuer.rotate() != old
    await until(answer, farseal_issuer.mint(ORDERS, "orders:read"), (200, None))
    assert await answer(before) == (200, None)
    farseal_issuer.retire(old)
    await until(answer, before, (401, "key_unknown"))


async def test_a_withdrawn_key_is_refused_as_that(farseal_issuer: Issuer, ask) -> None:
    answer = await ask(farseal_issuer.trust(ORDERS))
    before, old = farseal_issuer.mint(ORDERS, "orders:read"), farseal_issuer.signer
    farseal_issuer.rotate()
    farseal_issuer.withdraw(old)
    await until(answer, before, (401, "key_revoked"))
    assert await answer(farseal_issuer.mint(ORDERS, "orders:read")) == (200, None)


async def test_documents_that_nobody_renews_are_refused_with_503(tmp_path, ask) -> None:
    issuer = Issuer(tmp_path)
    token = issuer.mint(ORDERS, "orders:read")
    issuer.age(86_400)
    answer = await ask(issuer.trust(ORDERS))
    assert (await answer(token))[0] == 503
    issuer.publish()
    await until(answer, token, (200, None))


async def test_a_service_that_polls_takes_the_same_documents(farseal_issuer: Issuer, tmp_path, ask) -> None:
    async with farseal_issuer.serving() as url:
        environment = farseal_issuer.settings(ORDERS) | {
            "FARSEAL_TRUST_URL": url,
            "FARSEAL_REFRESH_FLOOR_SECONDS": "1",
            "FARSEAL_REFRESH_CEILING_SECONDS": "1",
            "FARSEAL_STATUS_REFRESH_SECONDS": "1",
        }
        del environment["FARSEAL_TRUST_DIRECTORY"]
        answer = await ask(TrustSettings.from_environ(environment))
        token = farseal_issuer.mint(ORDERS, "orders:read")
        await until(answer, token, (200, None))
        farseal_issuer.revoke(token)
        await until(answer, token, (401, "token_revoked"))
        farseal_issuer.rotate()
        await until(answer, farseal_issuer.mint(ORDERS, "orders:read"), (200, None))


def numbers(issuer: Issuer) -> tuple[int, int]:
    """The sequence of the key set and the version of the list, as they are published."""
    keys = json.loads((issuer.directory / "jwks.json").read_bytes())
    return keys["farseal"]["sequence"], claims_of((issuer.directory / "status" / "one.jwt").read_text())["farseal"][
        "version"
    ]


def test_numbers_grow_with_what_they_count(farseal_issuer: Issuer) -> None:
    """As the auth server's: a sequence that grows by itself would hide a verifier that overlooks it."""
    token = farseal_issuer.mint(ORDERS)
    sequence, version = numbers(farseal_issuer)
    farseal_issuer.publish()
    assert numbers(farseal_issuer) == (sequence, version)
    farseal_issuer.revoke(token)
    farseal_issuer.revoke(token)
    assert numbers(farseal_issuer) == (sequence, version + 1)
    farseal_issuer.announce()
    assert numbers(farseal_issuer) == (sequence + 1, version + 1)


async def test_another_issuer_on_the_same_directory_counts_on(tmp_path, ask) -> None:
    """A verifier that runs meanwhile takes no lower number than it has seen."""
    first = Issuer(tmp_path)
    answer = await ask(first.trust(ORDERS))
    first.announce()
    first.revoke(first.mint(ORDERS, "orders:read"))
    before = numbers(first)
    second = Issuer(tmp_path)
    assert all(now > then for now, then in zip(numbers(second), before, strict=True))
    await until(answer, second.mint(ORDERS, "orders:read", kid=second.rotate()), (200, None))


def test_misuse_is_told(farseal_issuer: Issuer) -> None:
    with pytest.raises(LookupError, match="no token of the session"):
        farseal_issuer.revoke("nobody")
    with pytest.raises(LookupError, match="publishes no key"):
        farseal_issuer.activate("unknown")
    with pytest.raises(ValueError, match="signs: activate another"):
        farseal_issuer.retire(farseal_issuer.signer)


def test_what_is_refused_changes_nothing(farseal_issuer: Issuer) -> None:
    for kid, error in ((farseal_issuer.signer, ValueError), ("unknown", LookupError)):
        with pytest.raises(error):
            farseal_issuer.withdraw(kid)
    farseal_issuer.publish()
    published = json.loads((farseal_issuer.directory / "jwks.json").read_bytes())
    assert published["farseal"]["revoked"] == []
    with pytest.raises(LookupError, match="publishes no key"):
        farseal_issuer.mint(ORDERS, kid="unknown")


def test_the_plugin_imports_nothing_that_a_project_may_measure() -> None:
    """It is loaded before coverage begins: whatever it imports would count as never run."""
    program = (
        "import sys, farseal_testing.plugin; print([name for name in sys.modules if name.split('.')[0] == 'farseal'])"
    )
    done = subprocess.run([sys.executable, "-P", "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_readme_is_true(pytester: pytest.Pytester) -> None:
    """Its test is run as it stands, with nothing in conftest.py."""
    text = (ROOT / "testing" / "README.md").read_text()
    (program,) = re.findall(r"^```python\n# test_orders.py\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    pytester.makepyfile(test_orders=program)
    pytester.makeini("[pytest]\nasyncio_mode = auto\nasyncio_default_fixture_loop_scope = function\n")
    pytester.runpytest_subprocess("-q", "-p", "no:cacheprovider").assert_outcomes(passed=4 + len(Forgery))
