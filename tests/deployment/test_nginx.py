"""What nginx itself refuses is told as the services tell it. No engine is needed."""

import json
import re

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
