"""Alternating rounds in one process: machines drift, so only figures of the same run are compared, by their medians."""

import gc
import statistics
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from time import perf_counter_ns


@dataclass(frozen=True, slots=True)
class Figure:
    """Microseconds for one call, over all rounds."""

    median: float
    lowest: float
    highest: float


def alternate(contenders: Mapping[str, Callable[[], int]], *, rounds: int) -> dict[str, Figure]:
    """Time each contender once a round, in an order that turns, after one round that is not counted.

    Args:
        contenders: by name; each does its work once over and gives the number of calls that it made.
        rounds: counted rounds, 3 or more.
    """
    names = list(contenders)
    samples: dict[str, list[float]] = {name: [] for name in names}
    collects = gc.isenabled()
    gc.disable()
    try:
        for number in range(rounds + 1):
            show_progress(number, rounds)
            shift = number % len(names)
            for name in names[shift:] + names[:shift]:
                begin = perf_counter_ns()
                calls = contenders[name]()
                took = perf_counter_ns() - begin
                if number:
                    samples[name].append(took / calls / 1000)
            gc.collect()
    finally:
        if collects:
            gc.enable()
    return {name: Figure(statistics.median(taken), min(taken), max(taken)) for name, taken in samples.items()}


def show_progress(done: int, total: int, *, what: str = "round") -> None:
    """A counter on standard error, on a terminal only: the table on standard output stays clean."""
    if sys.stderr.isatty():
        end = "\r" if done < total else "\r\033[K"
        print(f"{what} {done} of {total}", end=end, file=sys.stderr, flush=True)
