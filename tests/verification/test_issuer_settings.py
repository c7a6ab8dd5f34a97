"""Where the documents of one issuer are, or of several: exactly one place each, and every fault told at once."""

from pathlib import Path

import pytest

from farseal.environment import SettingsError
from farseal.settings import IssuerSettings, TrustSettings, source_of
from farseal.sources import DirectoryWorker, HttpWorker, ListSchedule
from farseal.sources.keeper import Moment, Refused
from farseal.status_list import StatusPolicy
from farseal.verify import IssuerExpectations
from tests.support.tokens import ISSUER, NOTES

OTHER = "https://other.example"
KEYS = "https://other.example/keys"
BASE = {"FARSEAL_ISSUER": ISSUER, "FARSEAL_AUDIENCE": NOTES}

TWO = f"""
[[issuer]]
issuer = "{ISSUER}"
trust_directory = "/trust"

[[issuer]]
issuer = "{OTHER}"
audience = "api://notes"
trust_url = "{KEYS}"
[issuer.claims]
scope = "scp"
client_id = "azp"
"""


def from_file(tmp_path: Path, text: str | bytes, **environ: str) -> TrustSettings:
    file = tmp_path / "issuers.toml"
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    return TrustSettings.from_environ({"FARSEAL_AUDIENCE": NOTES, "FARSEAL_ISSUERS_FILE": str(file)} | environ)


@pytest.mark.parametrize(
    ("environ", "worker", "origin"),
    [
        ({"FARSEAL_TRUST_DIRECTORY": "/trust"}, DirectoryWorker, "/trust"),
        ({"FARSEAL_TRUST_URL": KEYS}, HttpWorker, KEYS),
        ({"FARSEAL_TRUST_DISCOVERY": "true"}, HttpWorker, f"the metadata of {ISSUER}"),
    ],
    ids=["directory", "url", "discovery"],
)
def test_one_variable_says_where_the_documents_are(environ, worker, origin) -> None:
    """And it is where the source looks."""
    settings = TrustSettings.from_environ(BASE | environ)
    assert [one.issuer for one in settings.trusted] == [ISSUER]
    source = source_of(settings)
    assert source.status().workers[ISSUER].origin == origin
    assert type(source._workers[ISSUER]) is worker


def test_status_lists_are_looked_for_beside_the_keys_unless_nobody_asks_for_the_status() -> None:
    """As often as the setting says, and not at all with `off`."""
    settings = TrustSettings.from_environ(BASE | {"FARSEAL_TRUST_URL": KEYS, "FARSEAL_STATUS_REFRESH_SECONDS": "400"})
    source = source_of(settings)
    lists = source.status().workers[ISSUER].lists
    assert lists is not None
    assert lists.origin == "https://other.example/status-lists.json"
    assert source._workers[ISSUER]._options.lists == ListSchedule.every(400)
    settings = TrustSettings.from_environ(BASE | {"FARSEAL_TRUST_URL": KEYS, "FARSEAL_STATUS": "off"})
    assert source_of(settings).status().workers[ISSUER].lists is None


def test_several_issuers_come_from_a_file(tmp_path) -> None:
    """Each with its own documents, audience and names of claims."""
    settings = from_file(tmp_path, TWO)
    assert settings.expectations.issuers == {ISSUER, OTHER}
    assert settings.expectations.of_issuers == {
        ISSUER: IssuerExpectations(NOTES, status=StatusPolicy.IF_PRESENT),
        OTHER: IssuerExpectations("api://notes", {"scope": "scp", "client_id": "azp"}, StatusPolicy.IF_PRESENT),
    }
    workers = source_of(settings).status().workers
    assert {issuer: state.origin for issuer, state in workers.items()} == {ISSUER: "/trust", OTHER: KEYS}


