"""``farseal explain``: the answer of the middleware, in words and beforehand."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from aiohttp import ClientSession, web
from yarl import URL

from farseal.access import parse_rules
from farseal.cli import main
from farseal.cli.explaining import explain
from farseal.web import access_rules, requires, setup
from farseal.web.preview import routed, setup_faults
from tests.support.protected import NOW, notes_app, settings_for

RULES = """\
GET     /notes/public   public
GET     /notes/*        scope:notes:read role:reader
POST    /any/**         authenticated
"""


@pytest.fixture
def rules_file(tmp_path: Path) -> Path:
    file = tmp_path / "access.rules"
    file.write_text(RULES)
    return file


def test_it_says_which_rule_answers_and_why_not_the_ones_before(rules_file, capsys) -> None:
    """With their lines, their texts and the place where the path differs."""
    assert main(["explain", "get", "/notes/1?q=%2F", "--rules", str(rules_file)]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "GET /notes/1",
        "  - line 1 (GET /notes/public public): segment 2 is '1', not 'public'",
        "  > line 2 (GET /notes/* scope:notes:read role:reader) answers",
        "needs a good token with scope notes:read and role reader",
    ]


@pytest.mark.parametrize(
    ("method", "path", "code", "last"),
    [
        pytest.param("HEAD", "/notes/public", 0, "public: no credentials are looked at", id="public"),
        pytest.param("POST", "/any/x", 0, "needs a good token, whatever it carries", id="authenticated"),
        pytest.param("PUT", "/any/x", 3, "denied: nothing lets anybody do this", id="denied"),
        pytest.param("GET", "//notes/public", 3, "denied: nothing lets anybody do this", id="two-slashes"),
        pytest.param(
            "GET",
            "/notes%2Fpublic",
            3,
            "refused with 400 before any rule: The path has an encoded slash, a stray percent sign or bytes that are "
            "not UTF-8",
            id="path-refused",
        ),
        pytest.param(
            "GET", "/notes/../x", 3, "refused with 400 before any rule: The path has a dot segment", id="dots"
        ),
    ],
)
def test_exit_codes_tell_answered_from_denied(*, rules_file, capsys, method, path, code, last) -> None:
    """0 when somebody may pass, 3 when nobody may."""
    assert main(["explain", method, path, "--rules", str(rules_file)]) == code
    assert capsys.readouterr().out.splitlines()[-1] == last


def test_control_characters_never_reach_the_terminal(rules_file, capsys) -> None:
    """A path is often pasted from a log."""
    assert main(["explain", "GET", "/notes/\x1b[31m\u202e", "--rules", str(rules_file)]) == 3
    assert main(["explain", "GET", "/notes/%E2%80%AEx", "--rules", str(rules_file)]) == 0
    out = capsys.readouterr().out
    assert "\x1b" not in out
    assert "\u202e" not in out
    assert "\\u202e" in out


def test_scripts_get_json(rules_file, capsys) -> None:
    """The same answer in members with fixed names."""
    assert main(["explain", "GET", "/notes/1", "--json", "--rules", str(rules_file)]) == 0
    assert json.loads(capsys.readouterr().out) == {
        "method": "GET",
        "path": "/notes/1",
        "verdict": "authenticated",
        "rule": {"line": 2, "text": "GET /notes/* scope:notes:read role:reader"},
        "passed_over": [{"line": 1, "text": "GET /notes/public public", "why": "segment 2 is '1', not 'public'"}],
        "route": None,
        "needs": {"public": False, "scopes": ["notes:read"], "roles": ["reader"]},
        "fault": None,
    }
    for path, verdict in (("/notes/public", "public"), ("/x", "denied"), ("/..", "path_refused")):
        main(["explain", "GET", path, "--json", "--rules", str(rules_file)])
        assert json.loads(capsys.readouterr().out)["verdict"] == verdict


def test_the_file_of_the_environment_is_asked_otherwise(rules_file, capsys, monkeypatch) -> None:
    """FARSEAL_ACCESS_RULES_FILE is what the service reads too."""
    monkeypatch.setenv("FARSEAL_ACCESS_RULES_FILE", str(rules_file))
    assert main(["explain", "GET", "/notes/public"]) == 0
    monkeypatch.delenv("FARSEAL_ACCESS_RULES_FILE")
    assert main(["explain", "GET", "/notes/public"]) == 2
    assert "name --app, --rules or FARSEAL_ACCESS_RULES_FILE" in capsys.readouterr().err


# Applications to be named on the command line ------------------------------------------------------------------------

here_rules = parse_rules("GET /a public")
not_rules = 7
plain_app = web.Application()


class Box:
    rules = here_rules


def make_rules():
    return here_rules


def make_app() -> web.Application:
    return notes_app(settings_for(Path("/none")), rules="GET /notes/* public\nGET /notes role:x")


async def make_app_later() -> web.Application:
    return make_app()


def make_faulty_rules():
    return parse_rules("GET /a public\nGET /a public")


def make_overridden_app() -> web.Application:
    return notes_app(settings_for(Path("/none")), rules="GET /** public")


def make_trouble():
    raise RuntimeError("eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJhIn0.c2lnbmF0dXJl broke")


THIS = "tests.verification.named_applications"


@pytest.fixture(autouse=True)
def _named(monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, THIS, sys.modules[__name__])


@pytest.mark.parametrize("name", ["here_rules", "Box.rules", "make_rules"])
def test_rules_may_be_named_in_code(name, capsys) -> None:
    """An object, an attribute of one, or a function that makes it."""
    assert main(["explain", "GET", "/a", "--app", f"{THIS}:{name}"]) == 0
    assert "(GET /a public) answers" in capsys.readouterr().out


@pytest.mark.parametrize("name", ["make_app", "make_app_later"])
@pytest.mark.parametrize(
    ("method", "path", "code", "lines"),
    [
        pytest.param(
            "GET",
            "/notes",
            0,
            [
                "  > line 2 (GET /notes role:x) answers",
                "  > the handler of /notes requires scope:notes:read",
                "needs a good token with scope notes:read and role x",
            ],
            id="rule-and-handler",
        ),
        pytest.param(
            "GET",
            "/notes/1",
            0,
            ["    the handler of /notes/{id} requires nothing of its own", "public: no credentials are looked at"],
            id="rule-alone",
        ),
        pytest.param(
            "PATCH",
            "/notes/1",
            3,
            [
                "    the application has no such route: 405 (it takes DELETE, GET, HEAD) for those who may ask",
                "denied: nothing lets anybody do this",
            ],
            id="no-such-method",
        ),
        pytest.param(
            "GET",
            "/nowhere",
            3,
            [
                "    the application has no such route: 404 for those who may ask",
                "denied: nothing lets anybody do this",
            ],
            id="no-such-path",
        ),
        pytest.param(
            "GET",
            "/.well-known/oauth-protected-resource",
            0,
            ["  > the metadata of this service, public by itself", "public: no credentials are looked at"],
            id="metadata",
        ),
    ],
)
def test_an_application_tells_its_routes_too(*, capsys, name, method, path, code, lines) -> None:
    """What the handler requires, and whether there is one at all."""
    assert main(["explain", method, path, "--app", f"{THIS}:{name}"]) == code
    out = capsys.readouterr().out.splitlines()
    assert out[-len(lines) :] == lines


def test_an_application_in_json(capsys) -> None:
    """The route is a member of its own."""
    assert main(["explain", "GET", "/notes", "--json", "--app", f"{THIS}:make_app"]) == 0
    assert json.loads(capsys.readouterr().out)["route"] == {
        "path": "/notes",
        "status": None,
        "requires": {"public": False, "scopes": ["notes:read"], "roles": []},
    }


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        pytest.param(["explain", "GET"], "required", id="no-path"),
        pytest.param(["explain", "GET", "notes"], "PATH begins with /", id="relative-path"),
        pytest.param(["explain", "GET", "/a", "--rules", "/none"], "cannot be read", id="no-file"),
        pytest.param(["explain", "GET", "/a", "--rules", "/none", "--app", "a:b"], "not allowed with", id="both"),
        pytest.param(["explain", "GET", "/a", "--app", "a"], "MODULE:NAME", id="no-colon"),
        pytest.param(["explain", "GET", "/a", "--app", "no.such:x"], "ModuleNotFoundError", id="no-module"),
        pytest.param(["explain", "GET", "/a", "--app", f"{THIS}:nothing"], "AttributeError", id="no-name"),
        pytest.param(["explain", "GET", "/a", "--app", f"{THIS}:not_rules"], "neither access rules", id="neither"),
        pytest.param(["explain", "GET", "/a", "--app", f"{THIS}:plain_app"], "is not protected", id="not-protected"),
        pytest.param(["explain", "GET", "/a", "--app", f"{THIS}:make_trouble"], "[token] broke", id="broken"),
        pytest.param(["explain", "GET", "/a", "--app", f"{THIS}:make_faulty_rules"], "never answer", id="faulty"),
        pytest.param(
            ["explain", "GET", "/a", "--app", f"{THIS}:make_overridden_app"], "would not start", id="would-not-start"
        ),
        pytest.param([], "required", id="no-command"),
        pytest.param(["other"], "invalid choice", id="unknown-command"),
        pytest.param(["explain", "GET", "/a", "b"], "no option or place takes", id="too-many"),
    ],
)
def test_wrong_usage_is_code_2_with_one_clear_line(capsys, arguments, message) -> None:
    """And no stack trace, whatever the code that was named does."""
    assert main(arguments) == 2
    err = capsys.readouterr().err
    assert message in err
    assert "Traceback" not in err


def test_help_documents_the_exit_codes(capsys) -> None:
    """Where people look for them."""
    assert main(["explain", "--help"]) == 0
    assert "denied to everybody" in capsys.readouterr().out


async def test_it_agrees_with_the_running_server(aiohttp_server, tmp_path) -> None:
    """For every request of a table, public or not is what an anonymous caller meets."""

    @requires("notes:read")
    async def own(_request: web.Request) -> web.Response:
        return web.Response()

    app = notes_app(settings_for(tmp_path), rules=RULES)
    app.router.add_get("/own/{x}", own)
    server = await aiohttp_server(app)
    async with ClientSession() as session:
        for method in ("GET", "HEAD", "POST", "PUT"):
            for path in ("/notes/public", "/notes/1", "/notes", "/any/x", "/own/1", "/a%2Fb", "/no", "/notes/public/"):
                url = URL(path, encoded=True)
                told = explain(access_rules(app), method, url.path_safe, await routed(app, method, url))
                target = URL(str(server.make_url("/")).rstrip("/") + path, encoded=True)
                async with session.request(method, target) as answer:
                    expected = 400 if told.fault else 200 if str(told.needs) == "public" else 401
                    assert (method, path, answer.status) == (method, path, expected)


def test_the_module_runs_as_a_command(rules_file) -> None:
    """`python -m farseal` from a folder of one's own; a reader that goes away early is no error."""
    command = [sys.executable, "-m", "farseal", "explain", "GET", "/notes/public", "--rules", str(rules_file)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=rules_file.parent)
    assert done.returncode == 0
    assert done.stdout.endswith("public: no credentials are looked at\n")
    gone = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert gone.stdout is not None
    gone.stdout.close()
    _, err = gone.communicate(timeout=20)
    assert (gone.returncode, err) == (0, "")


def test_a_module_beside_the_caller_is_found(tmp_path) -> None:
    """The installed command does not have the working directory on its path; what is asked about is there."""
    (tmp_path / "my_service.py").write_text(
        "from farseal.access import parse_rules\nRULES = parse_rules('GET /a public')"
    )
    command = [sys.executable, "-P", "-m", "farseal", "explain", "GET", "/a", "--app", "my_service:RULES"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")


async def test_setup_without_rules_leaves_the_handlers_alone(capsys) -> None:
    """No rules at all is a way to use the library."""
    app = web.Application()
    setup(app, settings_for(Path("/none")), clock=lambda: NOW)
    assert setup_faults(app) == ()
    assert setup_faults(web.Application()) == ()


def test_the_readme_shows_what_the_command_says(tmp_path, capsys) -> None:
    """Its rules parse, and its answer is the answer."""
    readme = (Path(__file__).parents[2] / "shared" / "README.md").read_text(encoding="utf-8")
    rules = tmp_path / "access.rules"
    rules.write_text(readme.split("```\n# METHODS", 1)[1].split("```", 1)[0].join(("# METHODS", "")))
    shown = readme.split("$ python -m farseal explain ", 1)[1].split("```", 1)[0]
    command, answer = shown.split("\n", 1)
    arguments = [str(rules) if word == "access.rules" else word for word in command.split()]
    assert main(["explain", *arguments]) == 0
    assert capsys.readouterr().out == answer


def test_faults_are_told_one_a_line(capsys, tmp_path) -> None:
    """The line ends of our own messages are meant; those of hostile text are escaped."""
    assert main(["explain", "GET", "/x", "--rules", str(tmp_path / "a\nb")]) == 2
    said = capsys.readouterr().err
    assert "1 fault in the settings:\n  the access rules" in said
    assert len(said.splitlines()) == 2
