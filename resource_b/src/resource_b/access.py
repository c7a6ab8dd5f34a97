"""Who may ask for what. The reports ask for more beside their handlers, with ``@requires``: the stricter holds."""

from typing import Final

from farseal.access import parse_rules

RULES: Final = parse_rules(
    """
    *    /.well-known/oauth-protected-resource   public
    *    /openapi.yaml                           public
    GET  /reports/*                              scope:reports:read
    """
)
"""First match wins, and what no rule names is denied. A public path is so for every method: those it lacks are 405.

    python -m farseal explain --app resource_b.app:from_environment GET /reports/org

tells what the handler requires as well; with ``resource_b.app:RULES`` it needs no settings and knows this table alone.
"""
