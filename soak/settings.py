"""What can be set of a soak. `make soak` takes the first five without their prefix."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from demo.settings import CHECKOUT
from farseal.environment import boolean, integer, load, path, setting
from soak.fleet import HIGHEST_OFFSET, MOST_REPLICAS

PREFIX: Final = "SOAK_"


@dataclass(frozen=True, slots=True)
class Settings:
    """All have a default."""

    seconds: int = setting("How long, the control left out", unit="seconds", default=60, parse=integer(5, 86400))
    rate: int = setting(
        "Requests in a second; 0 for as many as are answered", unit="1/s", default=0, parse=integer(0, 100_000)
    )
    replicas: int = setting("Replicas of the auth server", unit="processes", default=3, parse=integer(1, MOST_REPLICAS))
    sessions: int = setting(
        "Sessions of people at a time, who refresh and log out; 0 for none",
        unit="sessions",
        default=20,
        parse=integer(0, 1000),
    )
    control: bool = setting("Rotate naively at the end, which has to fail", unit="boolean", default=True, parse=boolean)
    requests: int = setting(
        "Requests after which it ends early", unit="requests", default=20_000_000, parse=integer(1000, 1_000_000_000)
    )
    rotation_seconds: int = setting(
        "How long a key signs; 6 is the least that the other times allow",
        unit="seconds",
        default=6,
        parse=integer(6, 3600),
    )
    kill_seconds: int = setting(
        "Between two kills of a replica, at least; 0 for none", unit="seconds", default=5, parse=integer(0, 3600)
    )
    port: int = setting(
        "First of its ports", unit="TCP port", default=9400, parse=integer(1024, 65535 - HIGHEST_OFFSET)
    )
    state_dir: Path = setting(
        "Where it keeps its databases, keys, logs and figures", unit="path", default=CHECKOUT / ".run", parse=path
    )

    @classmethod
    def from_environ(cls, environ: Mapping[str, str]) -> "Settings":
        """Read ``SOAK_*``.

        Raises:
            SettingsError: naming every fault at once.
        """
        return load(cls, environ, PREFIX)
