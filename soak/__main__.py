"""``python -m soak``: bring the stack up, soak it, print what was seen.

Exit status: 0 when no request failed and those of the control did, 1 when that is not so or something broke, 2 when it
could not begin (settings, a busy port, another one running), 128 + N when signal N ended it.
"""

import asyncio
import os
import signal
import sys

from demo.databases import DatabaseError
from demo.places import PlaceError
from demo.ports import PortBusyError, check_ports
from demo.postgres import EmbeddedPostgresError
from demo.services import Addresses
from demo.stack import StackError
from demo.state import AlreadyRunningError, Lock, State, StateError
from demo.tour.stage import StageError
from farseal.environment import SettingsError
from soak.fleet import Fleet
from soak.run import soak
from soak.settings import Settings


def main() -> int:
    """Check that it can begin, then run it."""
    try:
        settings = Settings.from_environ(os.environ)
    except SettingsError as error:
        print("\n".join(f"soak: {fault}" for fault in error.faults), file=sys.stderr)
        return 2
    state = State(settings.state_dir.absolute() / f"soak-{settings.port}")
    lock = Lock(state)
    try:
        state.prepare()
        lock.take()
        fleet = Fleet(
            Addresses(settings.port),
            state,
            lock=lock.descriptor,
            replicas=settings.replicas,
            rotation_seconds=settings.rotation_seconds,
        )
        check_ports(fleet.ports)
        return asyncio.run(until_signal(settings, fleet, state, lock=lock.descriptor))
    except (AlreadyRunningError, PortBusyError, StateError) as error:
        print(f"soak: {error}", file=sys.stderr)
        return 2
    except (StackError, StageError, DatabaseError, EmbeddedPostgresError, PlaceError) as error:
        print(f"soak: {error}", file=sys.stderr)
        return 1
    finally:
        lock.release()


async def until_signal(settings: Settings, fleet: Fleet, state: State, *, lock: int) -> int:
    """Soak until the end, or until a signal; whichever it is, nothing is left running."""
    task = asyncio.current_task()
    loop = asyncio.get_running_loop()
    received: list[int] = []

    def interrupt(signum: int) -> None:
        if not received and task is not None:  # once: the second Ctrl-C must not disturb the stopping
            received.append(signum)
            task.cancel()

    for signum in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        loop.add_signal_handler(signum, interrupt, signum)
    try:
        return 0 if await soak(settings, fleet, state, lock=lock) else 1
    except asyncio.CancelledError:
        if not received:
            raise
        return 128 + received[0]
    finally:
        await asyncio.to_thread(fleet.close)


if __name__ == "__main__":
    sys.exit(main())
