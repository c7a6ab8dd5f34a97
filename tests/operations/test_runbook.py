"""Each section of docs/operations.md is followed to the letter on a host of its own, while a witness keeps asking."""

import re
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.operations.host import Host, running
from tests.operations.person import Person
from tests.operations.witness import Witness
from tests.support.auth import NOTES, migrate, seed
from tests.support.postgres import TestServer, run_apart
from tests.support.readme import Step, matches

PAGE = (Path(__file__).parents[2] / "docs" / "operations.md").read_text(encoding="utf-8")
END = "-- end of step --"
LATER_SECONDS = 9
"""A day, on a host whose keys are announced for 6 s (`tests.operations.host.POLICY`), and what a busy machine adds."""
GRACE_SECONDS = 1
"""On a host of these tests (`tests.operations.host.POLICY`)."""
SETTLED = "until farseal-auth keys list | cut -f2 | grep -q ready; do sleep 0.2; done"
"""Before anything is done a first start has come to its end: the pool is filled."""


@dataclass(frozen=True)
class Section:
    """The steps of one heading. A pause is a step without a command to compare."""

    title: str
    steps: tuple[Step | None, ...]


def sections(page: str) -> dict[str, Section]:
    """Every heading with the commands below it; None where the page says that time passes."""
    found = {}
    for part in re.split(r"^## ", page, flags=re.MULTILINE)[1:]:
        title, _, text = part.partition("\n")
        steps: list[Step | None] = []
        for before, block in re.findall(r"(.*?)^```console\n(.*?)^```", text, re.MULTILINE | re.DOTALL):
            if re.search(r"^(Later|A while later)\b", before, re.MULTILINE):
                steps.append(None)
            for piece in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
                command, _, output = piece.partition("\n")
                steps.append(Step(command, output.strip()))
        found[title] = Section(title, tuple(steps))
    return found


SECTIONS = sections(PAGE)
BEGIN = SECTIONS["The host of this page"].steps

ELSEWHERE = (401, "upstream_token_refused")
"""What reports answers where notes knows of something a moment before it does."""
REVOKED = {(401, "key_revoked"), ELSEWHERE}
"""What a token of a withdrawn key gets."""


def differences(host: Host, section: Section, *, rested: bool = False) -> list[str]:
    """What the host says otherwise than the page. One shell takes all lines, as an operator's does.

    Args:
        host: freshly started.
        section: of the page.
        rested: begin a day later, when every verifier holds the announced key.
    """
    steps = [*BEGIN, Step(SETTLED, ""), *([None] if rested else []), *section.steps]
    script = "".join(
        f"sleep {LATER_SECONDS}\n" if step is None else f"{host.here(step.command)}\necho; echo '{END}'\n"
        for step in steps
    )
    pasted = [step for step in steps if step is not None]
    said = [part.strip() for part in host.shell(script, seconds=240).split(END)[:-1]]
    assert len(said) == len(pasted), said
    return [
        f"$ {step.command}\n{answer}"
        for step, answer in zip(pasted, said, strict=True)
        if not matches(host.here(step.output), answer)
    ]


@pytest.fixture
def host(postgres_server: TestServer, tmp_path: Path) -> Iterator[Host]:
    """All three services run."""
    databases = [run_apart(postgres_server.create_database()) for _ in range(2)]
    run_apart(migrate(databases[0]))
    run_apart(seed(databases[0]))
    with running(Host(tmp_path / "host", auth_dsn=databases[0], notes_dsn=databases[1]), *UNITS_AT_START) as host:
        yield host
    for dsn in databases:
        run_apart(postgres_server.drop_database(dsn))


UNITS_AT_START = ("farseal-auth", "notes", "reports")


def test_every_section_with_commands_has_a_test() -> None:
    """A section that nobody follows would rot."""
    with_commands = {title for title, section in SECTIONS.items() if section.steps} - {"The host of this page"}
    here = Path(__file__).read_text(encoding="utf-8")
    assert {title for title in with_commands if f'SECTIONS["{title}"]' not in here} == set()


