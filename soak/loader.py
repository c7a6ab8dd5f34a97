"""The runner's end of the load process: starts it, reads what it writes, and notices when it ends."""

import json
import sys
from collections import Counter
from pathlib import Path

from demo.commands import tail
from demo.processes import Guarded, bare_environment
from demo.settings import CHECKOUT
from demo.stack import StackError
from soak.ledger import Ledger
from soak.load import Plan
from soak.slots import Slot

STOP_SECONDS = 5.0


class Loader:
    """One load process.

    Args:
        plan: what it does.
        directory: of its files.
        keep_open: descriptors that its guard keeps open.
    """

    def __init__(self, plan: Plan, directory: Path, *, keep_open: tuple[int, ...]) -> None:
        self.slots: dict[int, Slot] = {}
        self.signed: Counter[str] = Counter()
        """Tokens by the key that signed them, in the order in which the keys came."""
        self.retries: Counter[str] = Counter()
        self.ledger = Ledger({target.name: target.bound for target in plan.targets})
        """Of the sessions, as it was last told."""
        self.requests = 0
        self.failed = 0
        self._log = directory / "logs" / "load.log"
        self._read = 0
        self._log.unlink(missing_ok=True)
        file = directory / "plan.json"
        plan.write(file)
        self._process = Guarded(
            [sys.executable, "-P", "-m", "soak.load", str(file)],
            environment=bare_environment() | {"PYTHONPATH": str(CHECKOUT)},
            log=self._log,
            directory=directory,
            keep_open=keep_open,
        )

    def poll(self) -> None:
        """Take in what it has written since.

        Raises:
            StackError: it has ended by itself.
        """
        ended = self._process.poll()
        self._take_in()
        if ended is not None:
            raise StackError(f"the load ended by itself with status {ended}.{tail(self._log)}")

    def stop(self) -> None:
        """End it, and take in the rest."""
        self._process.stop(STOP_SECONDS)
        self._take_in()

    def _take_in(self) -> None:
        with self._log.open("rb") as file:
            file.seek(self._read)
            text = file.read()
        whole = text.rfind(b"\n") + 1
        self._read += whole
        for line in text[:whole].splitlines():
            try:
                value = json.loads(line)
            except ValueError:
                continue  # a traceback; its end is told with the status
            for number, encoded in value["slots"].items():
                slot = Slot.decoded(encoded)
                # A slot comes twice when a request began in it and was noted after it had been written.
                known = self.slots.setdefault(int(number), Slot())
                known.answers.update(slot.answers)
                known.took.update(slot.took)
                self.requests += slot.answers.total()
                self.failed += slot.answers.total() - sum(slot.took.values())
            self.signed, self.retries = Counter(value["signed"]), Counter(value["retries"])
            self.ledger = Ledger.decoded(value["sessions"])
