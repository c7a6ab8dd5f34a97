"""The settings of the auth server: what is refused, and that every fault is told at once."""

from pathlib import Path
from typing import Any

import pytest

from auth_server.settings import AuthServerSettings
from farseal.environment import SettingsError, describe

REQUIRED = {
    "AUTH_SERVER_ISSUER": "https://auth.example",
    "AUTH_SERVER_DATABASE_URL": "postgresql://auth:sesame@db/auth",
    "AUTH_SERVER_KEK_FILE": "/run/secrets/kek",
}


def load(**changes: str) -> AuthServerSettings:
    return AuthServerSettings.from_environ(
        REQUIRED | {AuthServerSettings.PREFIX + name: value for name, value in changes.items()}
    )


def test_three_settings_are_enough() -> None:
    """Everything else has a default that is safe: loopback, five minutes, 3072 bits."""
    settings = load()
    assert (settings.host, settings.port, settings.ops_host, settings.ops_port) == (
        "127.0.0.1",
        9000,
        "127.0.0.1",
        9100,
    )
    assert (settings.access_token_seconds, settings.rsa_bits) == (300, 3072)
    assert settings.publish_directory is None
    assert settings.trusted_proxies == ()
    assert "sesame" not in repr(settings)


@pytest.mark.parametrize(
    "issuer",
    [
        "https://auth.example",
        "https://auth.example/",
        "https://auth.example:8443/tenant/a",
        "http://127.0.0.1:9000",
        "http://[::1]:9000",
        "http://localhost",
        "http://auth.localhost:9000",
    ],
)
def test_an_issuer_is_kept_byte_for_byte(issuer: str) -> None:
    """It is compared as a string by every verifier: nothing is normalised."""
    assert load(ISSUER=issuer).issuer == issuer


@pytest.mark.parametrize(
    "issuer",
    [
        "auth.example",
        "http://auth.example",
        "http://10.0.0.1",
        "http://localhost.example",
        "https://",
        "https:///path",
        "https://auth.example?x=1",
        "https://auth.example?",
        "https://auth.example#x",
        "https://auth.example#",
        "https://user@auth.example",
        "https://auth.example/a b",
        "https://auth.example/ä",
        "https://auth.example/../x",
        "https://auth.example//x",
        "https://auth.example:99999",
        "https://[::1",
        "ftp://auth.example",
        'https://auth.example/"',
    ],
)
def test_an_issuer_that_nobody_should_trust_is_refused(issuer: str) -> None:
    """https, or http on this machine; no query, no fragment (RFC 8414 section 2), no user."""
    with pytest.raises(SettingsError) as refused:
        load(ISSUER=issuer)
    assert len(refused.value.faults) == 1
    assert refused.value.faults[0].startswith("AUTH_SERVER_ISSUER: must be an https URL")


@pytest.mark.parametrize(
    ("name", "value", "field"),
    [
        ("RSA_BITS", "4096", ("rsa_bits", 4096)),
        ("ACCESS_TOKEN_SECONDS", "10", ("access_token_seconds", 10)),
        ("REFRESH_SECONDS", "0.5", ("refresh_seconds", 0.5)),
        ("PUBLISH_DIRECTORY", "/srv/published", ("publish_directory", Path("/srv/published"))),
        ("MIGRATE_ON_START", "true", ("migrate_on_start", True)),
        ("HOST", "", ("host", "127.0.0.1")),
    ],
)
def test_a_setting_is_read(name: str, value: str, field: tuple[str, Any]) -> None:
    """Text to a typed value; empty is unset."""
    assert getattr(load(**{name: value}), field[0]) == field[1]


