"""Who may ask for what: the whole of it, in one table. Which notes an answer then holds is a matter of ownership."""

from typing import Final

from farseal.access import parse_rules

RULES: Final = parse_rules(
    """
    *           /.well-known/oauth-protected-resource   public
    *           /openapi.yaml                           public
    GET         /notes                                  scope:notes:read
    POST        /notes                                  scope:notes:write
    GET         /notes/*                                scope:notes:read
    PUT,DELETE  /notes/*                                scope:notes:write
    """
)
"""First match wins, and what no rule names is denied. A public path is so for every method: those it lacks are 405.

    python -m farseal explain --app resource_a.app:RULES GET /notes
"""
