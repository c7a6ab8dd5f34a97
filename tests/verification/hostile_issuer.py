"""An issuer that misbehaves on the wire, in a process of its own, and the handle by which a test directs it.

Raw sockets and no HTTP library: what it sends, no library would. A connection whose first line is ``DIRECT`` brings the
next behaviour as JSON and gets the figures back; every other is a request, answered as the present behaviour says.

    python tests/verification/hostile_issuer.py [CERTIFICATE KEY]
"""

import asyncio
import base64
import hashlib
import json
import socket
import ssl
import struct
import subprocess
import sys
from pathlib import Path
from typing import Any, Self

CHUNK = b"x" * (1 << 16)
TRICKLE_SECONDS = 0.05
MAX_DIRECTION = 1 << 24


class Server:
    """Answers every request by the present behaviour, and counts."""

    def __init__(self) -> None:
        self.behaviour: dict[str, Any] = {"mode": "silent"}
        self.requests = 0
        self.conditional = 0
        self.sent = 0
        self.paths: list[str] = []
        self.fields: dict[str, str] = {}
        self.by_path: dict[str, list[int]] = {}

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            line = await reader.readline()
            if line.startswith(b"DIRECT "):
                await self.direct(line, writer)
                return
            head = await reader.readuntil(b"\r\n\r\n")
            self.requests += 1
            self.paths = [*self.paths[-50:], line.split()[1].decode()]
            self.by_path.setdefault(self.paths[-1], [0, 0])[0] += 1
            fields = dict(part.split(b": ", 1) for part in head.lower().split(b"\r\n") if b": " in part)
            self.fields = {name.decode(): value.decode() for name, value in fields.items()}
            self.conditional += b"if-none-match" in fields or b"if-modified-since" in fields
            await getattr(self, self.behaviour["mode"])(fields, writer)
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    async def direct(self, line: bytes, writer: asyncio.StreamWriter) -> None:
        asked = json.loads(line.removeprefix(b"DIRECT "))
        figures = {
            "requests": self.requests, "conditional": self.conditional, "sent": self.sent, "paths": self.paths,
            "fields": self.fields, "by_path": self.by_path,
        }  # fmt: skip
        if asked:
            self.behaviour = asked
            self.requests = self.conditional = self.sent = 0
            self.paths = []
            self.fields = {}
            self.by_path = {}
        await self.send(writer, json.dumps(figures).encode() + b"\n", count=False)

    async def send(self, writer: asyncio.StreamWriter, data: bytes, *, count: bool = True) -> None:
        writer.write(data)
        await writer.drain()
        self.sent += len(data) if count else 0

    async def answer(self, fields: dict[bytes, bytes], writer: asyncio.StreamWriter) -> None:
        """A well-formed answer; 304 to a condition that holds, unless told to lie. By path, where told so.

        A path may have another mode, or ``replicas`` that take turns.
        """
        said, path = self.behaviour, self.paths[-1]
        if "by_path" in said:
            said = said["by_path"].get(path, {"status": 404})
        if "replicas" in said:
            said = said["replicas"][self.by_path[path][0] % len(said["replicas"])]
        if said.get("mode", "answer") != "answer":
            await getattr(self, said["mode"])(fields, writer)
            return
        body = base64.b64decode(said.get("body", ""))
        headers = {"ETag": f'"{hashlib.sha256(body).hexdigest()[:16]}"'} | said.get("headers", {})
        status = said.get("status", 200)
        if status == 200 and fields.get(b"if-none-match") == str(headers["ETag"]).encode():
            status, body = 304, b""
            self.by_path.setdefault(path, [0, 0])[1] += 1
            headers |= said.get("on_304", {})
        headers = {"Content-Length": len(body)} | headers
        if status == 304:
            del headers["Content-Length"]
        lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items() if value is not None)
        await self.send(writer, f"HTTP/1.1 {status} X\r\n{lines}Connection: close\r\n\r\n".encode() + body)

    async def silent(self, _fields: dict[bytes, bytes], _writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(3600)

    async def slow_head(self, _fields: dict[bytes, bytes], writer: asyncio.StreamWriter) -> None:
        await self.send(writer, b"HTTP/1.1 200 OK\r\n")
        await self.trickle(writer, b"X")

    async def slow_body(self, _fields: dict[bytes, bytes], writer: asyncio.StreamWriter) -> None:
        await self.send(writer, b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
        await self.trickle(writer, b" ")

    async def stalled_body(self, _fields: dict[bytes, bytes], writer: asyncio.StreamWriter) -> None:
        await self.send(writer, b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n{")
        await asyncio.sleep(3600)

    async def trickle(self, writer: asyncio.StreamWriter, byte: bytes) -> None:
        while True:
            await self.send(writer, byte)
            await asyncio.sleep(TRICKLE_SECONDS)

    async def endless_head(self, _fields: dict[bytes, bytes], writer: asyncio.StreamWriter) -> None:
        await self.send(writer, b"HTTP/1.1 200 OK\r\n")
        while True:
            await self.send(writer, b"X: y\r\n" * 1000)

    async def endless_informational(self, _fields: dict[bytes, bytes], writer: asyncio.StreamWriter) -> None:
        while True:
            await self.send(writer, b"HTTP/1.1 103 Early Hints\r\n\r\n")
            await asyncio.sleep(TRICKLE_SECONDS)

    async def endless_body(self, _fields: dict[bytes, bytes], writer: asyncio.StreamWriter) -> None:
        await self.send(writer, b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        while True:
            await self.send(writer, b"%x\r\n%s\r\n" % (len(CHUNK), CHUNK))

    async def large_body(self, _fields: dict[bytes, bytes], writer: asyncio.StreamWriter) -> None:
        await self.send(writer, b"HTTP/1.1 200 OK\r\nContent-Length: 1073741824\r\n\r\n")
        while True:
            await self.send(writer, CHUNK)

    async def short_body(self, _fields: dict[bytes, bytes], writer: asyncio.StreamWriter) -> None:
        body = base64.b64decode(self.behaviour["body"])
        await self.send(writer, b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body) + 100, body))

    async def long_body(self, _fields: dict[bytes, bytes], writer: asyncio.StreamWriter) -> None:
        body = base64.b64decode(self.behaviour["body"])
        await self.send(writer, b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body) - 100, body))

    async def two_lengths(self, _fields: dict[bytes, bytes], writer: asyncio.StreamWriter) -> None:
        body = base64.b64decode(self.behaviour["body"])
        head = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\nContent-Length: 9\r\n\r\n" % len(body)
        await self.send(writer, head + body)

    async def reset(self, _fields: dict[bytes, bytes], writer: asyncio.StreamWriter) -> None:
        connection = writer.get_extra_info("socket")
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        writer.transport.abort()

    async def hang_up(self, _fields: dict[bytes, bytes], writer: asyncio.StreamWriter) -> None:
        writer.close()

    async def garbage(self, _fields: dict[bytes, bytes], writer: asyncio.StreamWriter) -> None:
        await self.send(writer, bytes(range(256)) * 16)


async def run(certificate: str | None = None, key: str | None = None) -> None:
    """Serve on loopback until killed; prints the port for requests and the one for directions."""
    server = Server()
    context = None
    if certificate is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate, key)
    requests = await asyncio.start_server(server.serve, "127.0.0.1", 0, ssl=context)
    directions = await asyncio.start_server(server.serve, "127.0.0.1", 0, limit=MAX_DIRECTION)
    print(*(one.sockets[0].getsockname()[1] for one in (requests, directions)), flush=True)  # noqa: T201
    async with requests, directions:
        await asyncio.Event().wait()