def test_the_query_of_an_address_is_told_to_nobody(caplog) -> None:
    """Some hosts of files take signatures in it; the log and the report have the address without."""
    settings = TrustSettings(issuer=ISSUER, audience=NOTES, trust_url=f"{KEYS}?signature=secret")
    source = source_of(settings)
    source._keeper.learn(ISSUER, Refused("broken"), Moment(0, 0.0))
    assert f"published documents in {KEYS} are not taken: broken" in caplog.text
    assert settings.trusted[0].origin == source.status().workers[ISSUER].origin == KEYS


def test_several_issuers_are_given_in_code() -> None:
    """The same settings as from the file, but for the file."""
    settings = TrustSettings(
        audience=NOTES,
        issuers=(
            IssuerSettings(issuer=ISSUER, trust_directory=Path("/trust")),
            IssuerSettings(issuer=OTHER, discovery=True, claims={"roles": "groups"}),
        ),
    )
    assert settings.expectations.of_issuers[OTHER].audience == NOTES
    assert set(source_of(settings).status().workers) == {ISSUER, OTHER}


@pytest.mark.parametrize(
    ("environ", "named"),
    [
        pytest.param({}, ["TRUST_DIRECTORY"], id="nowhere"),
        pytest.param({"TRUST_DIRECTORY": "/t", "TRUST_URL": KEYS}, ["TRUST_DIRECTORY"], id="directory-and-url"),
        pytest.param({"TRUST_URL": KEYS, "TRUST_DISCOVERY": "1"}, ["TRUST_URL"], id="url-and-discovery"),
        pytest.param({"TRUST_URL": "http://other.example/keys"}, ["TRUST_URL"], id="not-secure"),
        pytest.param({"TRUST_URL": "https://u:p@other.example/keys"}, ["TRUST_URL"], id="credentials"),
        pytest.param({"TRUST_URL": "ftp://other.example/keys"}, ["TRUST_URL"], id="another-scheme"),
        pytest.param(
            {"TRUST_URL": KEYS, "REFRESH_CEILING_SECONDS": "4"}, ["REFRESH_FLOOR_SECONDS"], id="ceiling-below-floor"
        ),
        pytest.param(
            {"TRUST_URL": KEYS, "STALE_AFTER_SECONDS": "200", "REFUSE_AFTER_SECONDS": "300"},
            ["REFRESH_CEILING_SECONDS"],
            id="refused-before-they-are-fetched-again",
        ),
        pytest.param(
            {
                "TRUST_DIRECTORY": "/t",
                "TRUST_CA_FILE": "/ca",
                "TRUST_SNAPSHOT_DIRECTORY": "/s",
                "TRUST_HTTP_HOSTS": "a",
            },
            ["TRUST_SNAPSHOT_DIRECTORY", "TRUST_CA_FILE", "TRUST_HTTP_HOSTS"],
            id="nothing-to-fetch",
        ),
        pytest.param({"REFRESH_FLOOR_SECONDS": "0"}, ["REFRESH_FLOOR_SECONDS", "TRUST_DIRECTORY"], id="two-at-once"),
    ],
)
def test_what_contradicts_itself_is_told(environ, named) -> None:
    """By the name of the variable, before anything is fetched."""
    with pytest.raises(SettingsError) as refused:
        TrustSettings.from_environ(BASE | {f"FARSEAL_{name}": value for name, value in environ.items()})
    assert [fault.split(":")[0] for fault in refused.value.faults] == [f"FARSEAL_{name}" for name in named]


def test_several_issuers_are_fetched_in_time_as_well(tmp_path) -> None:
    """In the file and in code; one that is read from a directory is not fetched at all."""
    early = {"FARSEAL_STALE_AFTER_SECONDS": "200", "FARSEAL_REFUSE_AFTER_SECONDS": "300"}
    with pytest.raises(SettingsError, match="FARSEAL_REFRESH_CEILING_SECONDS: must be less than"):
        from_file(tmp_path, TWO, **early)
    with pytest.raises(SettingsError, match="FARSEAL_REFRESH_CEILING_SECONDS: must be less than"):
        TrustSettings(
            audience=NOTES,
            issuers=(IssuerSettings(issuer=OTHER, discovery=True),),
            stale_after_seconds=200,
            refuse_after_seconds=300,
        )
    assert from_file(tmp_path, TWO.partition("\n\n")[0], **early).refuse_after_seconds == 300


