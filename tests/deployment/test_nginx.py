"""What nginx itself refuses is told as the services tell it. No engine is needed."""

import json
import re

import pytest

from farseal.problems import code_of
from scripts.walls import ROOT

NGINX = ROOT / "deploy" / "nginx"
PROBLEMS = (NGINX / "problems.conf").read_text()
OWN = {400: {"request_malformed", "tls_required"}, 503: {"unreachable"}}
"""Of a status that has a word of its own here; of others it is the services'."""


def test_every_refusal_has_an_answer_and_the_reverse() -> None:
    named = re.findall(r"^error_page [\d ]+(?:=\d+ )?(\S+);$", PROBLEMS, re.MULTILINE)
    assert sorted(named) == sorted(re.findall(r"location = (\S+) \{", PROBLEMS))
    assert len(named) == len(PROBLEMS.split("error_page ")) - 1


def test_each_answer_is_a_problem_as_a_service_tells_it() -> None:
    answers = re.findall(r"return (\d+) '(.*)';$", PROBLEMS, re.MULTILINE)
    assert len(answers) == PROBLEMS.count("return ")
    for status, text in answers:
        body = json.loads(text)
        assert set(body) - {"detail"} == {"type", "title", "status", "code"}
        assert str(body["status"]) == status
        assert body["type"] == f"urn:farseal:problem:{body['code']}"
        assert body["code"] in OWN.get(body["status"], {code_of(body["status"])})


def test_every_server_that_is_reached_tells_problems() -> None:
    for name in ("auth", "notes", "reports", "documents"):
        assert "include /etc/nginx/farseal/problems.conf;" in (NGINX / f"{name}.conf").read_text().splitlines(), name


@pytest.mark.parametrize("file", ["common.conf", "static.conf"])
def test_every_http_has_what_is_of_all(file: str) -> None:
    assert (NGINX / file).read_text().splitlines().count("include /etc/nginx/farseal/http.conf;") == 1


KEPT = {
    "http.conf": {
        "access_log off;": "queries may hold tokens and codes",
        "client_header_timeout 10s;": "heads that drip in",
        "client_body_timeout 10s;": "bodies that stop",
    },
    "common.conf": {
        "large_client_header_buffers 2 20k;": "a crowd of large heads fits into the memory",
        "proxy_set_header X-Forwarded-For $remote_addr;": "the throttle counts callers, not what they write",
        'proxy_set_header Forwarded "";': "nor in the other header",
        "proxy_next_upstream error timeout;": "a POST is sent once",
    },
    "main.conf": {"error_log /dev/stderr crit;": "an error is told with the request's line"},
    "documents.conf": {
        "disable_symlinks on;": "a link leads nowhere",
        "etag off;": "two lists of one second and one size are not one",
        "if_modified_since off;": "nor by their times",
    },
    "problems.conf": {"add_header Retry-After 1 always;": "a 503 says when to come again"},
    "tls.conf": {"ssl_protocols TLSv1.2 TLSv1.3;": "what is old is refused"},
}
"""Lines on which a promise rests, and which. A change of one is a decision, not a slip."""


@pytest.mark.parametrize(("file", "line"), [(file, line) for file, lines in KEPT.items() for line in lines])
def test_a_line_on_which_a_promise_rests_is_there_once_and_not_undone(file: str, line: str) -> None:
    lines = [text.strip() for text in (NGINX / file).read_text().splitlines()]
    assert lines.count(line) == 1, KEPT[file][line]
    words = 2 if line.startswith(("proxy_set_header", "add_header")) else 1
    directive = " ".join(line.split()[:words])
    everywhere = [
        text.strip()
        for conf in NGINX.glob("*.conf")
        for text in conf.read_text().splitlines()
        if text.strip().startswith(f"{directive} ")
    ]
    assert set(everywhere) == {line}, "and no other file says otherwise"


def test_the_documents_that_are_served_are_named_like_documents() -> None:
    """No temporary file of a writer, and nothing whose name begins with a dot."""
    documents = (NGINX / "documents.conf").read_text()
    patterns = re.findall(r'location ~ "([^"]+)" \{', documents)
    assert len(patterns) == 2
    for name in ("/.jwks.json.7.ab.tmp", "/.hidden.json", "/a/b.json", "/status/.x.jwt", "/x.tmp", "/../x.json"):
        assert not any(re.search(pattern, name) for pattern in patterns), name
    assert all(any(re.search(pattern, name) for pattern in patterns) for name in ("/a.json", "/status/a_-9.jwt"))
