"""What is asked of the person at the terminal, and what is shown to them once."""

import sys
from pathlib import Path

import click

from auth_server.accounts import secret_files
from auth_server.accounts.passwords import PASSWORD_BYTES, PasswordRefusedError, check_new_password
from auth_server.cli.session import Refusal


def is_interactive() -> bool:
    """Somebody is there to answer."""
    return sys.stdin.isatty()


def new_password(*, from_stdin: bool) -> str:
    """A new password: asked twice on a terminal, or the first line of standard input. Never from argv.

    Raises:
        Refusal: it cannot become a password.
        click.UsageError: nobody is there to ask, and --stdin was not given.
    """
    if from_stdin:
        text = _first_line()
    elif is_interactive():
        text = click.prompt("Password", hide_input=True, confirmation_prompt="Once more", err=True)
    else:
        raise click.UsageError("standard input is no terminal; give --stdin to read the password from it")
    try:
        check_new_password(text)
    except PasswordRefusedError as error:
        raise Refusal(str(error)) from None
    return text


def confirm(question: str, *, yes: bool) -> None:
    """Go on only with a yes: from the terminal, or given as --yes.

    Raises:
        click.Abort: the answer is no.
        click.UsageError: nobody is there to ask, and --yes was not given.
    """
    if yes:
        return
    if not is_interactive():
        raise click.UsageError("standard input is no terminal; give --yes to go on without being asked")
    click.confirm(question, abort=True, err=True)


def write_secret(path: Path, secret: str) -> None:
    """Write a secret into a new file, mode 0600.

    Raises:
        Refusal: the file is there, or cannot be written.
    """
    try:
        secret_files.write_new(path, secret)
    except FileExistsError:
        raise Refusal(f"{path} is there already and is not written over") from None
    except OSError as error:
        raise Refusal(f"{path} cannot be written: {error.strerror}") from None


def _first_line() -> str:
    # Bytes: a password that is not UTF-8 is refused here instead of being altered by the terminal's encoding.
    line = sys.stdin.buffer.readline(PASSWORD_BYTES + 3)
    try:
        return line.removesuffix(b"\n").removesuffix(b"\r").decode()
    except UnicodeDecodeError:
        raise Refusal("the password is not UTF-8") from None