def test_proxies_are_networks_of_both_families() -> None:
    """Single addresses are networks too."""
    settings = load(TRUSTED_PROXIES="10.0.0.0/8, 192.0.2.1,fd00::/8")
    assert [str(network) for network in settings.trusted_proxies] == ["10.0.0.0/8", "192.0.2.1/32", "fd00::/8"]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("RSA_BITS", "1024"),
        ("RSA_BITS", "3000"),
        ("ACCESS_TOKEN_SECONDS", "9"),
        ("ACCESS_TOKEN_SECONDS", "86401"),
        ("PORT", "65536"),
        ("TRUSTED_PROXIES", "10.0.0.1/8"),
        ("TRUSTED_PROXIES", "proxy"),
        ("REFRESH_SECONDS", "0"),
        ("LOG_LEVEL", "loud"),
        ("DATABASE_URL", "mysql://x/y"),
        ("OPS_PORT", "9000"),
        ("ISUER", "https://typo.example"),
    ],
)
def test_a_bad_value_is_named(name: str, value: str) -> None:
    """One fault, which begins with the name of the variable."""
    with pytest.raises(SettingsError) as refused:
        load(**{name: value})
    assert [fault.split(":")[0] for fault in refused.value.faults] == [AuthServerSettings.PREFIX + name]


def test_every_fault_is_told_at_once() -> None:
    """Five mistakes, five sentences, one start; no secret among them."""
    with pytest.raises(SettingsError) as refused:
        load(
            ISSUER="http://auth.example",
            DATABASE_URL="postgres:sesame",
            RSA_BITS="1024",
            PORT="x",
            TRUSTED_PROXIES="proxy",
        )
    told = "\n".join(refused.value.faults)
    assert len(refused.value.faults) == 5
    for name in ("ISSUER", "DATABASE_URL", "RSA_BITS", "PORT", "TRUSTED_PROXIES"):
        assert f"AUTH_SERVER_{name}: " in told
    assert "sesame" not in told


def test_the_kek_is_never_published() -> None:
    """A KEK below the directory that everybody reads would be served with the documents."""
    with pytest.raises(SettingsError, match="KEK_FILE: must not be in"):
        load(KEK_FILE="/srv/published/secrets/kek", PUBLISH_DIRECTORY="/srv/published")
    assert load(KEK_FILE="/srv/kek", PUBLISH_DIRECTORY="/srv/published").kek_file == Path("/srv/kek")


def test_ports_that_the_system_chooses_do_not_clash() -> None:
    """0 twice is two ports; the same port on two addresses is two listeners."""
    load(PORT="0", OPS_PORT="0")
    load(PORT="9000", OPS_PORT="9000", OPS_HOST="127.0.0.2")


def test_every_setting_is_documented() -> None:
    """A sentence and a unit for each, and only the database holds a secret."""
    docs = describe(AuthServerSettings, AuthServerSettings.PREFIX)
    assert all(doc.help and doc.unit for doc in docs)
    assert [doc.name for doc in docs if doc.secret] == ["AUTH_SERVER_DATABASE_URL"]
    assert [doc.name for doc in docs if doc.default is None] == list(REQUIRED)


# --- the times of rotation -------------------------------------------------------------------------------------------


