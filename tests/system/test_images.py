"""What each image holds: itself, the library and what they declare. Nothing to build with, nobody else's code."""

import json
import os
import re
from dataclasses import dataclass
from typing import Any

import pytest
import pytest_asyncio
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from packageurl import PackageURL

from farseal_testing.commands import run
from scripts import sbom
from tests.system.conftest import ROOT

TAG = os.environ.get("FARSEAL_TAG", "dev")
LIBRARY = frozenset(
    {
        "aiohappyeyeballs", "aiohttp", "aiosignal", "anyio", "attrs", "cffi", "cryptography", "farseal", "frozenlist",
        "idna", "msgspec", "multidict", "propcache", "pycparser", "pyjwt", "typing-extensions", "watchfiles", "yarl",
    }
)  # fmt: skip
SERVICE = LIBRARY | {"prometheus-client", "structlog"}
COMMAND_LINE = {"argon2-cffi", "argon2-cffi-bindings", "click", "markdown-it-py", "mdurl", "pygments", "pyyaml", "rich"}
MEMBERS = frozenset({"farseal", "farseal-auth-server", "farseal-resource-a", "farseal-resource-b"})
MODULES = frozenset({"auth_server", "resource_a", "resource_b"})
NOWHERE = ("farseal_testing", "demo", "tests", "pytest", "pip", "ensurepip", "setuptools", "uv", "uv_build", "wheel")
"""Modules that are in no image."""
TOOLS = frozenset(
    {
        "pip", "pip3", "easy_install", "uv", "uvx", "gcc", "g++", "cc", "c++", "cpp", "clang", "ld", "as", "make",
        "cmake", "git",
    }
)  # fmt: skip
"""Programs that are in no image: what builds, or installs Python packages."""
ACCOUNTS = frozenset(f"/etc/{name}-" for name in ("passwd", "shadow", "group", "gshadow", "subuid", "subgid"))
"""What useradd keeps from before."""
MEGABYTE = 1_000_000


@dataclass(frozen=True, slots=True)
class Image:
    """What an image is to be.

    ``files`` are those that it adds to its base beside /opt/farseal; ``megabytes`` is the most that all it adds may
    take: what was measured, and a tenth.
    """

    base: str
    user: str
    entrypoint: list[str] | None
    command: list[str] | None
    health: str | None
    ports: frozenset[str]
    files: frozenset[str]
    megabytes: float
    lock: str = ""
    module: str = ""
    distributions: frozenset[str] = frozenset()


def python(lock: str, module: str, distributions: frozenset[str], **rest: Any) -> Image:
    """Give what an image of ours is to be that stands on Python."""
    told = {"command": [], "ports": frozenset(), "health": None, "files": frozenset()} | rest
    return Image(
        base="python:3.13-slim", user="10001:10001", lock=lock, module=module, distributions=distributions, **told
    )


def ready(port: int) -> str:
    """Give the health check of a service, by the port of its probes."""
    return f"python -m farseal.service.probe http://127.0.0.1:{port}/readyz"


def nginx(ports: list[str], health: str, *parts: str) -> Image:
    """Give what an image of ours is to be that stands on nginx, by the parts of its configuration."""
    return Image(
        base="nginx:stable",
        user="101:101",
        entrypoint=["nginx", "-e", "/dev/stderr", "-c", "/etc/nginx/farseal.conf"],
        command=[],
        health=f"curl -fsS -o /dev/null http://127.0.0.1:8080{health}",
        ports=frozenset({"80/tcp", *ports}),
        files=frozenset(
            {
                "/etc/nginx/farseal.conf",
                "/etc/nginx/farseal-tls.conf",
                *(f"/etc/nginx/farseal/{part}.conf" for part in ("main", "http", "tls", "problems", *parts)),
            }
        ),
        megabytes=0.1,
    )


