"""The compose files keep the promises of docs/deployment.md, in both kinds of compose. No engine is needed."""

import copy
import dataclasses

import pytest
import yaml

from farseal.service.settings import ServiceSettings
from scripts.walls import ROOT
from tests.deployment.composition import SECRET_VALUE, breaches, load
from tests.deployment.dockerfile import stages

FILES = {
    "days": ("compose.yaml",),
    "seconds": ("compose.yaml", "compose.quick.yaml"),
    "tls": ("compose.yaml", "compose.tls.yaml"),
    "tls in seconds": ("compose.yaml", "compose.quick.yaml", "compose.tls.yaml"),
}
DEFAULTS = {one.name: one.default for one in dataclasses.fields(ServiceSettings)}


def look(document) -> list[str]:
    """Give the promises that a document breaks, with the services' own default times."""
    drain, grace = DEFAULTS["drain_seconds"], DEFAULTS["grace_seconds"]
    return breaches(document, stages((ROOT / "Dockerfile").read_text()), drain=drain, grace=grace)


@pytest.mark.parametrize("times", FILES)
def test_every_promise_is_kept(times) -> None:
    document = load(*(ROOT / name for name in FILES[times]))
    assert len(document["services"]) == 11
    assert look(document) == []


def test_the_quick_file_changes_times_and_nothing_else() -> None:
    quick = yaml.safe_load((ROOT / "compose.quick.yaml").read_text())
    assert [key for key in quick if not key.startswith("x-")] == ["services"]
    changed = {key for service in quick["services"].values() for key in service["environment"]}
    assert {key for key in changed if not key.endswith("_SECONDS")} == set()


def test_with_tls_nothing_is_asked_or_named_without_it() -> None:
    document = load(*(ROOT / name for name in FILES["tls"]))
    values = {
        f"{name}: {key}": str(value)
        for name, service in document["services"].items()
        for key, value in service["environment"].items()
    }
    assert {where: value for where, value in values.items() if "http:" in value} == {}
    assert document["services"]["resource_b"]["environment"]["FARSEAL_TRUST_HTTP_HOSTS"] == ""
    assert {name for name, value in values.items() if "https:" in value} >= {
        "auth_server: AUTH_SERVER_ISSUER", "resource_a: FARSEAL_ISSUER", "resource_b: FARSEAL_TRUST_URL",
        "resource_b: RESOURCE_B_NOTES_URL",
    }  # fmt: skip


def test_each_key_is_one_service_s_alone() -> None:
    document = load(*(ROOT / name for name in FILES["tls"]))
    holders = [
        secret["source"]
        for service in document["services"].values()
        for secret in service["secrets"] if isinstance(secret, dict) and secret["target"] == "tls_key"
    ]  # fmt: skip
    assert sorted(holders) == ["tls_auth_gateway_key", "tls_keys_key", "tls_resource_gateway_key"]
    assert "ca.key" not in (ROOT / "compose.tls.yaml").read_text()


def test_no_file_of_ours_holds_a_secret() -> None:
    for file in ("compose.yaml", "compose.quick.yaml", "compose.tls.yaml", "deploy/seed/manifest.yaml"):
        assert not SECRET_VALUE.search((ROOT / file).read_text())


def test_every_secret_and_volume_and_network_is_used() -> None:
    document = load(*(ROOT / name for name in FILES["tls"]))
    used: dict[str, set[str]] = {"secrets": set(), "volumes": set(), "networks": set()}
    for service in document["services"].values():
        used["secrets"] |= {one if isinstance(one, str) else one["source"] for one in service.get("secrets", [])}
        used["volumes"] |= {one.partition(":")[0] for one in service.get("volumes", [])}
        used["networks"] |= set(service["networks"])
    assert used == {kind: set(document[kind]) for kind in used}