def test_the_policy_is_what_the_settings_say() -> None:
    """Each by the name that operators know it by; the defaults add up."""
    policy = load(VERIFIER_LEEWAY_SECONDS="7", JWKS_MAX_AGE_SECONDS="8", SIGNING_LEASE_SECONDS="9").policy
    assert (policy.leeway_seconds, policy.cache_seconds, policy.lease_seconds) == (7, 8, 9)
    assert (policy.rotation_seconds, policy.announce_seconds, policy.max_token_seconds) == (2592000, 86400, 86400)
    assert policy.pool == 1
    assert not list(policy.faults())


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        pytest.param(
            {"ANNOUNCE_SECONDS": "839"},
            "ANNOUNCE_SECONDS: must be at least twice what the slowest verifier needs to learn a key: 2 x (300 refresh "
            "+ 60 cache + 30 clock skew + 30 publication) = 840 s, and is 839 s",
            id="announced-too-short",
        ),
        pytest.param(
            {"ROTATION_SECONDS": "86399"},
            "ROTATION_SECONDS: must be at least the time for which the next key is announced, 86400 s, and is 86399 s",
            id="rotated-too-soon",
        ),
        pytest.param(
            {"SIGNING_LEASE_SECONDS": "3", "REFRESH_SECONDS": "2"},
            "SIGNING_LEASE_SECONDS: must be at least twice AUTH_SERVER_REFRESH_SECONDS, 2 x 2 = 4 s, and is 3 s",
            id="lease-of-one-look",
        ),
        pytest.param(
            {"MAX_TOKEN_SECONDS": "299"},
            "ACCESS_TOKEN_SECONDS: must be at most AUTH_SERVER_MAX_TOKEN_SECONDS, 299 s, and is 300 s",
            id="usual-life-above-the-longest",
        ),
        pytest.param(
            {"STATUS_LIST_SECONDS": "601", "MAX_TOKEN_SECONDS": "600"},
            "STATUS_LIST_SECONDS: must be at most AUTH_SERVER_MAX_TOKEN_SECONDS, 600 s, and is 601 s",
            id="list-beyond-the-stay-of-its-key",
        ),
        pytest.param(
            {"STATUS_LIST_SECONDS": "19"},
            "STATUS_TTL_SECONDS: must be at most a quarter of the life of a status list, which is 19 s, and is 5 s",
            id="list-of-less-than-four-looks",
        ),
        pytest.param(
            {"SESSION_IDLE_SECONDS": "61", "SESSION_ABSOLUTE_SECONDS": "60"},
            "SESSION_IDLE_SECONDS: must be at most AUTH_SERVER_SESSION_ABSOLUTE_SECONDS, 60 s, and is 61 s",
            id="session-idle-beyond-its-end",
        ),
        pytest.param(
            {"ROTATION_SECONDS": "2000", "ANNOUNCE_SECONDS": "1000"},
            "60 lease + 86400 longest token + 300 leeway + 60 cache + 4 x 30 clock skew = 86940 s",
            id="too-many-keys",
        ),
    ],
)
def test_times_that_fail_verifiers_are_refused_with_the_sum(changes: dict[str, str], says: str) -> None:
    """At start, and one second more or less is accepted where it suffices."""
    with pytest.raises(SettingsError) as refused:
        load(**changes)
    (fault,) = refused.value.faults
    assert says in fault


@pytest.mark.parametrize(("longest", "lists"), [("86400", 3600), ("3600", 3600), ("600", 600)])
def test_a_list_lives_an_hour_or_as_long_as_the_longest_token(longest: str, lists: int) -> None:
    """Who shortened the life of tokens need not know of lists to start."""
    assert load(MAX_TOKEN_SECONDS=longest).list_seconds == lists


def test_all_faults_of_the_times_are_told_at_once() -> None:
    """Beside those of every other setting."""
    with pytest.raises(SettingsError) as refused:
        load(ANNOUNCE_SECONDS="10", ROTATION_SECONDS="5", SIGNING_LEASE_SECONDS="1", MAX_TOKEN_SECONDS="60", PORT="x")
    names = [fault.split(":")[0].removeprefix("AUTH_SERVER_") for fault in refused.value.faults]
    assert set(names) == {
        "ANNOUNCE_SECONDS",
        "ROTATION_SECONDS",
        "SIGNING_LEASE_SECONDS",
        "ACCESS_TOKEN_SECONDS",
        "PORT",
    }


def test_old_keks_are_never_published_either() -> None:
    """What they sealed may lie in a backup."""
    assert load(OLD_KEK_FILES="/a/kek, /b/kek").old_kek_files == (Path("/a/kek"), Path("/b/kek"))
    with pytest.raises(SettingsError, match="OLD_KEK_FILES: must not be in"):
        load(OLD_KEK_FILES="/a/kek,/srv/published/kek", PUBLISH_DIRECTORY="/srv/published")
