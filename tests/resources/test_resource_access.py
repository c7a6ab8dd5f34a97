"""Who may ask what of the resource servers, as `farseal explain` tells it from the applications themselves."""

import os
from pathlib import Path

import pytest

from farseal.cli import main
from farseal.environment import SettingsError
from farseal_testing.issuer import Issuer
from resource_b.app import from_environment
from tests.resources.processes import notes_environment, reports_environment

DSN = "postgresql://notes@127.0.0.1:1/notes"


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch, issuer: Issuer) -> None:
    """The settings of both services, and of nothing else."""
    for name in [name for name in os.environ if name.startswith(("FARSEAL_", "RESOURCE_"))]:
        monkeypatch.delenv(name)
    both = notes_environment(DSN, issuer) | reports_environment("http://127.0.0.1:1", issuer)
    for name, value in both.items():
        monkeypatch.setenv(name, value)


@pytest.mark.parametrize(
    ("subject", "request_line", "verdict"),
    [
        pytest.param("resource_a.app:RULES", "GET /notes", "needs a good token with scope notes:read", id="rules-list"),
        pytest.param("resource_b.app:RULES", "GET /openapi.yaml", "public", id="rules-description"),
        pytest.param("resource_a.app:from_environment", "GET /notes", "scope notes:read", id="list"),
        pytest.param("resource_a.app:from_environment", "HEAD /notes/1", "scope notes:read", id="head"),
        pytest.param("resource_a.app:from_environment", "POST /notes", "scope notes:write", id="create"),
        pytest.param("resource_a.app:from_environment", "PUT /notes/1", "scope notes:write", id="replace"),
        pytest.param("resource_a.app:from_environment", "DELETE /notes/1", "scope notes:write", id="delete"),
        pytest.param("resource_a.app:from_environment", "PATCH /notes/1", "denied", id="patch"),
        pytest.param("resource_a.app:from_environment", "GET /notes/1/2", "denied", id="deeper"),
        pytest.param("resource_a.app:from_environment", "GET /metrics", "denied", id="metrics-are-elsewhere"),
        pytest.param("resource_a.app:from_environment", "GET /openapi.yaml", "public", id="description"),
        pytest.param(
            "resource_a.app:from_environment", "GET /.well-known/oauth-protected-resource", "public", id="metadata"
        ),
        pytest.param("resource_b.app:from_environment", "GET /reports/mine", "scope reports:read", id="mine"),
        pytest.param(
            "resource_b.app:from_environment", "GET /reports/org", "scope reports:read and role analyst", id="org"
        ),
        pytest.param("resource_b.app:from_environment", "GET /", "denied", id="root"),
    ],
)
def test_who_may_ask(
    environment: None, capsys: pytest.CaptureFixture[str], *, subject: str, request_line: str, verdict: str
) -> None:
    """Rules and handlers together; what neither names is denied."""
    with pytest.raises(SystemExit) as left:
        raise SystemExit(main(["explain", "--app", subject, *request_line.split(" ")]))
    told = capsys.readouterr().out
    assert verdict in told.splitlines()[-1]
    assert left.value.code == (3 if verdict == "denied" else 0)


def test_rules_of_two_origins_are_refused(environment: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The services bring their rules; a file that would open them up is a fault of the settings."""
    monkeypatch.setenv("FARSEAL_ACCESS_RULES_FILE", str(tmp_path / "open.rules"))
    with pytest.raises(SettingsError, match="FARSEAL_ACCESS_RULES_FILE"):
        from_environment()
