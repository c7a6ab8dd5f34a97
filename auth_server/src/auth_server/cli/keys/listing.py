"""farseal-auth keys list and plan: where the keys stand, and what comes next."""

import sys
from collections.abc import Sequence
from typing import Any

import click

from auth_server.cli.keys.access import Look, look, settings
from auth_server.cli.keys.outlook import moment, policy_body, policy_lines, step_body
from auth_server.cli.output import harmless, json_option, show_fields, show_json, show_rows
from auth_server.cli.session import in_database
from auth_server.cli.times import duration_words, from_now
from auth_server.keys.lifecycle import KeyState
from auth_server.keys.planner import Step, plan
from auth_server.keys.policy import RotationPolicy
from auth_server.policy_settings import VARIABLES
from auth_server.settings import AuthServerSettings
from auth_server.storage.signing_keys import StoredKey

NO_KEYS = "There are no keys; the server makes them at its first start."


@click.command("list", short_help="Where the keys stand.")
@click.option(
    "--state",
    "states",
    type=click.Choice([state.value for state in KeyState]),
    multiple=True,
    help="Only keys in this state; repeatable.",
)
@json_option
def list_(states: tuple[str, ...], *, as_json: bool) -> None:
    """List the signing keys, oldest first; private halves are never shown.

    Moments are UTC. "may sign from" and "kept until" are what was promised to verifiers, or later where the policy of
    the environment asks for more by now.

    \b
    Examples:
      farseal-auth keys list
      farseal-auth keys list --state active --state announced --json
    """
    policy = settings().policy
    seen = in_database(look)
    found = [one for one in seen.stored if not states or one.state in states]
    if as_json:
        show_json([key_body(one, policy, seen.now) for one in found])
    elif sys.stdout.isatty():
        show_rows(
            ("Key", "State", "Age", "Signatures", "Moments"),
            [_terminal_row(one, policy, seen.now) for one in found],
            empty=NO_KEYS,
        )
    else:
        bodies = [key_body(one, policy, seen.now) for one in found]
        show_rows(_COLUMNS, [[_plain(body[name]) for name in _COLUMNS] for body in bodies], empty=NO_KEYS)


@click.command("plan", short_help="What happens next, when and why.")
@click.option("--policy", "whole_policy", is_flag=True, help="Show every time of the policy as well.")
@json_option
def plan_(*, whole_policy: bool, as_json: bool) -> None:
    """Say what happens to the keys next, when and why, under the policy of this environment. Nothing is done.

    Any running server takes the steps when they are due. A step can be taken by hand: keys announce, activate, retire.
    Set the AUTH_SERVER_ variables of the policy as the servers have them.

    \b
    Examples:
      farseal-auth keys plan
      AUTH_SERVER_ROTATION_SECONDS=604800 farseal-auth keys plan --policy
    """
    policy = settings().policy
    seen = in_database(look)
    steps = plan(seen.keys, policy, seen.now)
    if as_json:
        show_json(
            {
                "at": moment(seen.now),
                "sequence": seen.sequence,
                "steps": [step_body(step, seen.now) for step in steps],
                "policy": policy_body(policy),
            }
        )
        return
    show_rows(("When", "In", "What", "Key", "Why"), _step_rows(steps, seen), empty="Nothing is to come.")
    if whole_policy:
        click.echo()
        times = policy_body(policy)
        show_fields(
            {AuthServerSettings.PREFIX + VARIABLES[name].upper(): _time(name, times[name]) for name in VARIABLES}
        )
    if whole_policy or sys.stdout.isatty():
        click.echo()
        for line in policy_lines(policy):
            click.echo(line)


_COLUMNS = (
    "kid", "state", "age_seconds", "signatures", "bits", "kek_id", "created_at", "announced_at", "published_at",
    "may_sign_from", "activated_at", "retired_at", "keep_until", "gone_at", "revoked_at", "revoked_reason",
)  # fmt: skip


def key_body(one: StoredKey, policy: RotationPolicy, now: int) -> dict[str, Any]:
    """A key for scripts, without what is sealed. A moment that has not come, or means nothing in its state, is null."""
    key = one.key
    return {
        "kid": one.kid,
        "state": one.state,
        "age_seconds": max(0, now - key.created_at),
        "bits": one.bits,
        "kek_id": one.kek_id,
        "has_private_key": one.sealed_private_key is not None,
        "signatures": one.signatures,
        "token_seconds": key.token_seconds,
        "created_at": moment(key.created_at),
        "announced_at": moment(key.announced_at),
        "published_at": moment(key.published_at),
        "may_sign_from": moment(key.may_sign_from(policy)) if one.state is KeyState.ANNOUNCED else None,
        "activated_at": moment(key.activated_at),
        "retired_at": moment(key.retired_at),
        "keep_until": moment(key.may_go_from(policy) if one.state is KeyState.RETIRING else key.keep_until),
        "gone_at": moment(key.gone_at),
        "revoked_at": moment(key.revoked_at),
        "revoked_reason": one.revoked_reason,
        "public_jwk": dict(one.public_jwk),
    }


_MOMENT_WORDS = {
    "announced_at": "announced",
    "published_at": "published",
    "may_sign_from": "may sign from",
    "activated_at": "signs since",
    "retired_at": "retired",
    "keep_until": "kept until",
    "gone_at": "gone",
    "revoked_at": "revoked",
}


def _terminal_row(one: StoredKey, policy: RotationPolicy, now: int) -> tuple[object, ...]:
    body = key_body(one, policy, now)
    width = max(map(len, _MOMENT_WORDS.values()))
    words = _MOMENT_WORDS | ({} if one.state is KeyState.ACTIVE else {"activated_at": "signed from"})
    moments = [f"{words[name]:<{width}} {body[name]:%Y-%m-%d %H:%M:%SZ}" for name in words if body[name] is not None]
    if one.revoked_reason is not None:
        moments.append(harmless(one.revoked_reason))
    made_of = f"{one.bits or '?'} bits, KEK {harmless(one.kek_id or '-')}"
    return ((one.kid, made_of), one.state, duration_words(body["age_seconds"]), one.signatures, moments)


def _step_rows(steps: Sequence[Step], seen: Look) -> list[tuple[object, ...]]:
    return [
        (
            moment(step.at),
            None if step.at is None else ("now" if step.is_due(seen.now) else from_now(step.at, seen.now)),
            step.action,
            step.kid,
            step.reason,
        )
        for step in steps
    ]


def _plain(value: object) -> object:
    return harmless(value) if isinstance(value, str) else value


def _time(name: str, value: int) -> str:
    if not name.endswith("_seconds"):
        return str(value)
    return f"{value} s" if value < 60 else f"{value} s  ({duration_words(value)})"