AUTH_SERVER = SERVICE | COMMAND_LINE | {"asyncpg", "farseal-auth-server"}
IMAGES = {
    "library": python("farseal", "", LIBRARY, entrypoint=None, command=["python"], megabytes=40),
    "auth-server": python(
        "auth-server",
        "auth_server",
        AUTH_SERVER,
        entrypoint=["farseal-auth"],
        command=["serve"],
        health=ready(9100),
        ports=frozenset({"9000/tcp", "9100/tcp"}),
        megabytes=76,
    ),
    "resource-a": python(
        "resource-a",
        "resource_a",
        SERVICE | {"asyncpg", "farseal-resource-a"},
        entrypoint=["python", "-m", "resource_a"],
        health=ready(9101),
        ports=frozenset({"9001/tcp", "9101/tcp"}),
        megabytes=57,
    ),
    "resource-b": python(
        "resource-b",
        "resource_b",
        SERVICE | {"farseal-resource-b"},
        entrypoint=["python", "-m", "resource_b"],
        health=ready(9102),
        ports=frozenset({"9002/tcp", "9102/tcp"}),
        megabytes=41,
    ),
    "seed": python(
        "auth-server",
        "auth_server",
        AUTH_SERVER,
        entrypoint=["sh", "/usr/local/share/farseal-seed/seed.sh"],
        health="NONE",
        ports=frozenset({"9000/tcp", "9100/tcp"}),
        files=frozenset({"/usr/local/share/farseal-seed/manifest.yaml", "/usr/local/share/farseal-seed/seed.sh"}),
        megabytes=76,
    ),
    "keys": nginx(["8080/tcp"], "/jwks.json", "static", "documents"),
    "auth-gateway": nginx(["9000/tcp"], "/", "common", "auth"),
    "resource-gateway": nginx(["9001/tcp", "9002/tcp"], "/", "common", "notes", "reports"),
    "postgres": Image(
        base="postgres:18",
        user="",
        entrypoint=["farseal-postgres"],
        command=["postgres"],
        health="pg_isready -q -h 127.0.0.1 -U postgres",
        ports=frozenset({"5432/tcp"}),
        files=frozenset({"/docker-entrypoint-initdb.d/role.sh", "/usr/local/bin/farseal-postgres"}),
        megabytes=0.1,
    ),
}
PYTHON = sorted(name for name, image in IMAGES.items() if image.lock)

HELD = """
import importlib.metadata, importlib.util, json, re, sys
from pathlib import Path
def plain(name):
    return re.sub(r"[-_.]+", "-", name).lower()
found = {plain(one.name): one for one in importlib.metadata.distributions()}
recorded = {str(file.locate()) for one in found.values() for file in one.files or ()}
print(json.dumps({
    "versions": {name: one.version for name, one in found.items()},
    "importable": [name for name in json.loads(sys.argv[1]) if importlib.util.find_spec(name) is not None],
    "stray": [str(file) for file in Path("/opt/farseal/lib").rglob("*.py") if str(file) not in recorded],
    "tests": [str(file) for name in json.loads(sys.argv[2]) if name in found for file in found[name].files
              if re.search(r"(^|/)(tests?|conftest)(/|\\\\.py)", str(file))],
}))
"""


async def inspect(reference: str) -> dict[str, Any]:
    """Give what the engine knows of an image."""
    found: list[dict[str, Any]] = json.loads((await run("docker", "image", "inspect", reference)).out)
    return found[0]


async def inside(reference: str, *command: str) -> str:
    """Run a program as root in a container without a network, in place of what the image runs."""
    first, *rest = command
    options = ("--rm", "--network", "none", "--user", "0", "--entrypoint", first)
    return (await run("docker", "run", *options, reference, *rest, seconds=120)).out


async def files(reference: str) -> set[str]:
    """Give every file and link of an image."""
    words = ("find", "/", "-xdev", "(", "-type", "f", "-o", "-type", "l", ")", "-print")
    return set((await inside(reference, *words)).splitlines())


@pytest_asyncio.fixture(scope="module", loop_scope="module", autouse=True)
async def library() -> None:
    """The image of the library alone, which compose.yaml does not build."""
    revision = os.environ.get("FARSEAL_REVISION", "unknown")
    words = ("--quiet", "--target", "library", "--build-arg", f"REVISION={revision}", "--tag", f"farseal/library:{TAG}")
    await run("docker", "build", *words, str(ROOT), seconds=900)


@pytest.mark.parametrize("name", PYTHON)
async def test_an_image_holds_what_it_declares_and_nobody_elses_code(name: str, held) -> None:
    """The distributions are listed here one by one: another one is a decision. Their versions are the lock's."""
    wanted = IMAGES[name]
    members = wanted.distributions & MEMBERS
    asked = (json.dumps([*MODULES, *NOWHERE]), json.dumps(sorted(members)))
    told = json.loads(await inside(f"farseal/{name}:{TAG}", "python", "-P", "-c", HELD, *asked))
    assert set(told["versions"]) == wanted.distributions
    text = (ROOT / "requirements" / f"{wanted.lock}.txt").read_text()
    lock = dict(re.findall(r"^([a-z0-9-]+)==(\S+)", text, re.MULTILINE))
    locked = {
        distribution: version for distribution, version in told["versions"].items() if distribution not in members
    }
    assert locked.items() <= lock.items()
    assert told["importable"] == ([wanted.module] if wanted.module else [])
    assert told["stray"] == []
    assert told["tests"] == []
    listed = " ".join(f"{distribution} {version}" for distribution, version in sorted(told["versions"].items()))
    held(f"farseal/{name} holds what it declares", f"{len(told['versions'])} distributions: {listed}")


