"""Rules in their order: which one is about a request, what it asks, and which ones can never answer."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from farseal.access.patterns import matches, mismatch, overlaps, subsumes
from farseal.errors import FarsealError


class AccessRulesError(FarsealError):
    """The rules cannot be used. ``faults`` names every fault, each with its line."""

    def __init__(self, faults: Iterable[str]) -> None:
        self.faults = tuple(faults)
        super().__init__("access rules: " + "; ".join(self.faults))


class UnreachableRuleError(AccessRulesError):
    """A rule can never answer, because earlier rules take every request it names. Somebody believes otherwise."""


@dataclass(frozen=True, slots=True)
class Public:
    """Nothing is asked: credentials are not even looked at, and an outage of trust does not matter."""

    def __str__(self) -> str:
        return "public"


@dataclass(frozen=True, slots=True)
class Authenticated:
    """A good token with all of these scopes and all of these roles."""

    scopes: frozenset[str] = frozenset()
    roles: frozenset[str] = frozenset()

    def __and__(self, other: "Authenticated") -> "Authenticated":
        """Both must hold: the stricter wins."""
        return Authenticated(self.scopes | other.scopes, self.roles | other.roles)

    def __str__(self) -> str:
        words = [f"scope:{scope}" for scope in sorted(self.scopes)] + [f"role:{role}" for role in sorted(self.roles)]
        return " ".join(words) or "authenticated"


Needs = Public | Authenticated


@dataclass(frozen=True, slots=True)
class Rule:
    """One line: which requests it answers, and what it asks of them.

    ``methods`` of None means every method; GET brings HEAD along. ``pattern`` is segments, as `parse_pattern` gives.
    """

    methods: frozenset[str] | None
    pattern: tuple[str, ...]
    needs: Needs
    line: int | None = field(default=None, compare=False)

    def __post_init__(self) -> None:
        if not self.pattern:
            raise ValueError("a pattern has at least one segment")
        if self.methods is not None and "GET" in self.methods:
            object.__setattr__(self, "methods", self.methods | {"HEAD"})

    def __str__(self) -> str:
        return f"{self.methods_text} {self.pattern_text} {self.needs}"

    @property
    def methods_text(self) -> str:
        """As it is written: HEAD is left out where GET implies it."""
        if self.methods is None:
            return "*"
        return ",".join(sorted(self.methods - {"HEAD"} if "GET" in self.methods else self.methods))

    @property
    def pattern_text(self) -> str:
        return "/" + "/".join(self.pattern)

    @property
    def place(self) -> str:
        """How a person finds it: its line, or its text where it has none."""
        return f"line {self.line} ({self})" if self.line else f"({self})"

    def answers(self, method: str, segments: tuple[str, ...]) -> bool:
        """Whether this rule is about a request."""
        return (self.methods is None or method in self.methods) and matches(self.pattern, segments)

    def why_not(self, method: str, segments: tuple[str, ...]) -> str | None:
        """In words, why it is not about a request; None when it is."""
        if self.methods is not None and method not in self.methods:
            return f"{method} is not {self.methods_text.replace(',', ' or ')}"
        return mismatch(self.pattern, segments)


class AccessRules:
    """Rules in their order. Immutable.

    Raises:
        UnreachableRuleError: at construction, naming each rule that can never answer and the rules that hide it.
    """

    __slots__ = ("rules", "scopes")

    def __init__(self, rules: Iterable[Rule]) -> None:
        self.rules = tuple(rules)
        self.scopes = frozenset(
            scope for rule in self.rules if isinstance(rule.needs, Authenticated) for scope in rule.needs.scopes
        )
        if faults := tuple(_unreachable(self.rules)):
            raise UnreachableRuleError(faults)

    def __iter__(self) -> Iterator[Rule]:
        return iter(self.rules)

    def __len__(self) -> int:
        return len(self.rules)

    def match(self, method: str, path: str) -> Rule | None:
        """The first rule about this request, or None: then it is denied.

        Args:
            method: as sent, in capitals.
            path: what aiohttp routes by, ``request.rel_url.path_safe``, for which `path_fault` found nothing.
        """
        segments = tuple(path.split("/")[1:])
        for rule in self.rules:
            if rule.answers(method, segments):
                return rule
        return None

    def first_covering(self, method: str, pattern: tuple[str, ...]) -> Rule | None:
        """The first rule that is about every request of this method under this pattern."""
        for rule in self.rules:
            if (rule.methods is None or method in rule.methods) and subsumes(rule.pattern, pattern):
                return rule
        return None

    def may_answer(self, method: str, pattern: tuple[str, ...]) -> bool:
        """Whether any rule is about some request of this method under this pattern."""
        return any(
            (rule.methods is None or method in rule.methods) and overlaps(rule.pattern, pattern) for rule in self.rules
        )


def decide(rule: Rule | None, own: Authenticated | None) -> Needs | None:
    """What a request must bring, or None: nobody may do this.

    Args:
        rule: the first rule about the request, if any.
        own: what the handler itself requires, if anything. It holds beside a rule, whatever the rule says.
    """
    if rule is None:
        return own
    if own is None:
        return rule.needs
    return own if isinstance(rule.needs, Public) else rule.needs & own


def _unreachable(rules: tuple[Rule, ...]) -> Iterator[str]:
    for position, rule in enumerate(rules):
        left = rule.methods
        hiding: list[Rule] = []
        for earlier in rules[:position]:
            if not subsumes(earlier.pattern, rule.pattern):
                continue
            if earlier.methods is None:
                hiding, left = [earlier], frozenset()
                break
            if left is not None and left & earlier.methods:
                hiding.append(earlier)
                left -= earlier.methods
        if left is not None and not left:
            yield f"{rule.place} can never answer, hidden by " + " and ".join(hide.place for hide in hiding)
