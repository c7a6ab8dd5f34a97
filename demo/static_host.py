"""A static host of published documents: any web server does this; the demo brings its own to need no other.

Run as a program, by path: ``python -P static_host.py DIRECTORY --host HOST --port PORT --max-age SECONDS``. It knows a
folder and nothing of the auth server that writes there, nor of who reads.

Whole files only, and only those directly in the folder or in its one folder of status lists: no listing, no ranges, no
name that begins with a dot (a publisher's temporary files do), no link. A file is opened once and judged by what was
opened, so that a rename under its feet gives either document and never a mixture.

Exit status: 0 after SIGTERM or SIGINT, 1 when the address cannot be had.
"""

import argparse
import asyncio
import base64
import contextlib
import hashlib
import os
import re
import stat
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import format_datetime
from pathlib import Path
from typing import BinaryIO, Final

from aiohttp import ETag, web

NAME: Final = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,127}")
STATUS: Final = "status"
"""The one folder in the folder. Its files are status lists."""
LIST_NAME: Final = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,127}\.jwt")
MOST_BYTES: Final = 1 << 20
"""Of a file; what is larger is no published document. The largest key set that a verifier takes is far below."""
MOST_LIST_BYTES: Final = 4 << 20
"""Of a status list: as much as a verifier takes."""
MEDIA_TYPES: Final = {
    "jwks.json": "application/jwk-set+json",
    ".json": "application/json",
    ".jwt": "application/statuslist+jwt",
}
"""By the whole name, then by its suffix; everything else is bytes."""
LISTS_MAX_AGE_SECONDS: Final = 1
"""Of the status lists and their index, at most: who is logged out must not be held by caches."""
LISTS_INDEX: Final = "status-lists.json"
DIRECTORY: Final = web.AppKey("directory", Path)
MAX_AGE: Final = web.AppKey("max_age", int)


@dataclass(frozen=True, slots=True)
class Found:
    """A file as it was at the moment it was opened."""

    body: bytes
    modified: datetime
    """Whole seconds, as HTTP dates are; rounded down."""

    @property
    def etag(self) -> str:
        """A strong validator of the content, without its quotes (RFC 9110 section 8.8.3)."""
        return base64.urlsafe_b64encode(hashlib.sha256(self.body).digest()[:16]).rstrip(b"=").decode()


def find(directory: Path, name: str, *, within: str | None = None) -> Found | None:
    """Read a file of the folder, or of the folder ``within`` it; None for what is none, or not to be given away."""
    if (NAME if within is None else LIST_NAME).fullmatch(name) is None:
        return None
    most = MOST_BYTES if within is None else MOST_LIST_BYTES
    with contextlib.suppress(OSError), _folder(directory, within) as folder, _open(name, folder) as file:
        seen = os.fstat(file.fileno())
        if stat.S_ISREG(seen.st_mode) and seen.st_size <= most:
            return Found(file.read(most), datetime.fromtimestamp(int(seen.st_mtime), UTC))
    return None


@contextlib.contextmanager
def _folder(directory: Path, within: str | None) -> Iterator[int]:
    """Hold the folder, or the one in it if that is no link out of it."""
    flags = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
    folder = os.open(directory, flags)
    try:
        if within is not None:
            outer, folder = folder, os.open(within, flags | os.O_NOFOLLOW, dir_fd=folder)
            os.close(outer)
        yield folder
    finally:
        os.close(folder)


def _open(name: str, folder: int) -> BinaryIO:
    """Open a file, no link, and without waiting for the other end of a pipe."""
    return os.fdopen(os.open(name, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=folder), "rb")


def is_current(request: web.BaseRequest, found: Found) -> bool:
    """Tell whether the client's copy is the file (RFC 9110 section 13.2.2): entity tags decide, dates without them."""
    if (tags := request.if_none_match) is not None:
        return any(tag.value in {found.etag, "*"} for tag in tags)
    since = request.if_modified_since
    return since is not None and found.modified <= since


async def get(request: web.Request) -> web.Response:
    """GET and HEAD of one file. A 304 carries the validators too: the date may be newer than the client's."""
    name, within = request.match_info["name"], request.match_info.get("within")
    found = await asyncio.to_thread(find, request.app[DIRECTORY], name, within=within)
    if found is None:
        raise web.HTTPNotFound(text="no such document\n")
    response = web.Response(status=304) if is_current(request, found) else web.Response(body=found.body)
    if response.status == 200:
        response.content_type = media_type(name)
    response.headers["Cache-Control"] = f"public, max-age={max_age(name, within, request.app[MAX_AGE])}"
    response.headers["Last-Modified"] = format_datetime(found.modified, usegmt=True)
    response.etag = ETag(found.etag)
    return response


def max_age(name: str, within: str | None, usual: int) -> int:
    """Tell for how many seconds caches may keep a file."""
    return usual if within is None and name != LISTS_INDEX else min(usual, LISTS_MAX_AGE_SECONDS)


def media_type(name: str) -> str:
    """Give the media type that a file's name stands for."""
    return MEDIA_TYPES.get(name) or MEDIA_TYPES.get(Path(name).suffix, "application/octet-stream")


def application(directory: Path, *, max_age: int) -> web.Application:
    """Make the host of one folder, which need not exist yet.

    Args:
        directory: of the files.
        max_age: seconds for which caches may keep an answer; status lists and their index at most a second.
    """
    app = web.Application(client_max_size=1024)
    app[DIRECTORY] = directory
    app[MAX_AGE] = max_age
    app.router.add_get("/{name}", get)
    app.router.add_get(f"/{{within:{STATUS}}}/{{name}}", get)
    return app


def main(argv: Sequence[str]) -> int:
    """Serve until told to stop."""
    parser = argparse.ArgumentParser(prog="static_host.py", description="Serve the files of a folder.")
    parser.add_argument("directory", type=Path)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--max-age", type=int, default=1, help="seconds")
    options = parser.parse_args(argv)
    app = application(options.directory, max_age=options.max_age)
    try:
        with contextlib.suppress(KeyboardInterrupt):
            web.run_app(app, host=options.host, port=options.port, access_log=None, print=None, shutdown_timeout=0.5)
    except OSError as error:
        print(f"static host: cannot listen on {options.host}:{options.port}: {error.strerror}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
