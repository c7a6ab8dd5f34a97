"""The verifier's settings: the same rules for code and for the environment, all faults at once."""

from pathlib import Path

import pytest

from farseal.environment import SettingsError, describe
from farseal.identifiers import is_loopback
from farseal.settings import PREFIX, TrustSettings
from farseal.trust import AgeLimits
from tests.support.protected import settings_for
from tests.support.tokens import ISSUER, NOTES

REQUIRED = {"FARSEAL_ISSUER": ISSUER, "FARSEAL_AUDIENCE": NOTES, "FARSEAL_TRUST_DIRECTORY": "/trust"}


def test_three_variables_are_enough() -> None:
    """The rest has defaults, in seconds."""
    settings = TrustSettings.from_environ(REQUIRED)
    assert settings == TrustSettings(issuer=ISSUER, audience=NOTES, trust_directory=Path("/trust"))
    assert settings.limits == AgeLimits(900, 86_400)
    assert settings.expectations.leeway == 30
    assert settings.expectations.issuers == {ISSUER}
    assert settings.realm == "farseal"


def test_every_variable_reaches_its_field() -> None:
    """And other variables of the prefix are left alone when their owner is known."""
    settings = TrustSettings.from_environ(
        REQUIRED
        | {
            "FARSEAL_LEEWAY_SECONDS": "0",
            "FARSEAL_STALE_AFTER_SECONDS": "60",
            "FARSEAL_REFUSE_AFTER_SECONDS": "61",
            "FARSEAL_ACCESS_RULES_FILE": "/rules",
            "FARSEAL_JWKS_URI": "https://n.example/keys",
            "FARSEAL_REALM": "notes",
            "FARSEAL_OF_SOMEBODY_ELSE": "x",
            "OTHER": "y",
        },
        also=["FARSEAL_OF_SOMEBODY_ELSE"],
    )
    assert settings == TrustSettings(
        issuer=ISSUER,
        audience=NOTES,
        trust_directory=Path("/trust"),
        leeway_seconds=0,
        stale_after_seconds=60,
        refuse_after_seconds=61,
        access_rules_file=Path("/rules"),
        jwks_uri="https://n.example/keys",
        realm="notes",
    )
    assert {doc.name for doc in describe(TrustSettings, PREFIX)} >= set(REQUIRED)


def test_five_faults_are_told_at_once() -> None:
    """Whoever repairs a deployment does it once."""
    with pytest.raises(SettingsError) as refused:
        TrustSettings.from_environ(
            {
                "FARSEAL_ISSUER": "http://issuer.example",
                "FARSEAL_AUDIENCE": "notes",
                "FARSEAL_LEEWAY_SECONDS": "-1",
                "FARSEAL_AUDIANCE": NOTES,
            }
        )
    assert sorted(fault.split(":")[0] for fault in refused.value.faults) == [
        "FARSEAL_AUDIANCE",
        "FARSEAL_AUDIENCE",
        "FARSEAL_ISSUER",
        "FARSEAL_LEEWAY_SECONDS",
        "FARSEAL_TRUST_DIRECTORY",
    ]


@pytest.mark.parametrize(
    ("field", "value", "good"),
    [
        pytest.param("issuer", "https://issuer.example", True, id="https"),
        pytest.param("issuer", "https://issuer.example/tenant", True, id="https-with-path"),
        pytest.param("issuer", "http://localhost:9000", True, id="localhost"),
        pytest.param("issuer", "http://[::1]:9000", True, id="ipv6-loopback"),
        pytest.param("issuer", "http://127.8.8.8", True, id="all-of-127"),
        pytest.param("issuer", "http://issuer.example", False, id="http"),
        pytest.param("issuer", "http://127.0.0.1.example", False, id="loopback-in-a-name"),
        pytest.param("issuer", "http://localhost.example", False, id="localhost-in-a-name"),
        pytest.param("issuer", "https://issuer.example?a", False, id="query"),
        pytest.param("issuer", "https://issuer.example#", False, id="fragment"),
        pytest.param("issuer", "https://u:p@issuer.example", False, id="credentials"),
        pytest.param("issuer", "issuer.example", False, id="no-scheme"),
        pytest.param("issuer", "https://issuer.example:port", False, id="port"),
        pytest.param("issuer", "https://", False, id="no-host"),
        pytest.param("issuer", "https://[::1", False, id="no-url"),
        pytest.param("issuer", "https://issuer.example/ ", False, id="space"),
        pytest.param("issuer", "https://issu\u00e9r.example", False, id="not-ascii"),
        pytest.param("issuer", 7, False, id="not-a-text"),
        pytest.param("audience", "https://notes.example/api", True, id="audience-url"),
        pytest.param("audience", "http://notes.internal", True, id="audience-http"),
        pytest.param("audience", "urn:example:notes", True, id="audience-urn"),
        pytest.param("audience", "notes", False, id="audience-relative"),
        pytest.param("audience", "https://notes.example#x", False, id="audience-fragment"),
        pytest.param("audience", "https:/notes", False, id="audience-without-host"),
        pytest.param("audience", "urn:", False, id="audience-empty"),
        pytest.param("jwks_uri", None, True, id="no-keys-of-its-own"),
        pytest.param("jwks_uri", "file:///etc/passwd", False, id="keys-in-a-file"),
        pytest.param("realm", "my notes", True, id="realm"),
        pytest.param("realm", 'a"b', False, id="realm-with-a-quote"),
        pytest.param("realm", "a\nb", False, id="realm-with-a-line-break"),
        pytest.param("realm", "", False, id="realm-empty"),
        pytest.param("leeway_seconds", 300, True, id="leeway-at-its-limit"),
        pytest.param("leeway_seconds", 301, False, id="leeway-above"),
        pytest.param("leeway_seconds", -1, False, id="leeway-below"),
        pytest.param("stale_after_seconds", 0, False, id="stale-at-once"),
        pytest.param("stale_after_seconds", 86_400, False, id="stale-no-sooner-than-refused"),
        pytest.param("refuse_after_seconds", 901, True, id="refused-a-second-after-stale"),
        pytest.param("refuse_after_seconds", 900, False, id="refused-with-stale"),
    ],
)
def test_settings_made_in_code_are_held_to_the_same(tmp_path, field, value, good) -> None:
    """A fault names the variable, which is how people know it."""
    if good:
        assert getattr(settings_for(tmp_path, **{field: value}), field) == value
        return
    with pytest.raises(SettingsError, match=r"FARSEAL_[A-Z_]+: must be"):
        settings_for(tmp_path, **{field: value})


@pytest.mark.parametrize("host", ["localhost", "auth.localhost", "127.0.0.1", "127.9.9.9", "::1", "::ffff:127.0.0.1"])
def test_loopback_is_decided_by_spelling(host) -> None:
    """No name is looked up: what a resolver says today may change. All Pythons agree."""
    assert is_loopback(host)


@pytest.mark.parametrize(
    "host", ["10.0.0.1", "::ffff:10.0.0.1", "localhost.example", "127.0.0.1.example", "example", ""]
)
def test_everything_else_is_not_loopback(host) -> None:
    assert not is_loopback(host)
