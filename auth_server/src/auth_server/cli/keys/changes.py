"""farseal-auth keys announce, activate, retire and revoke: what operators do by hand."""

from collections.abc import Sequence

import click

from auth_server.cli.keys.access import KeyCommand, settings
from auth_server.cli.keys.change import change
from auth_server.cli.output import done, json_option
from auth_server.cli.parameters import ACTOR, KID, REASON
from auth_server.cli.times import duration_words, moment_words
from auth_server.keys import requests
from auth_server.keys.lifecycle import Key, KeyState, active
from auth_server.keys.policy import RotationPolicy
from auth_server.keys.requests import Changed, Outcome

KID_OR_NEXT = click.argument("kid", required=False, type=KID)
FORCE = click.option("--force", is_flag=True, help="Do it although something will break; says what, and asks.")
YES = click.option("--yes", is_flag=True, help="Do not ask.")
WHY = click.option("--reason", type=REASON, help="Why, for the audit log.")
WHO = click.option("--actor", "who", type=ACTOR, help="Your name for the audit log, beside the account of the system.")


@click.command(cls=KeyCommand, short_help="Publish a ready key, so that verifiers learn it.")
@KID_OR_NEXT
@FORCE
@YES
@WHY
@WHO
@json_option
def announce(kid: str | None, *, force: bool, yes: bool, reason: str | None, who: str | None, as_json: bool) -> None:
    """Publish a ready key, KID or the oldest, so that verifiers learn it before it signs.

    The servers do this by themselves. One announced key at a time is enough; --force announces one more.

    \b
    Examples:
      farseal-auth keys announce
      farseal-auth keys announce --force --reason "a spare one for the move"
    """
    policy = settings().policy

    def ask(keys: Sequence[Key], *, now: int, force: bool) -> Outcome:
        return requests.announce(keys, kid, now=now, force=force)

    found = change("announce", ask, force=force, yes=yes, reason=reason, who=who, as_json=as_json)
    (key,) = found.changed
    done(
        as_json,
        f"{key.kid} is announced. It may sign {duration_words(policy.announce_seconds)} after a server has confirmed "
        "that it is published; farseal-auth keys watch shows when.",
        found.body("announce", policy),
    )


@click.command(cls=KeyCommand, short_help="Sign with the announced key; the active one retires.")
@KID_OR_NEXT
@FORCE
@YES
@WHY
@WHO
@json_option
def activate(kid: str | None, *, force: bool, yes: bool, reason: str | None, who: str | None, as_json: bool) -> None:
    """Sign with an announced key from now on, KID or the one that is next; the active key retires.

    Refused while a verifier may not hold the key yet. Forced all the same, every new token is refused with 401 by the
    verifiers that have not read it yet.

    \b
    Examples:
      farseal-auth keys activate
      farseal-auth keys activate KID --force --reason "the old key may be known"
    """
    policy = settings().policy

    def ask(keys: Sequence[Key], *, now: int, force: bool) -> Outcome:
        return requests.activate(keys, kid, policy, now=now, force=force)

    found = change("activate", ask, force=force, yes=yes, reason=reason, who=who, as_json=as_json)
    lines = [f"{found.changed[-1].kid} signs from now on."]
    for key in found.changed[:-1]:
        until = key.may_go_from(policy)
        lines.append(f"{key.kid} retires" + ("." if until is None else _published_until(until, found.now)))
    done(as_json, "\n".join(lines), found.body("activate", policy))


@click.command(cls=KeyCommand, short_help="Publish a key no more.")
@click.argument("kid", type=KID)
@FORCE
@YES
@WHY
@WHO
@json_option
def retire(kid: str, *, force: bool, yes: bool, reason: str | None, who: str | None, as_json: bool) -> None:
    """Publish a key no more: a retiring one whose last token is dead, or one that has never signed.

    The servers drop retiring keys by themselves. The active key is not retired but replaced: keys activate.

    \b
    Examples:
      farseal-auth keys retire KID
      farseal-auth keys retire KID --force --yes --reason "all tokens of it were withdrawn"
    """
    policy = settings().policy

    def ask(keys: Sequence[Key], *, now: int, force: bool) -> Outcome:
        return requests.retire(keys, kid, policy, now=now, force=force)

    found = change("retire", ask, force=force, yes=yes, reason=reason, who=who, as_json=as_json)
    done(as_json, f"{kid} is gone: it is published no more.", found.body("retire", policy))


@click.command(cls=KeyCommand, short_help="Withdraw a key in an emergency, for ever.")
@click.argument("kid", type=KID)
@YES
@click.option("--reason", type=REASON, required=True, help="Why, for the audit log. Required.")
@WHO
@json_option
def revoke(kid: str, *, yes: bool, reason: str, who: str | None, as_json: bool) -> None:
    """Withdraw a key in an emergency, for ever: somebody else may be able to sign with it.

    Verifiers refuse every token of it as soon as they have read the documents, those of honest callers too. If it is
    the active one, the announced key signs from the same moment. This cannot be taken back.

    \b
    Examples:
      farseal-auth keys revoke KID --reason "backup of the KEK was found in a public bucket"
      farseal-auth keys revoke KID --reason "incident 4711" --yes --actor alice
    """
    policy = settings().policy
    within = duration_words(policy.verifier_needs_seconds)

    def ask(keys: Sequence[Key], *, now: int, force: bool) -> Outcome:  # noqa: ARG001 - nothing of it needs force
        return requests.revoke(keys, kid, policy, now=now)

    def told(shown: Changed) -> Sequence[str]:
        return (f"every token that {kid} signed is refused by each verifier within {within}", *shown.warnings)

    found = change(
        "revoke", ask, force=False, yes=yes, reason=reason, who=who, as_json=as_json,
        breaks=told, question=f"Revoke {kid} for good?",
    )  # fmt: skip
    body = found.body("revoke", policy)
    signing = active(found.after)
    takes_over = signing is not None and found.state_before(signing.kid) is not KeyState.ACTIVE
    known = signing is not None and (not takes_over or _is_held(signing, policy, found.now))
    body |= {"verifiers_hold_it": known, "refused_within_seconds": policy.verifier_needs_seconds}
    lines = [f"{kid} is revoked. Every live token of it is refused from now on, by each verifier within {within}."]
    if signing is None:
        lines.append("No key signs; the next running server makes one sign.")
    elif not takes_over:
        lines.append(f"{signing.kid} signs as before.")
    else:
        lines.append(
            f"{signing.kid} signs now; "
            + ("every verifier holds it already." if known else "not every verifier holds it yet.")
        )
    done(as_json, "\n".join(lines), body)


def _is_held(key: Key, policy: RotationPolicy, now: int) -> bool:
    """Whether every verifier is sure to hold the key."""
    known = key.may_sign_from(policy)
    return known is not None and known <= now


def _published_until(until: int, now: int) -> str:
    return f" and stays published until {moment_words(until, now)}."
