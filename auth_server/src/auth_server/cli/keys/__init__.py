"""farseal-auth keys ...: the life of the signing keys, seen and changed by operators."""

import click

from auth_server.cli.keys.changes import activate, announce, retire, revoke
from auth_server.cli.keys.listing import list_, plan_
from auth_server.cli.keys.material import import_, recover, rewrap
from auth_server.cli.keys.watch import watch


@click.group()
def keys() -> None:
    """The signing keys: where they stand, what comes next, and what can be done by hand.

    \b
      ready      made and sealed, published nowhere
      announced  published, so that every verifier holds it before it signs
      active     signs; never more than one
      retiring   signs no more, published until its last token is dead
      gone       published no more
      revoked    withdrawn in an emergency; verifiers refuse every token of it

    The servers make, announce, activate and drop keys by themselves, so nothing has to be done here. These commands
    work while servers run and while none runs. They need the database and the times of the policy as the servers have
    them (AUTH_SERVER_ROTATION_SECONDS and the like); rewrap, import and recover need the KEK file too. Each change is
    kept for `farseal-auth audit` with your account, and --actor puts a name beside it.

    \b
    Examples:
      farseal-auth keys watch
      farseal-auth keys plan
      farseal-auth keys activate
      farseal-auth keys revoke KID --reason "incident 4711"
    """


for command in (list_, plan_, announce, activate, retire, revoke, rewrap, import_, recover, watch):
    keys.add_command(command)
