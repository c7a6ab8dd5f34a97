"""The lines a visitor can paste into another terminal."""

from demo.seed import PASSWORDS
from demo.services import STATUS_TTL_SECONDS, Addresses, http_bound
from demo.state import State


def howto(addresses: Addresses, state: State) -> str:
    """Give the lines; none needs editing, and they work in sh, bash and zsh."""
    take = """python3 -c 'import json,sys; print(json.load(sys.stdin)["access_token"])'"""
    login = f"TOKEN=$(curl -s -u {{}} -X POST {addresses.issuer}/api/tokens | {take})"
    curl = """curl -sw '\\n' -H "Authorization: Bearer $TOKEN\""""
    note = """-H 'Content-Type: application/json' -d '{"title": "Hello", "body": "Written by hand."}'"""
    people = {name: f"{name}:{password}" for name, password in PASSWORDS.items()}
    return f"""\
It is all running. Paste into another terminal:

  {login.format(people["alice"])}
  {curl} {note} {addresses.notes}/notes
  {curl} {addresses.notes}/notes
  {curl} {addresses.reports}/reports/mine
  {curl} {addresses.reports}/reports/org

bob is no analyst, so the last one is refused:

  {login.format(people["bob"])}
  {curl} {addresses.reports}/reports/org

He logs out, and servers that were not told refuse his token:

  curl -sw '%{{http_code}}\\n' -X POST -H "Authorization: Bearer $TOKEN" {addresses.issuer}/api/logout
  sleep {http_bound(STATUS_TTL_SECONDS):.0f}
  {curl} {addresses.notes}/notes
  {curl} {addresses.reports}/reports/mine

People: {", ".join(people.values())}. Logs: {state.logs}
Ctrl-C stops everything."""
