"""The Dockerfile keeps to what every builder knows, and its images to what they promise. No engine is needed."""

import re
import tomllib

import pytest

from scripts.walls import ROOT
from tests.deployment.dockerfile import instructions, labels, last, line, stages

TEXT = (ROOT / "Dockerfile").read_text()
IMAGES = {
    "library": "python:3.13-slim",
    "auth-server": "python:3.13-slim",
    "resource-a": "python:3.13-slim",
    "resource-b": "python:3.13-slim",
    "seed": "python:3.13-slim",
    "keys": "nginx:stable",
    "auth-gateway": "nginx:stable",
    "resource-gateway": "nginx:stable",
    "postgres": "postgres:18",
}
"""Every image of ours, and the official image that it stands on."""
BUILD_STAGES = {
    "build",
    "service",
    *(f"{name}-environment" for name in ("library", "auth-server", "resource-a", "resource-b")),
}
"""Stages that are no images of ours."""
OPTIONS = {
    "COPY": re.compile(r"--from=[a-z-]+-environment"),
    "HEALTHCHECK": re.compile(r"--(interval|timeout|retries|start-period)=\w+"),
}
"""What the oldest builder knows of the options that we use. Others, --chmod, --link, --mount, take BuildKit."""
LABELS = ("title", "description", "licenses", "vendor", "version", "revision")
SECRET = re.compile(r"(?i)password|secret|token|\bkek\b|private")


def foreign(text: str) -> list[str]:
    """What not every builder knows, as a builder would meet it."""
    found = [found for found in text.splitlines() if re.match(r"#\s*(syntax|escape|check)\s*=", found)]
    for one in instructions(text):
        known = OPTIONS.get(one.word, re.compile(r"(?!)"))
        found += [f"{one.word} {option}" for option in one.options if not known.fullmatch(option)]
        if re.search(r"<<-?\s*['\"]?\w", one.rest):
            found.append(f"{one.word} with a heredoc")
        if one.word in {"ADD", "ONBUILD", "MAINTAINER"}:
            found.append(one.word)
    return found


def test_every_builder_knows_what_the_dockerfile_says() -> None:
    assert foreign(TEXT) == []


@pytest.mark.parametrize(
    ("planted", "seen"),
    [
        pytest.param("# syntax=docker/dockerfile:1\n", "# syntax=docker/dockerfile:1", id="syntax-line"),
        pytest.param(
            "RUN --mount=type=cache,target=/x pip install y\n", "RUN --mount=type=cache,target=/x", id="mount"
        ),
        pytest.param("COPY --chmod=755 a /b\n", "COPY --chmod=755", id="chmod"),
        pytest.param("COPY --from=x-environment --link a /b\n", "COPY --link", id="link-behind-another-option"),
        pytest.param("COPY --from=docker.io/alpine a /b\n", "COPY --from=docker.io/alpine", id="a-foreign-image"),
        pytest.param("FROM --platform=linux/arm64 x AS y\n", "FROM --platform=linux/arm64", id="platform"),
        pytest.param("RUN cat <<EOT >/x\n", "RUN with a heredoc", id="heredoc"),
        pytest.param("ADD https://example.org/x /x\n", "ADD", id="add"),
    ],
)
def test_what_takes_a_newer_builder_is_seen(planted, seen) -> None:
    assert foreign(planted) == [seen]


def test_images_stand_on_official_images_alone() -> None:
    found = stages(TEXT)
    assert set(found) == set(IMAGES) | BUILD_STAGES
    assert {name: line(found, name)[-1].base for name in IMAGES} == IMAGES
    assert {stage.base for stage in found.values()} - set(found) == set(IMAGES.values())