def test_an_http_host_is_allowed_by_name() -> None:
    """A neighbour in the same pod, say."""
    settings = TrustSettings.from_environ(
        BASE | {"FARSEAL_TRUST_URL": "http://keys.internal/jwks", "FARSEAL_TRUST_HTTP_HOSTS": "other, Keys.Internal"}
    )
    assert source_of(settings).status().workers[ISSUER].origin == "http://keys.internal/jwks"


def test_an_application_with_a_source_of_its_own_names_none() -> None:
    """Said when the settings are read; without a source they are refused where one is made."""
    settings = TrustSettings.from_environ(BASE, own_source=True)
    assert settings == TrustSettings(issuer=ISSUER, audience=NOTES)
    with pytest.raises(SettingsError, match="FARSEAL_TRUST_DIRECTORY: is not set"):
        source_of(settings)


def test_the_issuer_is_named_here_or_there(tmp_path) -> None:
    """Not at all, or twice, is a fault."""
    with pytest.raises(SettingsError, match=r"FARSEAL_ISSUER: is not set"):
        TrustSettings.from_environ({"FARSEAL_AUDIENCE": NOTES, "FARSEAL_TRUST_URL": KEYS})
    with pytest.raises(SettingsError, match=r"FARSEAL_ISSUER: must not be set beside several"):
        from_file(tmp_path, TWO, FARSEAL_ISSUER=ISSUER)
    with pytest.raises(SettingsError, match=r"FARSEAL_TRUST_URL: must not be set together with FARSEAL_ISSUERS_FILE"):
        from_file(tmp_path, TWO, FARSEAL_TRUST_URL=KEYS)


def table(**members: str) -> str:
    rest = "".join(f"{name} = {value}\n" for name, value in members.items())
    return f'[[issuer]]\nissuer = "{OTHER}"\n{rest}'


