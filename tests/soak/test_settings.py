"""What can be set of a soak is held to what it can do."""

import pytest

from demo.services import OPS_OFFSET, Addresses
from demo.state import State
from farseal.environment import SettingsError
from soak.fleet import HIGHEST_OFFSET, MOST_REPLICAS, Fleet
from soak.settings import Settings


def test_it_needs_no_setting() -> None:
    settings = Settings.from_environ({})
    assert (settings.seconds, settings.rate, settings.replicas, settings.control) == (60, 0, 3, True)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("SECONDS", "4"),
        ("RATE", "-1"),
        ("REPLICAS", "0"),
        ("REPLICAS", str(MOST_REPLICAS + 1)),
        ("CONTROL", "perhaps"),
        ("ROTATION_SECONDS", "5"),
        ("PORT", "80"),
        ("SECOND", "60"),
    ],
)
def test_what_it_cannot_do_is_refused(name: str, value: str) -> None:
    """A rotation in less than the announcement takes, too; and a name that is misspelt."""
    with pytest.raises(SettingsError, match=f"SOAK_{name}"):
        Settings.from_environ({f"SOAK_{name}": value})


@pytest.mark.parametrize("replicas", [1, 3, MOST_REPLICAS])
def test_every_process_has_ports_of_its_own(tmp_path, replicas: int) -> None:
    """None twice, none outside of the range that is kept for it."""
    state = State(tmp_path)
    fleet = Fleet(Addresses(9400), state, lock=-1, replicas=replicas, rotation_seconds=6)
    described = fleet.describe(tmp_path / "auth-dsn", tmp_path / "notes-dsn")
    used = [service.port for service in described]
    used += [service.port + OPS_OFFSET for service in described if service.name != "static_host"]
    assert len(set(used)) == len(used)
    assert set(used) == set(fleet.ports)
    assert max(used) <= 9400 + HIGHEST_OFFSET
    assert len({service.name for service in described}) == replicas + 3
    assert [service.settings["AUTH_SERVER_ISSUER"] for service in described[:replicas]] == [
        "http://127.0.0.1:9400"
    ] * replicas