@pytest.mark.parametrize(
    ("service", "planted", "seen"),
    [
        pytest.param("keys", {"cap_drop": ["NET_RAW"]}, "keeps capabilities", id="capabilities-kept"),
        pytest.param("keys", {"cap_add": ["SYS_ADMIN"]}, "adds capabilities", id="capability-added"),
        pytest.param("keys", {"security_opt": []}, "may gain privileges", id="privileges"),
        pytest.param("auth_db", {"read_only": False}, "its root can be written", id="writable"),
        pytest.param("resource_a", {"init": False}, "has no init", id="no-init"),
        pytest.param("seed", {"mem_limit": None}, "no mem_limit", id="memory"),
        pytest.param("seed", {"cpus": None}, "no cpus", id="cpus"),
        pytest.param("seed", {"pids_limit": None}, "no pids_limit", id="processes"),
        pytest.param("keys", {"logging": {"driver": "json-file"}}, "its logs grow without a bound", id="logs"),
        pytest.param("resource_b", {"user": "0:0"}, "is root", id="root"),
        pytest.param("resource_b", {"privileged": True}, "privileged is not known everywhere", id="unlisted-key"),
        pytest.param("resource_b", {"env_file": [".env"]}, "env_file is not known everywhere", id="env-file"),
        pytest.param("keys", {"image": "farseal/keys:latest"}, "its image is farseal/keys:latest", id="tag"),
        pytest.param(
            "keys", {"build": {"target": "keys"}}, "its image does not say what it is made of", id="no-build-arguments"
        ),
        pytest.param("keys", {"restart": None}, "is not started again", id="restart"),
        pytest.param("migrate", {"healthcheck": None}, "a one-shot has no health, and whatever stays has", id="once"),
        pytest.param("resource_a", {"stop_grace_period": "25s"}, "is killed before it has drained", id="boundary"),
        pytest.param("resource_a", {"stop_grace_period": "26s"}, None, id="grace-is-enough"),
        pytest.param("resource_a", {"networks": ["notes", "issuing"]}, "shares issuing with auth_server", id="to-it"),
        pytest.param("resource_b", {"networks": ["edge"]}, "shares edge with auth_gateway", id="to-its-door"),
        pytest.param("keys", {"networks": ["edge"]}, "is on edge and publishes no port, or the reverse", id="edge"),
        pytest.param("keys", {"networks": ["default"]}, "is on a network that nobody named", id="default-network"),
        pytest.param("auth_gateway", {"ports": ["9000:9000"]}, "publishes 9000:9000 beyond this machine", id="ports"),
        pytest.param("keys", {"environment": {"DB_PASSWORD": "x"}}, "DB_PASSWORD shows a secret", id="password"),
        pytest.param("keys", {"environment": {"AT": "postgresql://u:p@h/d"}}, "AT shows a secret", id="dsn"),
        pytest.param("keys", {"environment": {"A_FILE": "./.secrets/a"}}, "A_FILE is not in /run/secrets", id="file"),
        pytest.param("keys", {"secrets": ["other"]}, "other is no file of secrets", id="unknown-secret"),
        pytest.param("keys", {"volumes": ["published:/x"]}, "can change the published documents", id="published"),
        pytest.param("keys", {"volumes": ["/etc:/x:ro"]}, "/x is a folder of the host", id="host-folder"),
    ],
)  # fmt: skip
def test_a_broken_promise_is_seen(service, planted, seen) -> None:
    document = copy.deepcopy(load(ROOT / "compose.yaml"))
    document["services"][service] |= planted
    found = look(document)
    assert (f"{service}: {seen}" in found) if seen else (found == [])


@pytest.mark.parametrize(
    ("planted", "seen"),
    [
        pytest.param({"name": "farseal"}, "the file: name is not known everywhere", id="name-at-the-top"),
        pytest.param({"networks": {"edge": {}, "issuing": {}}}, "network issuing: only edge has a way out", id="way"),
    ],
)  # fmt: skip
def test_a_broken_promise_of_the_whole_is_seen(planted, seen) -> None:
    assert seen in look(load(ROOT / "compose.yaml") | planted)
