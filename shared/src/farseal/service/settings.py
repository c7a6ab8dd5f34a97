"""What every service of ours is told about itself: where it listens, what it logs, how it ends."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import ClassVar, Final, Self

from aiohttp import web

from farseal.environment import choice, duration, load, rule, setting
from farseal.environment import port as tcp_port
from farseal.service.listen import Listen
from farseal.service.logs import Format, configure_logging
from farseal.service.metrics import ServiceMetrics
from farseal.service.ops import NO_PAGES, Pages, Readiness
from farseal.service.run import run

LONGEST_SECONDS: Final = 600.0
"""Of a drain or a grace. Whoever runs the service kills it long before."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceSettings:
    """The part that services have in common; a service adds its own fields and gives the ports their defaults.

    ``PREFIX`` begins every variable and ends with an underscore.
    """

    PREFIX: ClassVar[str]

    host: str = setting("Address of the API", unit="host name or IP address", default="127.0.0.1")
    port: int = setting("Port of the API", unit="TCP port", parse=tcp_port)
    ops_host: str = setting(
        "Address of /livez, /readyz and /metrics; keep it internal", unit="host name or IP address", default="127.0.0.1"
    )
    ops_port: int = setting("Port of /livez, /readyz and /metrics", unit="TCP port", parse=tcp_port)
    drain_seconds: float = setting(
        "How long to go on serving after SIGTERM while /readyz already refuses",
        unit="seconds",
        default=5.0,
        parse=duration(0, LONGEST_SECONDS),
    )
    grace_seconds: float = setting(
        "How long requests in flight may take to finish once the listener is closed",
        unit="seconds",
        default=20.0,
        parse=duration(0, LONGEST_SECONDS),
    )
    log_level: str = setting(
        "Least level that is logged",
        unit="debug, info, warning or error",
        default="info",
        parse=choice("debug", "info", "warning", "error"),
    )
    log_format: Format = setting(
        "Form of the log lines", unit="json or console", default="json", parse=choice("json", "console")
    )

    @classmethod
    def from_environ(cls, environ: Mapping[str, str]) -> Self:
        """Read this service's variables.

        Raises:
            SettingsError: naming every fault at once.
        """
        return load(cls, environ, cls.PREFIX)

    @rule("host", "port", "ops_host", "ops_port")
    def two_listeners(self) -> Iterator[str]:
        """The listeners serve different people; port 0 lets the system choose."""
        if self.port and (self.host, self.port) == (self.ops_host, self.ops_port):
            yield "OPS_PORT: must not be PORT, the two listeners serve different people"

    @property
    def listen(self) -> Listen:
        """Where the API is."""
        return Listen(self.host, self.port, f"{self.PREFIX}PORT")

    @property
    def ops(self) -> Listen:
        """Where the probes are."""
        return Listen(self.ops_host, self.ops_port, f"{self.PREFIX}OPS_PORT")

    def run(
        self, app: web.Application, *, readiness: Readiness, metrics: ServiceMetrics, pages: Pages = NO_PAGES
    ) -> int:
        """`farseal.service.run.run`, where and for how long these settings say; gives the exit code."""
        return run(
            app,
            listen=self.listen,
            ops=self.ops,
            readiness=readiness,
            metrics=metrics,
            drain_seconds=self.drain_seconds,
            grace_seconds=self.grace_seconds,
            pages=pages,
        )

    def configure_logging(self, service: str) -> None:
        """Log as these settings say, in the service's name."""
        configure_logging(service, level=self.log_level, format=self.log_format)
