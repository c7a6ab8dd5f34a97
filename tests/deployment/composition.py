"""What is wrong with a compose file, by the promises of docs/deployment.md: each breach is a line, `service: what`."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import yaml

from tests.deployment.dockerfile import Stage, last

Document = dict[str, Any]

SERVICE_KEYS: Final = frozenset(
    {
        "build", "cap_add", "cap_drop", "command", "cpus", "depends_on", "entrypoint", "environment", "healthcheck",
        "image", "init", "logging", "mem_limit", "networks", "pids_limit", "ports", "read_only", "restart", "secrets",
        "security_opt", "shm_size", "stop_grace_period", "tmpfs", "user", "volumes",
    }
)  # fmt: skip
"""Of what both docker-compose 1.29 and `docker compose` know, what we use."""
TOP_KEYS: Final = frozenset({"networks", "secrets", "services", "volumes"})
"""No ``name`` at the top: docker-compose 1.29 refuses it."""
EDGE: Final = "edge"
"""The one network with a way out, upon which ports are published."""
ISSUING: Final = ("auth_server", "auth_db", "auth_gateway")
RESOURCES: Final = ("resource_a", "resource_b")
SERVING: Final = {"auth_server": "AUTH_SERVER", "resource_a": "RESOURCE_A", "resource_b": "RESOURCE_B"}
"""Services that drain, and how their settings begin."""
SECRET_NAME: Final = re.compile(r"PASSWORD|SECRET|TOKEN|KEK\b|KEK_|PRIVATE|DATABASE_URL|DSN|CREDENTIAL")
SECRET_VALUE: Final = re.compile(r"://[^/\s]*:[^/\s]*@|-----BEGIN|\b[0-9a-f]{24,}\b")
STOPPED_SECONDS: Final = 10
"""After which the engine kills where nothing is said."""


def load(*files: Path) -> Document:
    """Read compose files, later ones over earlier ones, as compose does with the keys that ours override."""
    whole: Document = yaml.safe_load(files[0].read_text())
    for file in files[1:]:
        over: Document = yaml.safe_load(file.read_text())
        assert {key for key in over if not key.startswith("x-")} <= {"services", "secrets"}, file.name
        whole["secrets"] |= over.get("secrets", {})
        for name, service in over["services"].items():
            assert set(service) <= {"environment", "entrypoint", "secrets", "user"}, f"{file.name}: {name}"
            kept = whole["services"][name]
            merged = {
                "environment": kept.get("environment", {}) | service.get("environment", {}),
                "secrets": [*kept.get("secrets", []), *service.get("secrets", [])],
            }
            whole["services"][name] = kept | service | merged
    return whole


def seconds(text: str) -> float:
    """Give a duration of a compose file, ``35s`` say."""
    found = re.fullmatch(r"(\d+)s", text)
    assert found, text
    return float(found[1])


def breaches(document: Document, images: dict[str, Stage], *, drain: float, grace: float) -> list[str]:
    """Give every promise that a document breaks.

    Args:
        document: as `load` gives it.
        images: the stages of the Dockerfile.
        drain: seconds that a service drains where its environment does not say.
        grace: seconds that it then gives to requests in flight, likewise.
    """
    found = [f"the file: {key} is not known everywhere" for key in _foreign(document, TOP_KEYS)]
    for name, network in document["networks"].items():
        if (network or {}).get("internal", False) is not (name != EDGE):
            found.append(f"network {name}: only {EDGE} has a way out")
    for name, service in document["services"].items():
        told = (
            *(f"{key} is not known everywhere" for key in _foreign(service, SERVICE_KEYS)),
            *_confined(service),
            *_lifetime(name, service, images, drain=drain, grace=grace),
            *_networks(name, service, document["services"]),
            *_data(name, service, document["secrets"]),
        )
        found += [f"{name}: {one}" for one in told]
    return found


def _foreign(mapping: Document, known: frozenset[str]) -> list[str]:
    return sorted(key for key in mapping if key not in known and not key.startswith("x-"))


def _confined(service: Document) -> Iterator[str]:
    """What a container may, and how much of the machine it may take."""
    database = service["build"]["target"] == "postgres"
    if service.get("cap_drop") != ["ALL"]:
        yield "keeps capabilities"
    if service.get("cap_add", []) != (["CHOWN", "DAC_OVERRIDE", "FOWNER", "SETGID", "SETUID"] if database else []):
        yield "adds capabilities"
    if service.get("security_opt") != ["no-new-privileges:true"]:
        yield "may gain privileges"
    if service.get("read_only") is not True:
        yield "its root can be written"
    if not database and service.get("init") is not True:
        yield "has no init"
    for limit in ("mem_limit", "cpus", "pids_limit"):
        if not service.get(limit):
            yield f"no {limit}"
    logging = service.get("logging", {})
    if logging.get("driver") != "json-file" or not {"max-size", "max-file"} <= set(logging.get("options", {})):
        yield "its logs grow without a bound"
    if str(service.get("user", "")).startswith("0"):
        yield "is root"


def _lifetime(name: str, service: Document, images: dict[str, Stage], *, drain: float, grace: float) -> Iterator[str]:
    """How it is started again, known to be well, and stopped."""
    target = service["build"]["target"]
    if not re.fullmatch(rf"farseal/{target}:\$\{{FARSEAL_TAG:-dev}}", service["image"]):
        yield f"its image is {service['image']}"
    if set(service["build"].get("args", {})) != {"VERSION", "REVISION"}:
        yield "its image does not say what it is made of"
    once = service.get("restart") == "no"
    if not once and service.get("restart") != "unless-stopped":
        yield "is not started again"
    if once is not (service.get("healthcheck") == {"disable": True}):
        yield "a one-shot has no health, and whatever stays has"
    if not once and (last(images, target, "HEALTHCHECK") or "NONE") == "NONE":
        yield "its image has no health check"
    prefix = SERVING.get(name)
    if prefix is not None:
        environment = service.get("environment", {})
        drained = float(environment.get(f"{prefix}_DRAIN_SECONDS", drain))
        given = float(environment.get(f"{prefix}_GRACE_SECONDS", grace))
        if seconds(service.get("stop_grace_period", f"{STOPPED_SECONDS}s")) <= drained + given:
            yield "is killed before it has drained"


def _networks(name: str, service: Document, services: Document) -> Iterator[str]:
    """Who is reached by whom, and from where."""
    networks = set(service.get("networks", ["default"]))
    if "default" in networks or "network_mode" in service:
        yield "is on a network that nobody named"
    for port in service.get("ports", []):
        if not re.fullmatch(r"127\.0\.0\.1:\$\{FARSEAL_[A-Z]+_PORT:-\d+\}:\d+", str(port)):
            yield f"publishes {port} beyond this machine"
    if (EDGE in networks) is not bool(service.get("ports")):
        yield f"is on {EDGE} and publishes no port, or the reverse"
    if name in RESOURCES:
        for other in ISSUING:
            if shared := networks & set(services[other].get("networks", ["default"])):
                yield f"shares {', '.join(sorted(shared))} with {other}"


def _data(name: str, service: Document, secrets: Document) -> Iterator[str]:
    """What it knows, and what it can change."""
    for key, value in service.get("environment", {}).items():
        if SECRET_VALUE.search(str(value)) or (SECRET_NAME.search(key) and not key.endswith(("_FILE", "_SECONDS"))):
            yield f"{key} shows a secret"
        if key.endswith("_FILE") and not str(value).startswith("/run/secrets/"):
            yield f"{key} is not in /run/secrets"
    for secret in service.get("secrets", []):
        source = secret if isinstance(secret, str) else secret["source"]
        if set(secrets.get(source, {})) != {"file"}:
            yield f"{source} is no file of secrets"
    for volume in service.get("volumes", []):
        source, path, *mode = volume.split(":")
        if source.startswith((".", "/", "~", "$")):
            yield f"{path} is a folder of the host"
        if source == "published" and mode != ["ro"] and name != "auth_server":
            yield "can change the published documents"
