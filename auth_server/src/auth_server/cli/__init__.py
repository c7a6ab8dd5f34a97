"""The operator's commands: words in, one question to the rooms behind, a table or JSON out."""

import click

from auth_server.cli.apply import apply
from auth_server.cli.audit import audit
from auth_server.cli.client import client
from auth_server.cli.client_rights import forbid, permit
from auth_server.cli.keys import keys
from auth_server.cli.resource import resource
from auth_server.cli.server import migrate, serve
from auth_server.cli.sessions import sessions
from auth_server.cli.token import token
from auth_server.cli.user import user
from auth_server.cli.user_rights import grant, revoke, role


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(package_name="farseal-auth-server", prog_name="farseal-auth")
def main() -> None:
    """Farseal's auth server and its operator's tools.

    The database is named by AUTH_SERVER_DATABASE_URL, or by AUTH_SERVER_DATABASE_URL_FILE, a file that holds it.
    `serve` and `token mint` read the other AUTH_SERVER_ settings too, `keys` the times of the rotation, `sessions`
    those of sessions. Passwords, tokens and private keys are read from the terminal, from files or from standard
    input, never from the command line.
    Every command but `serve` prints JSON with --json.

    \b
    A new server in four steps:
      farseal-auth migrate
      farseal-auth apply manifest.yaml
      farseal-auth user set-password alice
      farseal-auth serve

    \b
    Exit codes:
      0  done
      1  refused: not found, taken already, not yet allowed, a fault in a file, answered with no
      2  usage: a word of the command line is missing or wrong
      3  the database cannot be used, or a setting is wrong
    """


for command in (serve, migrate, apply, user, client, resource, sessions, keys, audit, token):
    main.add_command(command)
for command in (grant, revoke, role):
    user.add_command(command)
for command in (permit, forbid):
    client.add_command(command)
