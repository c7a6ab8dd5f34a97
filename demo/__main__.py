"""``python -m demo``: everything on this machine, in one command.

Exit status: 0 when every claim of the tour held, 1 when one did not or something broke, 2 when the demo could not begin
(settings, a busy port, another demo, a folder that cannot be written), 128 + N when signal N ended it before the tour
was over.
"""

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import Awaitable, Callable
from typing import TypeVar

from demo.databases import DatabaseError
from demo.howto import howto
from demo.places import PlaceError
from demo.ports import PortBusyError, check_ports
from demo.postgres import EmbeddedPostgresError
from demo.screen import Screen
from demo.services import Addresses
from demo.settings import Settings
from demo.stack import Stack, StackError
from demo.state import AlreadyRunningError, Lock, State, StateError
from demo.tour.program import tour
from farseal.environment import SettingsError

T = TypeVar("T")
Tour = Callable[[Stack, Screen], Awaitable[bool]]


def main(make_stack: Callable[..., Stack] = Stack, play: Tour = tour) -> int:
    """Check that the demo can begin, then run it. Tests give a stack of other processes and a tour of their own."""
    try:
        settings = Settings.from_environ(os.environ)
    except SettingsError as error:
        print("\n".join(f"demo: {fault}" for fault in error.faults), file=sys.stderr)
        return 2
    addresses = Addresses(settings.port)
    state = State(settings.state_dir.absolute() / str(settings.port))
    lock = Lock(state)
    try:
        state.prepare()
        lock.take()
        check_ports(addresses.ports)
        stack = make_stack(addresses, state, lock=lock.descriptor)
        admin_dsn = None if settings.database_url is None else settings.database_url.reveal()
        once = os.environ.get("ONCE", "") not in {"", "0"}
        return asyncio.run(Demo(stack, Screen(), play, admin_dsn=admin_dsn, once=once).run())
    except (AlreadyRunningError, PortBusyError, StateError) as error:
        print(f"demo: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 128 + signal.SIGINT
    except (StackError, DatabaseError, EmbeddedPostgresError, PlaceError) as error:
        print(f"demo: {error}", file=sys.stderr)
        return 1
    finally:
        lock.release()


class Demo:
    """One run from the first line to the last."""

    def __init__(self, stack: Stack, screen: Screen, play: Tour, *, admin_dsn: str | None, once: bool) -> None:
        self._stack = stack
        self._screen = screen
        self._tour = play
        self._admin_dsn = admin_dsn
        self._once = once
        self._signal: signal.Signals | None = None
        self._held: bool | None = None
        """None until the tour is over."""

    async def run(self) -> int:
        """Run until the end of the tour or of the visitor's patience; give the exit status."""
        task = asyncio.current_task()
        loop = asyncio.get_running_loop()

        def interrupt(signum: signal.Signals) -> None:
            if self._signal is None and task is not None:  # once: the second Ctrl-C must not disturb the stopping
                self._signal = signum
                task.cancel()

        for signum in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            loop.add_signal_handler(signum, interrupt, signum)
        try:
            await self._play()
        except asyncio.CancelledError:
            if self._signal is None:
                raise
            self._screen.say()
            self._screen.say("stopped")
            if self._held is None:
                return 128 + self._signal
        finally:
            await asyncio.to_thread(self._stack.close)
        return 0 if self._held else 1

    async def _play(self) -> None:
        stack, screen = self._stack, self._screen
        where = "PostgreSQL of DEMO_DATABASE_URL" if self._admin_dsn else "embedded PostgreSQL"
        with screen.step(f"{where}: two databases, two roles"):
            made = await stack.open_databases(self._admin_dsn)
        if self._admin_dsn and made:
            screen.say(f"       made there: {', '.join(made)}")
        with screen.step("migrations, people, clients and resources"):
            await stack.migrate()
            await stack.seed()
        with screen.step(f"{', '.join(stack.names)} are ready"):
            await stack.bring_up()
        screen.say()
        held = await self._while_all_live(self._tour(stack, screen))
        self._held = held
        screen.say()
        screen.say("every claim held" if held else "a claim was BROKEN", style="bold green" if held else "bold red")
        if not self._once:
            screen.say()
            screen.say(howto(stack.addresses, stack.state))
            await stack.watch()

    async def _while_all_live(self, work: Awaitable[T]) -> T:
        """Do something as long as no process ends by itself."""
        watch = asyncio.ensure_future(self._stack.watch())
        doing = asyncio.ensure_future(work)
        try:
            await asyncio.wait({watch, doing}, return_when=asyncio.FIRST_COMPLETED)
            if watch.done():
                watch.result()
            return doing.result()
        finally:
            for future in (watch, doing):
                future.cancel()
                with contextlib.suppress(asyncio.CancelledError, Exception):
                    await future


if __name__ == "__main__":
    sys.exit(main())
