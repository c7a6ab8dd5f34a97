"""Settings: every fault at once, none of them quoting a secret."""

import pickle
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from farseal.environment import (
    Secret,
    SettingsError,
    boolean,
    choice,
    csv,
    describe,
    duration,
    integer,
    load,
    path,
    port,
    rule,
    seconds,
    setting,
    text,
    together,
    url,
)

PREFIX = "NOTES_"
DSN = "postgresql://notes:hunter2@db/notes"


@dataclass(frozen=True, slots=True)
class Settings:
    """One field of each kind."""

    database_url: Secret = setting("Where the notes are", unit="DSN", secret=True, parse=url("postgresql"))
    name: str = setting("What it is called")
    port: int = setting("Port of the API", unit="TCP port", default=9001, parse=port)
    stale_seconds: int = setting("When to warn", unit="seconds", default=900, parse=seconds(1))
    refuse_seconds: int = setting("When to refuse", unit="seconds", default=3600, parse=seconds(1))
    rules_file: Path | None = setting("Rules", unit="path", default=None, parse=path)
    verbose: bool = setting("Say more", unit="boolean", default=False, parse=boolean)
    audiences: tuple[str, ...] = setting("Whom", unit="list", default=("a", "b"), parse=csv)

    @rule("stale_seconds", "refuse_seconds")
    def limits(self) -> Iterator[str]:
        """Both limits must make sense together."""
        if self.refuse_seconds <= self.stale_seconds:
            yield "REFUSE_SECONDS: must be more than NOTES_STALE_SECONDS"


GOOD = {"NOTES_DATABASE_URL": DSN, "NOTES_NAME": "n"}


def faults_of(environ: dict[str, str]) -> tuple[str, ...]:
    """The faults that loading these variables tells."""
    with pytest.raises(SettingsError) as caught:
        load(Settings, environ, PREFIX)
    return caught.value.faults


def test_variables_become_typed_values() -> None:
    """What is set is parsed, what is not set has its default, other prefixes are not looked at."""
    environ = GOOD | {"NOTES_PORT": "0", "NOTES_RULES_FILE": "/r", "NOTES_VERBOSE": "Yes", "NOTES_AUDIENCES": "x, y"}
    loaded = load(Settings, environ | {"OTHER_PORT": "x", "PATH": ""}, PREFIX)
    assert loaded == Settings(
        database_url=Secret(DSN), name="n", port=0, rules_file=Path("/r"), verbose=True, audiences=("x", "y")
    )


def test_five_faults_are_all_named_at_once(tmp_path) -> None:
    """A settings file with five faults: the operator mends five, not one five times."""
    file = tmp_path / "notes.env"
    file.write_text(
        "# Notes\n"
        "NOTES_DATABASE_URL=mysql://u:hunter2@h/d\n"
        "\n"
        "NOTES_PORT=70000\n"
        "NOTES_STALE_SECONDS=soon\n"
        "NOTES_PROT=9001\n"
        "NOTES_VERBOSE=perhaps\n"
        "NOTES_NAME=n\n"
    )
    faults = faults_of({"NOTES_SETTINGS_FILE": str(file)})
    assert len(faults) == 5
    expected = {
        f"NOTES_DATABASE_URL: must be an absolute URL (postgresql://) without a fragment ({file} line 2)",
        f"NOTES_PORT: must be a TCP port, 0 to 65535, not '70000' ({file} line 4)",
        f"NOTES_STALE_SECONDS: must be whole seconds, 1 or more, not 'soon' ({file} line 5)",
        f"NOTES_PROT: no such setting; did you mean NOTES_PORT? ({file} line 6)",
        f"NOTES_VERBOSE: must be true or false, not 'perhaps' ({file} line 7)",
    }
    assert set(faults) == expected
    with pytest.raises(SettingsError) as caught:
        load(Settings, {"NOTES_SETTINGS_FILE": str(file)}, PREFIX)
    assert "hunter2" not in str(caught.value)
    assert str(caught.value).startswith("5 faults in the settings:\n  NOTES_")


