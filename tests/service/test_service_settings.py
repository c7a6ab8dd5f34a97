"""What every service of ours is told about itself, and that faults of every kind are told at once."""

import pytest

from auth_server.settings import AuthServerSettings
from farseal.environment import SettingsError
from farseal.service.settings import ServiceSettings
from resource_a.settings import Settings as NotesSettings
from resource_b.settings import Settings as ReportsSettings

SERVICES = [
    pytest.param(
        AuthServerSettings, {"ISSUER": "https://a.example", "DATABASE_URL": "postgresql:///a", "KEK_FILE": "k"}
    ),
    pytest.param(NotesSettings, {"DATABASE_URL": "postgresql:///a"}),
    pytest.param(ReportsSettings, {"NOTES_URL": "http://notes"}),
]


def faults(cls: type[ServiceSettings], values: dict[str, str]) -> tuple[str, ...]:
    with pytest.raises(SettingsError) as caught:
        cls.from_environ({cls.PREFIX + name: value for name, value in values.items()})
    return caught.value.faults


@pytest.mark.parametrize(("cls", "required"), SERVICES)
def test_the_two_listeners_are_two(cls, required) -> None:
    """The probes' port is internal: one port for both is a fault, told with all the others."""
    [told] = faults(cls, required | {"PORT": "7000", "OPS_PORT": "7000"})
    assert told == f"{cls.PREFIX}OPS_PORT: must not be PORT, the two listeners serve different people"
    several = faults(cls, {"PORT": "7000", "OPS_PORT": "7000", "LOG_LEVEL": "loud"})
    assert told in several
    assert len(several) == 2 + len(required)


@pytest.mark.parametrize(("cls", "required"), SERVICES)
def test_addresses_know_the_variable_to_change(cls, required) -> None:
    environ = {cls.PREFIX + name: value for name, value in required.items()}
    settings = cls.from_environ(environ | {cls.PREFIX + "PORT": "0", cls.PREFIX + "OPS_PORT": "0"})
    assert (settings.listen.port, settings.listen.setting) == (0, f"{cls.PREFIX}PORT")
    assert (settings.ops.host, settings.ops.setting) == ("127.0.0.1", f"{cls.PREFIX}OPS_PORT")


def test_five_faults_of_five_kinds_are_told_at_once() -> None:
    """Malformed, out of range, unknown, missing, and a rule over two settings."""
    values = {
        "DATABASE_URL": "mysql://x",
        "RSA_BITS": "1024",
        "PORTT": "1",
        "KEK_FILE": "/published/kek",
        "PUBLISH_DIRECTORY": "/published",
    }
    named = [
        fault.split(":")[0].removeprefix(AuthServerSettings.PREFIX) for fault in faults(AuthServerSettings, values)
    ]
    assert sorted(named) == ["DATABASE_URL", "ISSUER", "KEK_FILE", "PORTT", "RSA_BITS"]
