"""The lines a visitor can paste into another terminal."""

from demo.services import Addresses
from demo.stack import PASSWORDS
from demo.state import State


def howto(addresses: Addresses, state: State) -> str:
    """Give the lines; none needs editing, and they work in sh, bash and zsh."""
    take = """python3 -c 'import json,sys; print(json.load(sys.stdin)["access_token"])'"""
    login = f"TOKEN=$(curl -s -u {{}} -X POST {addresses.issuer}/api/tokens | {take})"
    bearer = '-H "Authorization: Bearer $TOKEN"'
    note = """-H 'Content-Type: application/json' -d '{"title": "Hello", "body": "Written by hand."}'"""
    people = {name: f"{name}:{password}" for name, password in PASSWORDS.items()}
    return f"""\
It is all running. Paste into another terminal:

  {login.format(people["alice"])}
  curl -s {bearer} {note} {addresses.notes}/notes
  curl -s {bearer} {addresses.notes}/notes
  curl -s {bearer} {addresses.reports}/reports/mine
  curl -s {bearer} {addresses.reports}/reports/org

  # bob is no analyst: 403
  {login.format(people["bob"])}
  curl -si {bearer} {addresses.reports}/reports/org

Others: {", ".join(people.values())}. Logs: {state.logs}
Ctrl-C stops everything."""