def test_the_environment_overrides_the_settings_file(tmp_path) -> None:
    """Also with the empty string, which unsets what the file says; values are taken as they are."""
    file = tmp_path / "notes.env"
    file.write_text(f"NOTES_DATABASE_URL = {DSN}\r\nNOTES_NAME='a = b'\nNOTES_PORT=1\nNOTES_STALE_SECONDS=2\n")
    environ = {"NOTES_SETTINGS_FILE": str(file), "NOTES_PORT": "3", "NOTES_STALE_SECONDS": ""}
    loaded = load(Settings, environ, PREFIX)
    assert (loaded.name, loaded.port, loaded.stale_seconds) == ("'a = b'", 3, 900)


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        pytest.param("hunter2", "a line without '='", id="no-equals"),
        pytest.param("export NOTES_PORT=1", "a line that does not begin with NAME=", id="export"),
        pytest.param("=hunter2", "a line that does not begin with NAME=", id="no-name"),
        pytest.param("OTHER_X=hunter2", "OTHER_X: does not belong into a settings file of NOTES_*", id="prefix"),
        pytest.param("NOTES_SETTINGS_FILE=x", "NOTES_SETTINGS_FILE: does not belong", id="itself"),
        pytest.param("NOTES_NAME=hunter2", "NOTES_NAME: set twice, first on line 2", id="twice"),
        pytest.param("NOTES_PORT=\x01", "NOTES_PORT: must be one line without control characters", id="control"),
    ],
)
def test_a_faulty_line_is_named_by_its_number_and_not_quoted(tmp_path, line, fault) -> None:
    """The line may be a secret that lost its name."""
    file = tmp_path / "notes.env"
    file.write_text(f"NOTES_DATABASE_URL={DSN}\nNOTES_NAME=n\n{line}\n")
    (told,) = faults_of({"NOTES_SETTINGS_FILE": str(file)})
    assert told.startswith(fault)
    assert f"({file} line 3)" in told
    assert "hunter2" not in told


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        pytest.param(None, "cannot be read: No such file or directory", id="absent"),
        pytest.param(b"\xff\xfe", "is not UTF-8", id="not-utf-8"),
        pytest.param(b"#" * 70_000, "is longer than 65536 characters", id="too-long"),
    ],
)
def test_a_settings_file_that_cannot_be_read_is_a_fault(tmp_path, content, fault) -> None:
    """It is told beside the other faults, not instead of them."""
    file = tmp_path / "notes.env"
    if content is not None:
        file.write_bytes(content)
    faults = faults_of({"NOTES_SETTINGS_FILE": str(file), "NOTES_PORT": "x"} | GOOD)
    assert faults[0] == f"NOTES_SETTINGS_FILE: the file {str(file)!r} {fault}"
    assert len(faults) == 2


def test_a_secret_comes_from_a_file(tmp_path) -> None:
    """NAME_FILE gives a secret without its trailing line end, and only a secret."""
    file = tmp_path / "dsn"
    file.write_text(DSN + "\r\n")
    assert load(Settings, {"NOTES_DATABASE_URL_FILE": str(file), "NOTES_NAME": "n"}, PREFIX).database_url == Secret(DSN)
    (fault,) = faults_of(GOOD | {"NOTES_NAME_FILE": str(file)})
    assert fault.startswith("NOTES_NAME_FILE: no such setting")


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        pytest.param(None, "cannot be read: No such file or directory", id="absent"),
        pytest.param("", "is empty", id="empty"),
        pytest.param("\n", "is empty", id="only-a-line-end"),
        pytest.param("mysql://hunter2\n", "must be an absolute URL", id="malformed"),
        pytest.param("postgresql://hunter2\nsecond", "must be one line", id="two-lines"),
    ],
)
def test_a_secret_file_with_a_fault_is_named_without_its_content(tmp_path, content, fault) -> None:
    """Unreadable, empty or malformed: the variable is named, the content is not."""
    file = tmp_path / "dsn"
    if content is not None:
        file.write_text(content)
    (told,) = faults_of({"NOTES_DATABASE_URL_FILE": str(file), "NOTES_NAME": "n"})
    assert fault in told
    assert "NOTES_DATABASE_URL" in told
    assert "hunter2" not in told


