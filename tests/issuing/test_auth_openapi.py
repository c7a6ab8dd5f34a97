"""The description of the HTTP interface is true: schemathesis holds the running server to it."""

import itertools
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
import requests
import schemathesis
import yaml
from hypothesis import HealthCheck, settings
from openapi_spec_validator import validate
from schemathesis.checks import load_all_checks
from schemathesis.specs.openapi.checks import (
    ignored_auth,
    missing_required_header,
    positive_data_acceptance,
    unsupported_method,
)

from tests.support.auth import (
    NOTES,
    PASSWORD,
    READ,
    SECRET,
    AuthServer,
    Running,
    basic,
    claims_of,
    environment,
    migrate,
    seed,
)
from tests.support.postgres import run_apart

ISSUER = "http://127.0.0.1:9000"
DESCRIPTION = Path(str(files("auth_server") / "openapi.yaml"))

load_all_checks()
REFUSED = ["400", "401", "403", "404", "405", "406", "408", "413", "415", "429", "431"]
config = schemathesis.Config.from_dict({"checks": {"negative_data_rejection": {"expected-statuses": REFUSED}}})
api = schemathesis.openapi.from_path(DESCRIPTION, config=config)

bounded = settings(
    max_examples=60,
    derandomize=True,
    database=None,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
"""The same requests in every run, and few enough that all of them take seconds."""

Case = schemathesis.Case[Any]

NOT_HERE = [
    ignored_auth,  # credentials may come in the body: the header alone is never required
    positive_data_acceptance,  # a well-formed request for what nobody may have is refused
    missing_required_header,
    unsupported_method,  # its own test knows which methods there are
]

_callers = itertools.count()


@pytest.fixture(scope="module")
def server(database_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    async def prepare() -> None:
        await migrate(database_url)
        await seed(database_url)

    run_apart(prepare())
    directory = tmp_path_factory.mktemp("auth")
    with AuthServer(environment(database_url, directory, TRUSTED_PROXIES="127.0.0.0/8")) as running:
        yield running


@pytest.fixture(scope="module")
def session() -> Iterator[requests.Session]:
    with requests.Session() as session:
        yield session


def caller() -> dict[str, str]:
    """Another address for every request, or the throttle would answer most of them."""
    number = next(_callers)
    return {"X-Forwarded-For": f"198.{18 + number // 65536 % 2}.{number // 256 % 256}.{number % 256}"}


def test_the_description_is_openapi() -> None:
    """Valid OpenAPI 3.1, every reference resolved."""
    validate(yaml.safe_load(DESCRIPTION.read_text(encoding="utf-8")))


@pytest.mark.parametrize(
    ("path", "headers", "body"),
    [
        pytest.param("/api/tokens", {}, {"username": "bob", "password": PASSWORD}, id="login"),
        pytest.param("/api/tokens", basic("bob", PASSWORD), {"scope": READ, "resource": [NOTES]}, id="login-by-basic"),
        pytest.param(
            "/oauth2/token",
            basic("batch", SECRET),
            {"grant_type": "client_credentials", "resource": [NOTES]},
            id="client",
        ),
    ],
)
def test_a_token_looks_as_described(
    server: Running, session: requests.Session, path: str, headers: dict[str, str], body: dict[str, Any]
) -> None:
    """The answer that everything else is about, held to its schema."""
    operation = api[path]["POST"]
    media_type = "application/json" if path == "/api/tokens" else "application/x-www-form-urlencoded"
    case = operation.Case(body=body, media_type=media_type)
    response = case.call_and_validate(
        base_url=server.url, session=session, headers=caller() | headers, excluded_checks=NOT_HERE
    )
    assert response.status_code == 200


@api.parametrize()
@bounded
def test_strangers_get_only_described_answers(case: Case, server: Running, session: requests.Session) -> None:
    """Whatever is sent, well-formed or not: a described status, media type, header and body, and never a 500."""
    case.call_and_validate(base_url=server.url, session=session, headers=caller(), excluded_checks=NOT_HERE)


@api.include(method="POST").parametrize()
@bounded
def test_those_who_prove_who_they_are_get_only_described_answers(
    case: Case, server: Running, session: requests.Session
) -> None:
    """The same behind good credentials, where grants are decided and tokens signed."""
    known = basic("bob", PASSWORD) if case.path == "/api/tokens" else basic("batch", SECRET)
    headers = caller() | known
    case.call_and_validate(base_url=server.url, session=session, headers=headers, excluded_checks=NOT_HERE)


@api.include(path_regex="^/api/(logout|sessions)").parametrize()
@bounded
def test_those_who_hold_a_token_get_only_described_answers(
    case: Case, server: Running, session: requests.Session
) -> None:
    """The same at the account API, behind a good token of a session that is living."""
    token = log_in(server, session)["access_token"]
    headers = caller() | {"Authorization": f"Bearer {token}"}
    case.call_and_validate(base_url=server.url, session=session, headers=headers, excluded_checks=NOT_HERE)


def log_in(server: Running, session: requests.Session) -> dict[str, Any]:
    """A session of bob's, with a token for the account API."""
    body = {"username": "bob", "password": PASSWORD, "resource": [ISSUER]}
    answer: dict[str, Any] = session.post(f"{server.url}/api/tokens", json=body, headers=caller()).json()
    return answer


def test_a_session_looks_as_described_from_its_beginning_to_its_end(server: Running, session: requests.Session) -> None:
    """Refreshed, introspected, listed, ended in each of the ways: every answer is a success, and held to its schema."""

    def called(method: str, path: str, headers: dict[str, str], *, status: int, **case: Any) -> Any:
        if "body" in case:
            case["media_type"] = "application/x-www-form-urlencoded"
        made = api[path][method].Case(**case)
        response = made.call_and_validate(
            base_url=server.url, session=session, headers=caller() | headers, excluded_checks=NOT_HERE
        )
        assert response.status_code == status
        return response.json() if response.content else None

    begun = log_in(server, session)
    asked = {"grant_type": "refresh_token", "refresh_token": begun["refresh_token"], "client_id": "login"}
    fresh = called("POST", "/oauth2/token", {}, status=200, body=asked | {"resource": [ISSUER]})
    own = called("POST", "/oauth2/token", basic("batch", SECRET), status=200, body={"grant_type": "client_credentials"})
    said = called("POST", "/oauth2/introspect", basic("batch", SECRET), status=200, body={"token": own["access_token"]})
    assert said["active"]
    bearer = {"Authorization": f"Bearer {fresh['access_token']}"}
    found = called("GET", "/api/sessions", bearer, status=200)["sessions"]
    assert [one["id"] for one in found if one["current"]] == [claims_of(fresh["access_token"])["sid"]]
    other = claims_of(log_in(server, session)["access_token"])["sid"]
    called("DELETE", "/api/sessions/{id}", bearer, status=204, path_parameters={"id": other})
    called("POST", "/api/logout", bearer, status=204)
    revoked = {"token": log_in(server, session)["refresh_token"], "client_id": "login"}
    called("POST", "/oauth2/revoke", {}, status=200, body=revoked)
