"""The reports API is what its openapi.yaml says, request by generated request."""

from importlib.resources import files
from pathlib import Path

import pytest

from farseal_testing.issuer import Issuer
from tests.resources.openapi import nonconformities
from tests.resources.people import token_of
from tests.resources.stack import Service


@pytest.fixture
async def token(notes: Service, issuer: Issuer) -> str:
    """An analyst with something to report on."""
    token = token_of(issuer, lifetime=3600, roles=["analyst", "org_admin"])
    for _ in range(2):
        await notes.ask("POST", "/notes", token, json={"title": "t", "body": "b"})
    return token


async def test_reports_conform(reports: Service, token: str, tmp_path: Path) -> None:
    """Over a really running notes service. Three operations of four: the description itself is not among them."""
    code, report = await nonconformities(reports, token, tmp_path, examples=10)
    assert code == 0, report
    assert "3 selected / 3 total" in report


@pytest.mark.parametrize(
    ("truth", "lie"),
    [
        pytest.param("count: { type: integer", "count: { type: string", id="a-type"),
        pytest.param("'401': { $ref", "'402': { $ref", id="a-status"),
        pytest.param("security: [{ accessToken: ['reports:read'] }]", "security: []", id="openness"),
    ],
)
async def test_a_description_that_lies_is_caught(
    reports: Service, token: str, tmp_path: Path, *, truth: str, lie: str
) -> None:
    """The check can fail: one false word in the description is enough."""
    text = files("resource_b").joinpath("openapi.yaml").read_text()
    assert truth in text
    false = tmp_path / "openapi.yaml"
    false.write_text(text.replace(truth, lie))
    code, report = await nonconformities(reports, token, tmp_path, examples=2, described_by=str(false))
    assert code == 1, report
    assert "Failures:" in report
