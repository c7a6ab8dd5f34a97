"""Looks at running processes from outside, as any user of the machine may."""

from collections.abc import Iterable

import psutil  # type: ignore[import-untyped]  # ships no types


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
    """Give the TCP ports these processes have a connection to, in whatever state."""
    ports: set[int] = set()
    for pid in pids:
        for connection in psutil.Process(pid).net_connections(kind="tcp"):
            if connection.raddr:
                ports.add(connection.raddr.port)
    return ports
