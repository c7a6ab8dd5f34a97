"""farseal-auth sessions ...: who is logged in, and how that ends."""

import click

from auth_server.cli.sessions.ends import end
from auth_server.cli.sessions.listing import list_, show
from auth_server.cli.sessions.recovery import recover


@click.group()
def sessions() -> None:
    """Sessions: one login of one person each, or one standing permission of a client; the `sid` of their tokens.

    A session that has ended gets no more tokens, and those that it has are refused by every resource server within the
    bound that `end` tells. Disabling or deleting a user or a client, and a new password, end sessions too.

    \b
    Examples:
      farseal-auth sessions list --user alice
      farseal-auth sessions show 0b6c4f1e-6f0e-4c53-9d0a-0d6f3a5f3c11
      farseal-auth sessions end --user alice --reason "lost her phone"
    """


for command in (list_, show, end, recover):
    sessions.add_command(command)