def test_is_all_well(host: Host) -> None:
    assert differences(host, SECTIONS["Is all well?"]) == []


def test_a_routine_rotation_fails_nobody(host: Host) -> None:
    """Not one request of either resource server, with tokens of both keys."""
    with Witness(host) as witness:
        wrong = differences(host, SECTIONS["Routine rotation"])
        wait_for_kids(witness, 2)
    assert wrong == []
    assert witness.failures == {}


def test_a_revocation_is_refused_everywhere_and_new_tokens_are_good(host: Host) -> None:
    """What fails says why, and it is the revoked key's tokens alone."""
    with Witness(host) as witness:
        stolen = witness.token()
        assert stolen is not None
        wrong = differences(host, SECTIONS["A key became known: emergency revocation"], rested=True)
        assert {witness.show(place, stolen) for place in witness.places} == {(401, "key_revoked")}
        fresh = witness.token()
        assert fresh is not None
        assert {witness.show(place, fresh) for place in witness.places} == {(200, "")}
    assert wrong == []
    assert {answer[1:] for answer in witness.failures} <= REVOKED


def test_somebody_is_logged_out_everywhere(host: Host) -> None:
    """All sessions of alice are refused at both, and nobody else's."""
    alice, bob = Person(host, "alice"), Person(host, "bob")
    tokens = [alice.log_in().access, alice.log_in().access]
    other = bob.log_in().access
    with Witness(host) as witness:
        wrong = differences(host, SECTIONS["Somebody is to be logged out everywhere"])
        for token in tokens:
            assert refused(witness, token)
        assert witness.show(NOTES, other) == (200, "")
        assert witness.show(NOTES, alice.log_in().access) == (200, "")
    assert wrong == []
    assert witness.failures == {}


def test_every_session_of_a_client_ends(host: Host) -> None:
    """Its tokens are refused, and the old secret opens nothing; what its new secret is given is good."""
    person = Person(host, "alice").log_in().access
    with Witness(host) as witness:
        old = witness.token()
        assert old is not None
        wrong = differences(host, SECTIONS["Every session of a client must end"])
        assert refused(witness, old)
        assert witness.token() is None
        assert {witness.show(place, person) for place in witness.places} == {(200, "")}
    assert wrong == []
    assert {answer[1:] for answer in witness.failures} <= {(401, "token_revoked"), ELSEWHERE}


def test_a_stolen_refresh_token_ends_its_session_alone(host: Host) -> None:
    """The owner refreshes, the thief comes after the grace window: both are out. Another session of hers is good."""
    alice = Person(host, "alice")
    stolen, other = alice.log_in(), alice.log_in()
    own = alice.refresh(stolen)
    assert own is not None
    time.sleep(GRACE_SECONDS + 1)
    assert alice.refresh(stolen) is None
    assert alice.refresh(own) is None
    with Witness(host) as witness:
        assert refused(witness, own.access)
        assert {witness.show(place, other.access) for place in witness.places} == {(200, "")}
        wrong = differences(host, SECTIONS["A refresh token was stolen"])
        assert refused(witness, other.access)
    assert wrong == []
    assert witness.failures == {}


def test_another_kek_interrupts_nobody(host: Host) -> None:
    """The same keys sign before, during and after, and nothing is left under the old one."""
    with Witness(host) as witness:
        wrong = differences(host, SECTIONS["A new key-encryption key"])
    assert wrong == []
    assert witness.failures == {}
    assert len(witness.kids) == 1


