"""Where the access rules of an application come from: its settings' file, or the application itself, never both."""

from pathlib import Path
from typing import Final

from farseal.access import AccessRules, parse_rules
from farseal.environment import SettingsError
from farseal.settings import PREFIX, TrustSettings

MAX_RULES_CHARACTERS: Final = 1 << 20
"""Of a file of rules; what is longer is another file."""


def read_rules(file: Path) -> AccessRules:
    """The access rules in a file.

    Raises:
        SettingsError: it cannot be read.
        AccessRulesError: it has faults, all of them named.
    """
    try:
        # Line ends as they are: which of them end a rule is the parser's business.
        with file.open(encoding="utf-8", newline="") as stream:
            text = stream.read(MAX_RULES_CHARACTERS + 1)
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "not UTF-8"
        raise SettingsError((f"the access rules in {str(file)!r} cannot be read: {reason}",)) from None
    if len(text) > MAX_RULES_CHARACTERS:
        raise SettingsError((f"the access rules in {str(file)!r} are longer than {MAX_RULES_CHARACTERS} characters",))
    return parse_rules(text)


def rules_for(settings: TrustSettings, rules: AccessRules | str | None) -> AccessRules:
    """The rules that an application brings, or those of its settings' file, or none at all.

    Raises:
        SettingsError: the file cannot be read, or there are both.
        AccessRulesError: they have faults, all of them named.
    """
    file = settings.access_rules_file
    if file is None:
        if rules is None:
            return AccessRules(())
        return parse_rules(rules) if isinstance(rules, str) else rules
    if rules is not None:
        raise SettingsError(
            (f"{PREFIX}ACCESS_RULES_FILE: the service brings rules of its own; one of both must be left out",)
        )
    return read_rules(file)
