"""``farseal explain METHOD PATH``: which access rule would answer, why not the ones before it, and what it asks for."""

import argparse
import asyncio
import importlib
import inspect
import json
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from aiohttp import web
from yarl import URL

from farseal.access import AccessRules, AccessRulesError, Authenticated, Needs, Public, Rule, decide, path_fault
from farseal.cli.usage import Answer, UsageError
from farseal.cli.words import shown
from farseal.environment import SettingsError
from farseal.settings import PREFIX
from farseal.web import access_rules
from farseal.web.preview import Route, routed, setup_faults
from farseal.web.rules_file import read_rules

DENIED: Final = 3

_HELP: Final = """\
exit codes:
  0  a rule, or the handler's own @requires, answers
  2  wrong usage, or rules that no service would start with
  3  denied to everybody: no rule is about it, or the path itself is refused

without --app and --rules the file of FARSEAL_ACCESS_RULES_FILE is asked
"""


@dataclass(frozen=True, slots=True)
class Explanation:
    """What would become of a request, and why.

    Args:
        method, path: the request, the path decoded as rules see it.
        fault: why the path is refused with 400 before any rule is asked.
        passed_over: each rule before the one that answers, with the reason why it is not about the request.
        rule: the one that answers.
        route: what the application would do with the request; None when there is no application to ask.
        needs: what the request must bring; None when nobody may pass.
    """

    method: str
    path: str
    fault: str | None
    passed_over: tuple[tuple[Rule, str], ...]
    rule: Rule | None
    route: Route | None
    needs: Needs | None


def explain(rules: AccessRules, method: str, path: str, route: Route | None = None) -> Explanation:
    """The same decision as the middleware makes, with its reasons."""
    fault = path_fault(path)
    if fault is not None:
        return Explanation(method, path, fault, (), None, route, None)
    if route is not None and route.metadata:
        return Explanation(method, path, None, (), None, route, Public())
    segments = tuple(path.split("/")[1:])
    passed_over: list[tuple[Rule, str]] = []
    answering: Rule | None = None
    for rule in rules:
        why = rule.why_not(method, segments)
        if why is None:
            answering = rule
            break
        passed_over.append((rule, why))
    needs = decide(answering, route.requirement if route is not None else None)
    return Explanation(method, path, None, tuple(passed_over), answering, route, needs)