def test_a_lost_kek_costs_nobody_a_token(host: Host) -> None:
    """Tokens of the old keys are taken all the time; one of the new key may come a moment before verifiers know it."""
    with Witness(host) as witness:
        old = witness.token()
        assert old is not None
        wrong = differences(host, SECTIONS["The key-encryption key is lost"])
        assert {witness.show(place, old) for place in witness.places} == {(200, "")}
        assert witness.wait(lambda: len(witness.kids) == 2)
        fresh = witness.token()
        assert fresh is not None
        assert witness.wait(lambda: {witness.show(place, fresh) for place in witness.places} == {(200, "")})
    assert wrong == []
    assert {answer[1:] for answer in witness.failures} <= {(401, "key_unknown"), ELSEWHERE}


def test_a_restored_backup_brings_no_revoked_key_back(host: Host) -> None:
    """What fails is the revoked key's alone; tokens of every other key are good, those of keys that were lost too.

    A session that ended after the backup stays ended, and no later one is mistaken for it.
    """
    with Witness(host) as witness:
        person = Person(host, "alice").log_in()
        wrong = differences(host, SECTIONS["The database was restored from a backup"], rested=True)
        fresh = witness.token()
        assert fresh is not None
        assert witness.wait(lambda: {witness.show(place, fresh) for place in witness.places} == {(200, "")})
        assert refused(witness, person.access)
        assert Person(host, "alice").refresh(person) is None
    assert wrong == []
    assert {answer[1:] for answer in witness.failures} <= REVOKED


def test_an_issuer_that_is_down_for_a_day_is_needed_by_nobody(host: Host) -> None:
    """Stale after a few seconds here. The only failures are those of the service that is being restarted."""
    for unit in ("notes", "reports"):
        host.set(unit, FARSEAL_STALE_AFTER_SECONDS="4", FARSEAL_REFUSE_AFTER_SECONDS="3600")
        host.systemctl("restart", unit)
    with Witness(host) as witness:
        assert witness.wait(lambda: bool(witness.answers))
        wrong = differences(host, SECTIONS["The issuer is down for a day"])
    assert wrong == []
    # Nobody listens while notes is restarted: no answer here, and a report without notes there.
    assert {answer[1:] for answer in witness.failures} <= {
        (0, ""),
        (502, "upstream_unreachable"),
        (502, "upstream_failed"),
    }


def test_a_directory_that_cannot_be_written_stops_no_token(host: Host) -> None:
    """A file lies where the directory was when the server starts; tokens are issued and taken all the same."""
    host.systemctl("stop", "farseal-auth")
    host.published.rename(host.published.with_name("away"))
    host.published.touch()
    host.systemctl("start", "farseal-auth")
    with Witness(host) as witness:
        assert witness.wait(lambda: bool(witness.answers))
        wrong = differences(host, SECTIONS["The published directory cannot be written"])
        assert witness.token() is not None
    assert wrong == []
    assert witness.failures == {}


def test_status_lists_that_stop_are_told_and_come_again(host: Host) -> None:
    """Stale after 4 s and expired after 24 s here. Never 401, and no service but the issuer is started anew."""
    host.set("farseal-auth", AUTH_SERVER_STATUS_LIST_SECONDS="24")
    host.systemctl("restart", "farseal-auth")
    host.hurry("notes", stale_after=4, refuse_after=3600)
    host.systemctl("restart", "notes")
    with Witness(host) as witness:
        assert witness.wait(lambda: bool(witness.answers))
        wrong = differences(host, SECTIONS["The status lists stop coming"])
    assert wrong == []
    assert {answer[1:] for answer in witness.failures} <= {
        (503, "status_unavailable"),
        (502, "upstream_failed"),
        (503, "upstream_unavailable"),
    }


def refused(witness: Witness, token: str) -> bool:
    """Whether both resource servers refuse a token, within the bound."""
    return witness.wait(
        lambda: {witness.show(place, token) for place in witness.places} == {(401, "token_revoked")}, seconds=2
    )


def wait_for_kids(witness: Witness, count: int) -> None:
    """Until tokens of so many keys have been seen."""
    assert witness.wait(lambda: len(witness.kids) >= count), witness.kids
