"""Who may ask for what. The reports ask for more beside their handlers, with ``@requires``: the stricter holds."""

from typing import Final

from farseal.access import parse_rules

RULES: Final = parse_rules(
    """
    GET  /.well-known/oauth-protected-resource   public
    GET  /openapi.yaml                           public
    GET  /reports/*                              scope:reports:read
    """
)
"""First match wins, and what no rule names is denied.

    python -m farseal explain --app resource_b.app:RULES GET /reports/org
"""