class HostileIssuer:
    """The process, and how to tell it what to do next. A context manager."""

    def __init__(self, *tls: Path) -> None:
        self._command = [sys.executable, __file__, *map(str, tls)]
        self.scheme = "https" if tls else "http"

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(self._command, stdout=subprocess.PIPE)
        assert self._process.stdout is not None
        self.port, self._directions = map(int, self._process.stdout.readline().split())
        return self

    def __exit__(self, *_exc: object) -> None:
        self._process.kill()
        self._process.wait()
        assert self._process.stdout is not None
        self._process.stdout.close()

    @property
    def base(self) -> str:
        return f"{self.scheme}://127.0.0.1:{self.port}"

    @property
    def url(self) -> str:
        return f"{self.base}/jwks.json"

    def behave(self, mode: str, **said: Any) -> dict[str, Any]:
        """Do this from now on, and forget the figures; gives what they were."""
        return self._direct({"mode": mode, **said})

    def answer(self, body: bytes, status: int = 200, **said: Any) -> dict[str, Any]:
        """Answer every request with this."""
        return self.behave("answer", **answered(body, status, **said))

    def figures(self) -> dict[str, Any]:
        """Since the last behaviour: requests, how many were conditional, bytes sent, paths; fields of the last.

        ``by_path`` has for each path how many requests there were, and how many were answered by 304.
        """
        return self._direct({})

    def _direct(self, said: dict[str, Any]) -> dict[str, Any]:
        with socket.create_connection(("127.0.0.1", self._directions), timeout=10) as connection:
            connection.sendall(b"DIRECT " + json.dumps(said).encode() + b"\n")
            with connection.makefile("rb") as file:
                figures: dict[str, Any] = json.loads(file.readline())
                return figures


def answered(body: bytes, status: int = 200, headers: dict[str, Any] | None = None, **said: Any) -> dict[str, Any]:
    """One answer, as it travels to the server."""
    return {"body": base64.b64encode(body).decode(), "status": status, "headers": headers or {}, **said}


if __name__ == "__main__":
    asyncio.run(run(*sys.argv[1:3]))
