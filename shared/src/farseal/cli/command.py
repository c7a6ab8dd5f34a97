"""The command line: what there is to ask, and where it goes."""

import argparse
import os
import sys
from collections.abc import Sequence
from typing import Final, NoReturn

from farseal.cli import explaining, inspecting, trusting
from farseal.cli.usage import Answer, UsageError
from farseal.cli.words import shown, shown_lines, without_tokens

USAGE: Final = 2


class _Parser(argparse.ArgumentParser):
    """An argument may be a token in the wrong place: no message may repeat one."""

    def error(self, message: str) -> NoReturn:
        super().error(shown(without_tokens(message)))


def parser() -> argparse.ArgumentParser:
    """Every command with its arguments."""
    top = _Parser(prog="farseal", description="Ask what the verifier would do, and what it trusts.")
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND", parser_class=_Parser)
    explaining.add_to(commands)
    inspecting.add_to(commands)
    trusting.add_to(commands)
    return top


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and give its exit code.

    Args:
        argv: arguments without the program's name; those of the process unless given.
    """
    try:
        arguments, unknown = parser().parse_known_args(argv)
        if unknown:
            parser().error("there are arguments that no option or place takes; see --help")
    except SystemExit as ended:
        return ended.code if isinstance(ended.code, int) else USAGE
    try:
        answer: Answer = arguments.run(arguments)
    except UsageError as error:
        sys.stderr.write(f"farseal: {shown_lines(without_tokens(str(error)))}\n")
        return USAGE
    if answer.complaint:
        sys.stderr.write(f"farseal: {shown_lines(without_tokens(answer.complaint))}\n")
    try:
        if answer.text:
            sys.stdout.write(answer.text + "\n")
            sys.stdout.flush()
    except BrokenPipeError:
        # The reader has what it wanted (`| head`). The rest goes nowhere, or the interpreter would complain at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return answer.code