def add_to(commands: Any) -> None:
    """Declare the command."""
    command = commands.add_parser(
        "explain",
        help="say which access rule answers a request, and why",
        description="Say which access rule answers a request, why the ones before it do not, and what it asks for.",
        epilog=_HELP,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    command.add_argument("method", metavar="METHOD", help="GET, POST, ...")
    command.add_argument("path", metavar="PATH", help="as in a request: /notes/1, encoded where it would be")
    where = command.add_mutually_exclusive_group()
    where.add_argument(
        "--app", metavar="MODULE:NAME", help="access rules, an application, or a function that makes either"
    )
    where.add_argument("--rules", metavar="FILE", type=Path, help="a file of access rules")
    command.add_argument("--json", action="store_true", help="for scripts")
    command.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> Answer:
    """Ask the rules, and the routes where there are some.

    Raises:
        UsageError: there is nothing to ask, or it has faults.
    """
    method = str(arguments.method).upper()
    if not arguments.path.startswith("/"):
        raise UsageError("PATH begins with /")
    # As aiohttp reads the target of a request: two slashes at its beginning do not begin a host.
    target, _, query = _one_line(arguments.path).partition("#")[0].partition("?")
    url = URL.build(path=target, query_string=query, encoded=True)
    try:
        rules, app = _subject(arguments)
    except (AccessRulesError, SettingsError) as error:
        raise UsageError(str(error)) from None
    route = None
    if app is not None:
        if faults := setup_faults(app):
            raise UsageError("the application would not start: " + "; ".join(faults))
        route = asyncio.run(routed(app, method, url))
    explanation = explain(rules, method, url.path_safe, route)
    text = json.dumps(as_json(explanation), indent=2) if arguments.json else "\n".join(as_text(explanation))
    return Answer(0 if explanation.needs is not None else DENIED, text)


def as_text(explanation: Explanation) -> list[str]:
    """For people."""
    lines = [f"{explanation.method} {shown(explanation.path)}"]
    for rule, why in explanation.passed_over:
        lines.append(f"  - {rule.place}: {shown(why)}")
    if explanation.rule is not None:
        lines.append(f"  > {explanation.rule.place} answers")
    route = explanation.route
    if route is not None and route.metadata:
        lines.append("  > the metadata of this service, public by itself")
    elif route is not None:
        if route.status is not None:
            allowed = f" (it takes {', '.join(sorted(route.allowed))})" if route.allowed else ""
            lines.append(f"    the application has no such route: {route.status}{allowed} for those who may ask")
        elif route.requirement is not None:
            lines.append(f"  > the handler of {route.path} requires {route.requirement}")
        else:
            lines.append(f"    the handler of {route.path} requires nothing of its own")
    if explanation.fault is not None:
        lines.append(f"refused with 400 before any rule: {explanation.fault}")
    elif explanation.needs is None:
        lines.append("denied: nothing lets anybody do this")
    elif isinstance(explanation.needs, Public):
        lines.append("public: no credentials are looked at")
    else:
        lines.append(f"needs {_in_words(explanation.needs)}")
    return lines


def as_json(explanation: Explanation) -> dict[str, Any]:
    """For scripts."""
    needs = explanation.needs
    route = explanation.route
    return {
        "method": explanation.method,
        "path": explanation.path,
        "verdict": _verdict(explanation),
        "rule": explanation.rule and _rule_json(explanation.rule),
        "passed_over": [_rule_json(rule) | {"why": why} for rule, why in explanation.passed_over],
        "route": route
        and {
            "path": route.path,
            "status": route.status,
            "requires": route.requirement and _needs_json(route.requirement),
        },
        "needs": needs and _needs_json(needs),
        "fault": explanation.fault,
    }


def _verdict(explanation: Explanation) -> str:
    if explanation.fault is not None:
        return "path_refused"
    if explanation.needs is None:
        return "denied"
    return "public" if isinstance(explanation.needs, Public) else "authenticated"


def _rule_json(rule: Rule) -> dict[str, Any]:
    return {"line": rule.line, "text": str(rule)}


def _needs_json(needs: Needs) -> dict[str, Any]:
    if isinstance(needs, Public):
        return {"public": True, "scopes": [], "roles": []}
    return {"public": False, "scopes": sorted(needs.scopes), "roles": sorted(needs.roles)}


def _in_words(needs: Authenticated) -> str:
    words = [f"scope {scope}" for scope in sorted(needs.scopes)] + [f"role {role}" for role in sorted(needs.roles)]
    return "a good token" + (f" with {' and '.join(words)}" if words else ", whatever it carries")


def _one_line(path: str) -> str:
    # A control character cannot stand in a request line; written encoded it is what an attacker would send.
    return "".join(char if char.isprintable() else "".join(f"%{byte:02X}" for byte in _octets(char)) for char in path)


def _octets(char: str) -> bytes:
    return char.encode("utf-8", "surrogateescape")


def _subject(arguments: argparse.Namespace) -> tuple[AccessRules, web.Application | None]:
    if arguments.app is not None:
        return _application(arguments.app)
    file = arguments.rules
    if file is None:
        named = os.environ.get(f"{PREFIX}ACCESS_RULES_FILE", "")
        if not named:
            raise UsageError(f"name --app, --rules or {PREFIX}ACCESS_RULES_FILE")
        file = Path(named)
    return read_rules(file), None


def _application(named: str) -> tuple[AccessRules, web.Application | None]:
    module, colon, name = named.partition(":")
    if not colon or not module or not name:
        raise UsageError("--app is MODULE:NAME")
    if "" not in sys.path and str(Path.cwd()) not in sys.path:
        sys.path.insert(0, str(Path.cwd()))
    try:
        found: Any = importlib.import_module(module)
        for part in name.split("."):
            found = getattr(found, part)
        if not isinstance(found, AccessRules | web.Application) and callable(found):
            found = found()
            if inspect.iscoroutine(found):
                found = asyncio.run(found)
    except (AccessRulesError, SettingsError):
        raise
    except Exception as error:  # noqa: BLE001 - the code of others, run for one answer
        raise UsageError(f"{named} cannot be had: {type(error).__name__}: {error}") from None
    match found:
        case AccessRules():
            return found, None
        case web.Application():
            return _rules_of(found, named), found
        case _:
            raise UsageError(f"{named} is neither access rules nor an application, and makes neither")


def _rules_of(app: web.Application, named: str) -> AccessRules:
    try:
        return access_rules(app)
    except KeyError:
        raise UsageError(f"{named} is not protected: farseal.web.setup() was not called on it") from None
