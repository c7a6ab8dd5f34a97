"""Ordered access rules over methods and paths: the first match decides, and no match denies.

One rule a line, `#` begins a comment::

    GET,POST  /notes/**                 scope:notes:read
    DELETE    /notes/*                  scope:notes:write role:org_admin
    GET       /.well-known/**           public
    *         /me                       authenticated

A pattern is literal segments, `*` for one segment that is not empty, and `**`, only at its end, for the rest of the
path or nothing. Literals are written decoded (``/café``, not ``/caf%C3%A9``). A rule for GET answers HEAD as well; a
rule that names HEAD before it may say otherwise. OPTIONS is a method like any other: browsers send preflights without
credentials, so an application that answers them itself needs a `public` rule for them.

Everything here is pure: text, methods and paths in, values out.
"""

from farseal.access.patterns import ONE, REST, overlaps, parse_pattern, path_fault, subsumes
from farseal.access.rules import (
    AccessRules,
    AccessRulesError,
    Authenticated,
    Needs,
    Public,
    Rule,
    UnreachableRuleError,
    decide,
)
from farseal.access.text import parse_rules

__all__ = [
    "ONE",
    "REST",
    "AccessRules",
    "AccessRulesError",
    "Authenticated",
    "Needs",
    "Public",
    "Rule",
    "UnreachableRuleError",
    "decide",
    "overlaps",
    "parse_pattern",
    "parse_rules",
    "path_fault",
    "subsumes",
]