@pytest.mark.parametrize("name", IMAGES)
async def test_an_image_adds_to_its_base_what_is_listed_and_no_tool(name: str, held) -> None:
    """Told file by file. What is taken away is pip, and what would bring it back."""
    wanted = IMAGES[name]
    base, image = await files(wanted.base), await files(f"farseal/{name}:{TAG}")
    added = image - base
    assert {path for path in added if not path.startswith("/opt/farseal/")} - ACCOUNTS == wanted.files
    assert not [path for path in added if re.search(r"/requirements[^/]*\.txt$", path)]
    assert [path for path in image if re.search(r"/s?bin/[^/]+$", path) and path.rpartition("/")[2] in TOOLS] == []
    assert not [path for path in base - image if not re.search(r"/(pip[^/]*|ensurepip|python-wheels)(/|$)", path)]
    held(f"farseal/{name} adds what is listed", f"{len(added)} files, {len(wanted.files)} of them outside /opt/farseal")


@pytest.mark.parametrize("name", IMAGES)
async def test_an_image_is_started_and_labelled_as_it_says(name: str) -> None:
    wanted, config = IMAGES[name], (await inspect(f"farseal/{name}:{TAG}"))["Config"]
    assert config["User"] == wanted.user
    assert config["Entrypoint"] == wanted.entrypoint
    assert (config["Cmd"] or []) == wanted.command
    assert frozenset(config.get("ExposedPorts") or {}) == wanted.ports
    health = config.get("Healthcheck")
    told = None if health is None else " ".join(word for word in health["Test"] if word != "CMD")
    assert told == wanted.health
    start = "org.opencontainers.image."
    labels = {key.removeprefix(start): value for key, value in config["Labels"].items() if key.startswith(start)}
    assert set(labels) == {"title", "description", "licenses", "vendor", "version", "revision"}
    assert (labels["licenses"], labels["vendor"]) == ("Apache-2.0", "Farseal")
    assert re.fullmatch(r"\d+\.\d+\.\d+.*", labels["version"])
    assert re.fullmatch(r"unknown|[0-9a-f]{40}(-dirty)?", labels["revision"])
    if name != "library" and "FARSEAL_REVISION" in os.environ:  # others build the library's too, as its page says
        assert labels["revision"] == os.environ["FARSEAL_REVISION"]


@pytest.mark.parametrize("name", IMAGES)
async def test_a_bill_of_materials_names_all_that_an_image_holds(name: str, held) -> None:
    """Python's packages are those listed here, Debian's those that dpkg knows; the schema holds."""
    reference = f"farseal/{name}:{TAG}"
    text = sbom.document(await sbom.look(reference))
    fault = JsonStrictValidator(SchemaVersion.V1_6).validate_str(text)
    assert (fault and fault.data.message) is None
    purls = [PackageURL.from_string(one["purl"]) for one in json.loads(text)["components"]]
    assert {purl.name for purl in purls if purl.type == "pypi"} == IMAGES[name].distributions
    debian = {purl.name for purl in purls if purl.type == "deb"}
    assert debian == set((await inside(reference, "dpkg-query", "--show", "--showformat", "${Package}\\n")).split())
    python = [purl.name for purl in purls if purl.name in {"python3", "python3.13", "python"}]
    assert bool(python) == bool(IMAGES[name].lock)
    assert text == sbom.document(await sbom.look(reference))
    held(f"the bill of materials of farseal/{name} is whole", f"{len(debian)} of Debian, {len(purls)} in all")


@pytest.mark.parametrize("name", IMAGES)
async def test_an_image_is_no_larger_than_it_was(name: str, held) -> None:
    wanted = IMAGES[name]
    whole = (await inspect(f"farseal/{name}:{TAG}"))["Size"]
    above = (whole - (await inspect(wanted.base))["Size"]) / MEGABYTE
    assert 0 <= above <= wanted.megabytes
    told = f"{above:.1f} MB above {wanted.base}, at most {wanted.megabytes:g}; {whole / MEGABYTE:.0f} MB with it"
    held(f"farseal/{name} is no larger than it was", told)
