"""What a command says when it cannot even begin."""

from farseal.errors import FarsealError


class UsageError(FarsealError):
    """The arguments do not make sense together, or name something that cannot be used. Exit code 2."""
