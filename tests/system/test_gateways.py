"""The gateways in front of everything: whom they believe, what they say when nobody is behind them, what they write."""

import aiohttp

from farseal_testing.compose import Project
from tests.system.traffic import PATHS, SERVERS, log_in, request, until_answered

MARKER = "marker-that-nobody-may-write"
TRIES = 15
"""Of a wrong password; from one address ten are answered."""


async def test_without_a_replica_callers_are_told_and_nothing_of_theirs_is_written(project: Project, held) -> None:
    token = (await log_in(project)).access
    await project.stop("auth_server", *SERVERS)
    try:
        for server, path in {"auth_server": "/oauth2/token", **PATHS}.items():
            address = project.url(server) + path.partition("?")[0] + f"?access_token={MARKER}"
            got = await request("GET", address, headers={"Referer": f"http://127.0.0.1/?code={MARKER}"})
            assert (got.kind, got.unfit) == ("503 unreachable", ""), (server, got)
    finally:
        await project.start("auth_server", *SERVERS)
        await project.healthy()
    for server in SERVERS:
        await until_answered(project, server, token)
    for gateway in ("auth_gateway", "resource_gateway"):
        assert MARKER not in await project.logs(gateway, tail=1000)
    held("where no replica answers, callers are told when to come again", "three ports, 503 unreachable, Retry-After 1")


async def test_a_caller_does_not_choose_the_address_that_is_throttled(project: Project, held) -> None:
    wrong = aiohttp.encode_basic_auth("carol", "wrong")
    answers = []
    for number in range(TRIES):
        said = {
            "X-Forwarded-For": f"198.51.100.{number}",
            "Forwarded": f"for=198.51.100.{number}",
            "X-Real-IP": f"198.51.100.{number}",
        }
        headers = said | {"Authorization": wrong}
        answers.append((await request("POST", f"{project.url('auth_server')}/api/tokens", headers=headers)).status)
    assert set(answers) == {401, 429}, answers
    assert answers == sorted(answers), "once it is throttled it stays so"
    held("a caller who writes another address each time is throttled all the same", f"after {answers.index(429)} tries")