def test_a_nul_in_a_path_is_a_fault() -> None:
    """Python refuses such a path with `ValueError`; the operator gets a sentence."""
    (told,) = faults_of({"NOTES_DATABASE_URL_FILE": "a\0b", "NOTES_NAME": "n"})
    assert told.endswith("cannot be read: not a path")


def test_a_secret_given_twice_is_a_fault(tmp_path) -> None:
    """Which of the two holds would be a guess."""
    faults = faults_of(GOOD | {"NOTES_DATABASE_URL_FILE": str(tmp_path / "x")})
    assert faults == ("NOTES_DATABASE_URL: give NOTES_DATABASE_URL or NOTES_DATABASE_URL_FILE, not both",)


def test_what_is_missing_is_told_with_its_purpose() -> None:
    """A required variable names its file variant when it has one; the empty string means unset."""
    assert faults_of({"NOTES_NAME": ""}) == (
        "NOTES_DATABASE_URL (or NOTES_DATABASE_URL_FILE): is not set: Where the notes are [DSN]",
        "NOTES_NAME: is not set: What it is called [text]",
    )


def test_a_rule_is_held_as_soon_as_its_own_fields_are_good() -> None:
    """Faults elsewhere do not hide it; a field of its own that cannot be read does."""
    broken = "NOTES_REFUSE_SECONDS: must be more than NOTES_STALE_SECONDS"
    assert faults_of(GOOD | {"NOTES_STALE_SECONDS": "3600"}) == (broken,)
    assert faults_of({"NOTES_STALE_SECONDS": "3600", "NOTES_PORT": "x", "NOTES_NAMES": "y"})[-1] == broken
    assert broken not in faults_of(GOOD | {"NOTES_STALE_SECONDS": "3600", "NOTES_REFUSE_SECONDS": "soon"})


def test_names_of_somebody_else_are_left_alone() -> None:
    """Another program's variables may share the prefix, when the caller knows them."""
    environ = GOOD | {"NOTES_WQZ": "x"}
    assert load(Settings, environ, PREFIX, also={"NOTES_WQZ"}).name == "n"
    assert faults_of(environ) == ("NOTES_WQZ: no such setting",)


def test_text_that_is_no_unicode_is_a_fault() -> None:
    """Bytes that are not UTF-8 reach Python as lone surrogates."""
    assert faults_of(GOOD | {"NOTES_NAME": "\udcff"})[0].startswith("NOTES_NAME: must be UTF-8")


def test_a_long_value_is_quoted_in_part() -> None:
    """A fault is one line that can be read."""
    (fault,) = faults_of(GOOD | {"NOTES_PORT": "9" * 500})
    assert len(fault) < 130


def test_several_classes_tell_their_faults_together() -> None:
    """A service has settings of its own and of the library: one start, all faults."""
    with pytest.raises(SettingsError) as caught:
        together(lambda: load(Settings, {}, "A_"), lambda: load(Settings, GOOD | {"NOTES_PORT": "x"}, PREFIX))
    assert [fault.split("_")[0] for fault in caught.value.faults] == ["A", "A", "NOTES"]
    first, second = together(lambda: load(Settings, GOOD, PREFIX), lambda: 2)
    assert (first.name, second) == ("n", 2)


def test_every_variable_is_described() -> None:
    """The table in docs/configuration.md is made of this."""
    docs = {doc.name: doc for doc in describe(Settings, PREFIX)}
    assert next(iter(docs)) == "NOTES_DATABASE_URL"
    assert list(docs)[-1] == "NOTES_SETTINGS_FILE"
    assert docs["NOTES_DATABASE_URL"].default is None
    assert docs["NOTES_DATABASE_URL"].secret
    shown = {name: doc.default for name, doc in docs.items()}
    assert shown["NOTES_PORT"] == "9001"
    assert shown["NOTES_RULES_FILE"] == ""
    assert shown["NOTES_VERBOSE"] == "false"
    assert shown["NOTES_AUDIENCES"] == "a,b"


