"""Looks at running processes from outside, as any user of the machine may."""

from collections.abc import Iterable

import psutil


class InspectionError(Exception):
    """A process cannot be looked at."""


def command_line(pid: int) -> list[str]:
    """Give a process's arguments; none when it is gone or not ours to see."""
    try:
        return list(psutil.Process(pid).cmdline())
    except psutil.Error:
        return []


def is_zombie(pid: int) -> bool:
    """Tell whether a process has ended and waits to be reaped, in some containers for ever."""
    try:
        return bool(psutil.Process(pid).status() == psutil.STATUS_ZOMBIE)
    except psutil.Error:
        return False


def descendants(pid: int) -> list[int]:
    """Give the ids of all processes below one."""
    try:
        return [child.pid for child in psutil.Process(pid).children(recursive=True)]
    except psutil.Error:
        return []


def environment(pid: int) -> dict[str, str]:
    """Give the environment a process was started with."""
    return dict(psutil.Process(pid).environ())


def remote_ports(pids: Iterable[int]) -> set[int]:
    """Give the TCP ports these processes have a connection to, in whatever state.

    Raises:
        InspectionError: the system does not let us look; no answer must not pass for "none".
    """
    ports: set[int] = set()
    for pid in pids:
        try:
            connections = psutil.Process(pid).net_connections(kind="tcp")
        except psutil.NoSuchProcess:
            continue
        except psutil.Error as error:
            raise InspectionError(f"the sockets of process {pid} cannot be seen: {error}") from error
        # An unconnected socket has an empty tuple there, whatever the stubs say.
        for one in connections:
            ports.update({one.raddr.port} if tuple(one.raddr) else ())
    return ports
