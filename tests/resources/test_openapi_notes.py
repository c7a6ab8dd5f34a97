"""The notes API is what its openapi.yaml says, request by generated request."""

import re
from pathlib import Path

from farseal_testing.issuer import Issuer
from tests.resources.openapi import nonconformities
from tests.resources.people import token_of
from tests.resources.stack import Service

MORE = """
[checks.positive_data_acceptance]
# 401: the stateful phase also plays with credentials.
expected-statuses = ["2xx", "3xx", 401, 404]

[checks.missing_required_header]
expected-statuses = [428]

[[operations]]
include-operation-id = "listNotes"
# No schema can tell a cursor of ours from another text of its form: bad ones have tests of their own.
parameters = {{ cursor = "{cursor}" }}

[[operations]]
include-operation-id = ["readNote", "replaceNote", "deleteNote"]
# The generator takes 0 for a match of their pattern: quotes are beyond it. Bad ones have tests of their own.
parameters = {{ If-Match = "*", If-None-Match = '"7"' }}
"""


async def test_notes_conform(notes: Service, issuer: Issuer, tmp_path: Path) -> None:
    """Good requests are accepted, bad ones refused, every answer is one that the description names.

    Six operations of seven: the description itself is not among them.
    """
    token = token_of(issuer, lifetime=3600)
    for _ in range(2):
        await notes.ask("POST", "/notes", token, json={"title": "t"})
    cursor = (await notes.ask("GET", "/notes?limit=1", token)).json["next_cursor"]
    code, report = await nonconformities(notes, token, tmp_path, examples=10, more=MORE.format(cursor=cursor))
    assert code == 0, report
    assert "6 selected / 6 total" in report
    generated = re.search(r"(\d+) generated", report)
    assert generated
    assert int(generated[1]) > 100
