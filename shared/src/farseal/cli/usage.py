"""What a command gives back: its answer, or why it could not even begin."""

from typing import NamedTuple

from farseal.errors import FarsealError


class Answer(NamedTuple):
    """What is printed, and the exit code of the process. A ``complaint`` goes to standard error."""

    code: int
    text: str
    complaint: str = ""


class UsageError(FarsealError):
    """The arguments do not make sense together, or name something that cannot be used. Exit code 2."""