@pytest.mark.parametrize("name", IMAGES)
def test_an_image_says_what_it_is_who_runs_in_it_and_whether_it_is_well(name) -> None:
    """The library has no health of its own, the seed runs once; the database begins as root and gives that up."""
    found = stages(TEXT)
    told = labels(found, name)
    assert set(told) == {f"org.opencontainers.image.{word}" for word in LABELS}
    assert told["org.opencontainers.image.licenses"] == "Apache-2.0"
    assert told["org.opencontainers.image.version"] == "$VERSION"
    assert told["org.opencontainers.image.revision"] == "$REVISION"
    user = {"nginx:stable": "101:101", "python:3.13-slim": "10001:10001", "postgres:18": None}[IMAGES[name]]
    assert last(found, name, "USER") == user
    health = last(found, name, "HEALTHCHECK")
    if name == "library":
        assert health is None
    elif name == "seed":
        assert health == "NONE"
    else:
        assert health is not None
        assert " CMD [" in health
    if name != "library":
        entrypoint = last(found, name, "ENTRYPOINT")
        assert entrypoint is not None
        assert entrypoint.startswith("[")  # a shell between would keep the signals to itself


def test_no_two_images_have_one_title() -> None:
    found = stages(TEXT)
    assert len({labels(found, name)["org.opencontainers.image.title"] for name in IMAGES}) == len(IMAGES)


def test_another_revision_builds_nothing_anew() -> None:
    """A builder's cache ends where a build argument is declared: in an image nothing but its last label follows."""
    for stage in stages(TEXT).values():
        words = [one.word for one in stage.instructions]
        assert words.count("ARG") == 0 or words[-3:] == ["ARG", "ARG", "LABEL"]


def test_the_version_of_the_images_is_the_members_own() -> None:
    members = (tomllib.loads(path.read_text())["project"]["version"] for path in ROOT.glob("*/pyproject.toml"))
    compose = re.findall(r"\$\{FARSEAL_VERSION:-([^}]*)\}", (ROOT / "compose.yaml").read_text())
    assert {*members, *compose} == set(re.findall(r"^ARG VERSION=(.*)$", TEXT, re.MULTILINE))


@pytest.mark.parametrize("name", IMAGES)
def test_an_image_takes_an_environment_or_files_of_deploy_and_nothing_else(name) -> None:
    """Neither sources nor locks, and from a build stage its environment alone."""
    for stage in line(stages(TEXT), name):
        for rest in stage.all("COPY"):
            *sources, _ = (word for word in rest.split() if not word.startswith("--"))
            if "--from=" in rest:
                assert re.fullmatch(r"--from=[a-z-]+-environment /opt/farseal /opt/farseal", rest)
            else:
                assert all(source.startswith("deploy/") for source in sources)


def test_a_service_takes_its_own_environment_and_no_other() -> None:
    found = stages(TEXT)
    taken = {name: [rest for rest in found[name].all("COPY") if "--from=" in rest] for name in IMAGES}
    for name in ("library", "auth-server", "resource-a", "resource-b"):
        assert taken[name] == [f"--from={name}-environment /opt/farseal /opt/farseal"]
    for name in ("auth-server", "resource-a", "resource-b"):
        copied = " ".join(found[f"{name}-environment"].all("COPY"))
        for other in ("auth_server", "resource_a", "resource_b"):
            assert (other in copied) == (other == name.replace("-", "_"))


def test_packages_are_installed_by_hash_and_members_without_their_dependencies() -> None:
    for stage in stages(TEXT).values():
        for rest in stage.all("RUN"):
            for command in re.split(r"\s*&&\s*", rest):
                if re.search(r"\bpip\b.* (install|wheel)\b", command):
                    assert "--require-hashes" in command or "--no-deps" in command


def test_no_secret_is_in_the_recipe() -> None:
    """What ENV and ARG say can be read in every image's history."""
    for stage in stages(TEXT).values():
        for rest in (*stage.all("ENV"), *stage.all("ARG")):
            assert not SECRET.search(rest)


def test_the_builder_is_sent_only_what_is_named() -> None:
    """The ignore file begins with everything, so that no secret, no history and no environment gets into a build."""
    lines = [line for line in (ROOT / ".dockerignore").read_text().splitlines() if line and not line.startswith("#")]
    assert lines[0] == "*"
    sent = {line[1:] for line in lines if line.startswith("!")}
    copied = {
        source
        for stage in stages(TEXT).values()
        for rest in stage.all("COPY")
        if "--from=" not in rest
        for source in rest.split()[:-1]
    }
    assert {path for path in copied if not any(path == one or path.startswith(f"{one}/") for one in sent)} == set()
    assert {one for one in sent if not any(path == one or path.startswith(f"{one}/") for path in copied)} == set()
