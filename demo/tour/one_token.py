"""Act 1: alice logs in once, and two services that know nothing of each other's people answer her."""

from dataclasses import dataclass
from typing import Final

from demo.tour.stage import Stage
from demo.tour.verdict import Verdict, faults_of
from farseal_testing.issuer import claims_of

NUMBER: Final = 1
TITLE: Final = "One token"


@dataclass(frozen=True, slots=True)
class Figures:
    """What alice saw."""

    logins: int
    audiences: int
    created: int
    listed: int
    note_in_list: bool
    reported: int
    report_is_hers: bool


async def play(stage: Stage) -> Figures:
    """Log in, write a note at resource_a, list it, ask resource_b for a report. Keeps the token for the other acts."""
    before = await stage.issuer_requests()
    stage.token = await stage.login("alice")
    claims = claims_of(stage.token)
    audience = claims["aud"]
    notes = f"{stage.addresses.notes}/notes"
    new = {"title": "A note of the tour", "body": "Written with the one token."}
    created = await stage.request("POST", notes, token=stage.token, body=new)
    listed = await stage.request("GET", notes, token=stage.token)
    reported = await stage.request("GET", f"{stage.addresses.reports}/reports/mine", token=stage.token)
    if created.status == 201:
        stage.left_behind.append(f"{notes}/{created.body['id']}")
    ids = [note["id"] for note in listed.body["notes"]] if listed.status == 200 else []
    return Figures(
        logins=await stage.issuer_requests() - before,
        audiences=len(audience) if isinstance(audience, list) else 1,
        created=created.status,
        listed=listed.status,
        note_in_list=created.status == 201 and created.body["id"] in ids,
        reported=reported.status,
        report_is_hers=reported.status == 200 and reported.body["subject"] == claims["sub"],
    )


def judge(figures: Figures) -> Verdict:
    """Hold it against the claim: one login, both services answer, about her."""
    return Verdict(
        NUMBER,
        TITLE,
        f"{figures.logins} login; resource_a {figures.created} and {figures.listed}, resource_b {figures.reported}, "
        f"one token for {figures.audiences} audiences",
        faults_of(
            {
                f"the auth server was asked {figures.logins} times, not once": figures.logins != 1,
                f"the token is for {figures.audiences} audience": figures.audiences < 2,
                f"resource_a created the note with {figures.created}, not 201": figures.created != 201,
                f"resource_a listed notes with {figures.listed}, not 200": figures.listed != 200,
                "the note is not in the list": not figures.note_in_list,
                f"resource_b reported with {figures.reported}, not 200": figures.reported != 200,
                "the report is not about alice": not figures.report_is_hers,
            }
        ),
    )
