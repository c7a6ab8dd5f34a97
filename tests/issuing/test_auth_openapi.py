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

from tests.support.auth import NOTES, PASSWORD, READ, SECRET, AuthServer, Running, basic, environment, migrate, seed
from tests.support.postgres import run_apart

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