@pytest.mark.parametrize(
    ("text", "faults"),
    [
        pytest.param("", ["it has no [[issuer]]"], id="empty"),
        pytest.param("issuer = 1", ["it has no [[issuer]]"], id="issuer-a-number"),
        pytest.param("issuer = []", ["it has no [[issuer]]"], id="none"),
        pytest.param("issuer = [1]", ["issuer 1: it is not a table"], id="no-table"),
        pytest.param(b"\xff", ["it is not UTF-8"], id="not-utf8"),
        pytest.param("[[issuer", ["it is not TOML: "], id="not-toml"),
        pytest.param("#" * 70_000, ["it is longer than 65536 characters"], id="long"),
        pytest.param("a = " + "[" * 9_000, ["it is not TOML"], id="deep"),
        pytest.param(
            "issuers = 1\n" + table(trust_url=f'"{KEYS}"'),
            ["issuers: no such member; issuers are [[issuer]]"],
            id="unknown-member",
        ),
        pytest.param(
            table(),
            ["issuer 1: one of trust_directory, trust_url and discovery must be set"],
            id="nowhere",
        ),
        pytest.param(
            table(discovery="false"),
            ["issuer 1: one of trust_directory, trust_url and discovery must be set"],
            id="discovery-false",
        ),
        pytest.param(
            table(trust_url=f'"{KEYS}"', trust_directory='"/t"'),
            ["issuer 1: trust_directory: must not be set together with another"],
            id="two-places",
        ),
        pytest.param(
            table(trust_url='"http://other.example/keys"'), ["issuer 1: trust_url: must be https"], id="not-secure"
        ),
        pytest.param(
            table(trust_url='""', discovery="false"), ["issuer 1: trust_url: must be an https URL"], id="empty-address"
        ),
        pytest.param(
            table(trust_directory='""'), ["issuer 1: trust_directory: must not be empty"], id="empty-directory"
        ),
        pytest.param(
            table(trust_directory='"/a\\u0000b"'), ["issuer 1: trust_directory: must be a path"], id="no-path"
        ),
        pytest.param(
            table(trust_url=f'"{KEYS}"') + table(trust_url=f'"{KEYS}"'), [f"{OTHER}: must be there once"], id="twice"
        ),
        pytest.param(
            table(discovery="1", audience='"notes"', trust_directry='"/t"'),
            [
                "issuer 1: trust_directry: no such member; did you mean trust_directory?",
                "issuer 1: discovery: must be true or false",
                "issuer 1: audience: must be an absolute URI",
            ],
            id="three-at-once",
        ),
        pytest.param(
            '[[issuer]]\nissuer = "http://other.example"\ntrust_directory = "/t"\n[[issuer]]\ntrust_directory = "/t"',
            ["issuer 1: issuer: must be an https URL", "issuer 2: issuer: is not set"],
            id="issuers",
        ),
        pytest.param(
            table(discovery="true") + '[issuer.claims]\nexp = "e"\nscope = 1\nroles = ""',
            [
                "issuer 1: claims: must map scope, roles, groups, entitlements, client_id only, not 'exp'",
                "issuer 1: claims: scope: must be the name of a claim",
                "issuer 1: claims: roles: must be the name of a claim",
            ],
            id="claims",
        ),
        pytest.param('"a\\u001b[31m" = 1\n' + table(discovery="true"), ["a?[31m: no such member"], id="hostile"),
    ],
)
def test_every_fault_of_the_file_is_told_at_once(tmp_path, text, faults) -> None:
    """With the variable, the file and the number of the issuer; beside the faults of other variables."""
    with pytest.raises(SettingsError) as refused:
        from_file(tmp_path, text, FARSEAL_LEEWAY_SECONDS="x")
    told = [fault for fault in refused.value.faults if not fault.startswith("FARSEAL_LEEWAY_SECONDS")]
    assert len(refused.value.faults) == len(told) + 1
    assert len(told) == len(faults)
    for fault, begin in zip(told, faults, strict=True):
        assert fault.startswith(f"FARSEAL_ISSUERS_FILE: {tmp_path / 'issuers.toml'}: {begin}")


def test_a_file_that_is_not_there_is_a_fault(tmp_path) -> None:
    """In the system's words."""
    with pytest.raises(SettingsError, match=r"FARSEAL_ISSUERS_FILE: .*: it cannot be read: No such file"):
        TrustSettings(audience=NOTES, issuers_file=tmp_path / "none")
    with pytest.raises(SettingsError, match=r"FARSEAL_ISSUERS_FILE: .*: it cannot be read: Is a directory"):
        TrustSettings(audience=NOTES, issuers_file=tmp_path)


def test_faults_in_code_are_the_same(tmp_path) -> None:
    """Each issuer by itself, and all of them together."""
    with pytest.raises(SettingsError, match="trust_directory: must not be set together"):
        IssuerSettings(issuer=OTHER, trust_directory=tmp_path, trust_url=KEYS)
    twice = (IssuerSettings(issuer=OTHER, trust_directory=tmp_path),) * 2
    plain = IssuerSettings(issuer=ISSUER, trust_url="http://other.example/keys")
    for issuers, fault in (
        (twice, f"FARSEAL_ISSUERS: {OTHER}: must be there once"),
        ((plain,), f"FARSEAL_ISSUERS: {ISSUER}: trust_url: must be https"),
    ):
        with pytest.raises(SettingsError, match=fault):
            TrustSettings(audience=NOTES, issuers=issuers)