@pytest.mark.parametrize(
    ("parse", "value", "parsed"),
    [
        pytest.param(text, " a ", " a ", id="text"),
        pytest.param(integer(), "-5", -5, id="integer"),
        pytest.param(integer(1, 3), "1", 1, id="least"),
        pytest.param(integer(1, 3), "3", 3, id="most"),
        pytest.param(duration(), "0.25", 0.25, id="fraction"),
        pytest.param(duration(1, 2), "2", 2.0, id="whole"),
        pytest.param(seconds(0, 9), "9", 9, id="seconds"),
        pytest.param(boolean, "ON", True, id="on"),
        pytest.param(boolean, "0", False, id="zero"),
        pytest.param(url(), "https://a.example/b?c", "https://a.example/b?c", id="https"),
        pytest.param(url("postgresql"), "postgresql:///d?host=/run", "postgresql:///d?host=/run", id="socket-dsn"),
        pytest.param(csv, "a", ("a",), id="one-item"),
        pytest.param(choice("a", "b"), "b", "b", id="choice"),
    ],
)
def test_parsers_read(parse, value, parsed) -> None:
    """The boundaries are inside."""
    assert parse(value) == parsed
    assert type(parse(value)) is type(parsed)


@pytest.mark.parametrize(
    ("parse", "value"),
    [
        pytest.param(integer(1, 3), "0", id="below"),
        pytest.param(integer(1, 3), "4", id="above"),
        pytest.param(integer(most=3), "4", id="above-alone"),
        pytest.param(integer(), "1_0", id="underscore"),
        pytest.param(integer(), "\u0661", id="arabic-digit"),
        pytest.param(integer(), "9" * 5000, id="endless"),
        pytest.param(integer(), "1.0", id="fraction"),
        pytest.param(duration(1, 2), "2.1", id="too-long"),
        pytest.param(duration(1), "0.9", id="too-short"),
        pytest.param(duration(), "nan", id="nan"),
        pytest.param(seconds(), "-1", id="negative"),
        pytest.param(port, "65536", id="port-above"),
        pytest.param(port, "-1", id="port-below"),
        pytest.param(url(), "ftp://a", id="scheme"),
        pytest.param(url(), "http://a#b", id="fragment"),
        pytest.param(url(), "http://a#", id="empty-fragment"),
        pytest.param(url(), "http:///b", id="no-host"),
        pytest.param(url(), "http://a b", id="blank"),
        pytest.param(url(), "http://a:port", id="port-word"),
        pytest.param(url(), "http://ä", id="not-ascii"),
        pytest.param(url("postgresql"), "postgresql:/d", id="dsn-one-slash"),
        pytest.param(csv, "a,,b", id="empty-item"),
        pytest.param(csv, "a,a", id="repeated-item"),
        pytest.param(choice("a", "b"), "A", id="other-case"),
    ],
)
def test_parsers_refuse_and_do_not_quote(parse, value) -> None:
    """The sentence says what is wanted."""
    with pytest.raises(ValueError, match=r"^must be ") as caught:
        parse(value)
    assert len(value) < 5 or value not in str(caught.value)


@given(st.text(max_size=40))
def test_no_text_breaks_a_parser(value) -> None:
    """Whatever is set, a parser gives a value or a `ValueError` with a sentence."""
    for parse in (
        integer(0, 9),
        seconds(),
        duration(),
        port,
        boolean,
        path,
        url(),
        url("postgresql"),
        csv,
        choice("a"),
    ):
        try:
            parse(value)
        except ValueError as error:
            assert str(error).startswith("must be ")


def test_a_secret_does_not_show_itself() -> None:
    """Not by repr, str, format, in a record, or pickled; it still compares and hashes."""
    secret = Secret("hunter2")
    record = load(Settings, GOOD, PREFIX)
    assert "hunter2" not in f"{secret} {secret!r} {secret:>20} {record}"
    assert "hunter2" not in str(secret) + repr(secret)
    assert secret.reveal() == "hunter2"
    assert secret == Secret("hunter2") != Secret("x")
    assert secret != "hunter2"
    assert len({secret, Secret("hunter2")}) == 1
    assert (bool(secret), bool(Secret(""))) == (True, False)
    with pytest.raises(TypeError):
        pickle.dumps(secret)
