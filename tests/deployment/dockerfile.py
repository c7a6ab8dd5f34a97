"""Reads the Dockerfile as a builder does: instructions, stages, and what a stage has of the one it begins from."""

import json
import re
from dataclasses import dataclass, field

NAME = re.compile(r"[A-Z]+")


@dataclass(frozen=True, slots=True)
class Instruction:
    """One instruction, its continued lines joined: ``COPY`` and the rest."""

    word: str
    rest: str

    @property
    def options(self) -> tuple[str, ...]:
        """What it begins with that is an option, ``--from=build`` say."""
        words = self.rest.split()
        return tuple(words[: next((n for n, word in enumerate(words) if not word.startswith("--")), len(words))])


@dataclass(slots=True)
class Stage:
    """A stage: its name, what it begins from, and its instructions."""

    name: str
    base: str
    instructions: list[Instruction] = field(default_factory=list)

    def all(self, word: str) -> list[str]:
        """Give the rest of each of its own instructions of a kind."""
        return [one.rest for one in self.instructions if one.word == word]


def instructions(text: str) -> list[Instruction]:
    """Give the instructions of a Dockerfile in their order; comments are left out."""
    lines = [line for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")]
    joined = re.sub(r"\\\n\s*", "", "\n".join(lines))
    found = []
    for line in joined.splitlines():
        word, _, rest = line.partition(" ")
        if not NAME.fullmatch(word):
            raise ValueError(f"no instruction: {line}")
        found.append(Instruction(word, rest.strip()))
    return found


def stages(text: str) -> dict[str, Stage]:
    """Give the stages by their names. What stands before the first one, ``ARG`` alone, is of none."""
    found: dict[str, Stage] = {}
    stage = None
    for one in instructions(text):
        if one.word == "FROM":
            base, _, name = re.sub(r"\s+", " ", one.rest).partition(" AS ")
            stage = found[name] = Stage(name, base)
        elif stage is not None:
            stage.instructions.append(one)
    return found


def line(found: dict[str, Stage], name: str) -> list[Stage]:
    """Give a stage and those that it begins from, itself first."""
    chain = []
    while name in found:
        chain.append(found[name])
        name = found[name].base
    return chain


def last(found: dict[str, Stage], name: str, word: str) -> str | None:
    """Give the instruction of a kind that counts in an image: the last one of the nearest stage that has one."""
    return next((one.all(word)[-1] for one in line(found, name) if one.all(word)), None)


def labels(found: dict[str, Stage], name: str) -> dict[str, str]:
    """Give the labels of an image, with those of what it begins from."""
    told: dict[str, str] = {}
    for stage in reversed(line(found, name)):
        for rest in stage.all("LABEL"):
            told |= {key: json.loads(value) for key, value in re.findall(r'([\w.]+)=("(?:[^"\\]|\\.)*")', rest)}
    return told
