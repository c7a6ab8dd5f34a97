"""An issuer in this process: its keys, its published documents in a directory, and tokens of any shape.

    issuer = Issuer(tmp_path)
    service = make_app(issuer.trust("https://orders.example"))
    good = issuer.mint("https://orders.example", "orders:read")
    bad = issuer.mint("https://orders.example", "orders:read", lifetime=-3600)

It publishes what the auth server publishes, in the same form, and a service under test reads it as it reads the real
documents: from the directory, or over HTTP with `serving`. Keys are real, of 2048 bits, and made once in a process.
"""

import hashlib
import json
import os
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from aiohttp import web

from farseal import clock
from farseal.settings import TrustSettings
from farseal_testing import forge
from farseal_testing.mint import bits_of, compact_json, digest, jwk, packed, private_key, sign, thumbprint, write

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric import rsa

ENTRIES: Final = 1 << 12
"""Of the status list: so many tokens can be told apart. A test that wants more of them has the wrong tool."""
MEDIA_TYPES: Final = {"jwks.json": "application/jwk-set+json", ".jwt": "application/statuslist+jwt"}


class Issuer:
    """An issuer, with one key that signs and its documents published.

    Args:
        directory: for the published documents; made where it is missing. Where documents of this issuer are already,
            their numbers are counted on, as by a server that starts again.
        issuer: its name, the ``iss`` of tokens. Nothing has to listen there.
        now: the clock, in whole seconds since the epoch; the process's own when not given.
    """

    def __init__(
        self, directory: Path, *, issuer: str = "http://127.0.0.1:9000", now: Callable[[], int] = clock.now
    ) -> None:
        self.directory = directory
        self.issuer = issuer
        self._now = now
        self._keys: dict[str, rsa.RSAPrivateKey] = {}
        self._withdrawn: list[str] = []
        self._sequence, self._version = self._published()
        self._content = ""
        self._made = 0
        self._entries: dict[str, int] = {}
        self._ended: set[int] = set()
        self.signer = self._new_key()
        """The kid of the key that signs."""
        self.publish()

    # -- tokens

    def mint(
        self,
        audience: str | Sequence[str],
        scope: str | None = "",
        *,
        lifetime: int = 300,
        kid: str | None = None,
        header: dict[str, Any] | None = None,
        **claims: Any,
    ) -> str:
        """Sign a token, a good one unless something is asked for that makes it a bad one.

        Args:
            audience: whom it is for.
            scope: separated by one space, as in the token; left out when None.
            lifetime: seconds until ``exp``, counted from now; a token with a negative one expired so long ago.
            kid: of the key that signs; the one that is active when not given; any that is published.
            header: members of the header to change; one given as None is left out.
            claims: to change or to add; one given as None is left out. ``sub``, ``client_id``, ``roles``, say.
        """
        kid = self.signer if kid is None else kid
        self._known(kid)
        moment = self._now()
        sid = claims.get("sid") or f"session-{len(self._entries) + 1}"
        said = {
            "iss": self.issuer,
            "sub": "somebody",
            "aud": audience if isinstance(audience, str) else list(audience),
            "exp": moment + lifetime,
            "iat": min(moment, moment + lifetime - 1),
            "jti": f"token-{time.monotonic_ns()}",
            "client_id": "login",
            "scope": scope,
            "sid": sid,
            "status": {"status_list": {"idx": self._entry(sid), "uri": self.list_uri}},
        } | claims
        head = {"alg": "RS256", "typ": "at+jwt", "kid": kid} | (header or {})
        return sign(compact_json(present(head)), compact_json(present(said)), self._keys[kid])

    def forged(self, forgery: forge.Forgery, token: str) -> str:
        """Make of an honest token what somebody can make who has not the key."""
        return forge.forged(forgery, token, json.loads((self.directory / "jwks.json").read_bytes()))

    def revoke(self, token_or_sid: str) -> None:
        """End a session: all of its tokens are refused from the next look at the status list on.

        Raises:
            LookupError: no token of that session was minted here.
        """
        sid = session_of(token_or_sid)
        if sid not in self._entries:
            raise LookupError(f"no token of the session {sid} was minted by this issuer")
        if self._entries[sid] not in self._ended:
            self._ended.add(self._entries[sid])
            self._version += 1
        self._publish_list()

    # -- keys

    def announce(self) -> str:
        """Publish a further key, which does not sign yet; give its kid."""
        kid = self._new_key()
        self.publish()
        return kid

    def activate(self, kid: str) -> None:
        """Let a published key sign. The one before stays published."""
        self._known(kid)
        self.signer = kid

    def retire(self, kid: str) -> None:
        """Publish a key no longer: its tokens are refused as of an unknown key.

        Raises:
            LookupError: it is not published.
            ValueError: it signs.
        """
        self._leave(kid)
        self.publish()

    def withdraw(self, kid: str) -> None:
        """Withdraw a key as in an emergency: its tokens are refused, as of a key that was withdrawn."""
        self._leave(kid)
        self._withdrawn.append(kid)
        self.publish()

    def rotate(self) -> str:
        """Announce a key and let it sign at once; give its kid. A verifier that had no time to look misses it."""
        kid = self.announce()
        self.activate(kid)
        return kid

    # -- publication

    @property
    def list_uri(self) -> str:
        """The address by which tokens name their status list."""
        return f"{self.issuer}/.well-known/status/one.jwt"

    def publish(self) -> None:
        """Write all documents anew, as of this moment. The sequence grows where the key set is another one."""
        keys = [jwk(key, kid) for kid, key in sorted(self._keys.items())]
        content = repr((keys, sorted(self._withdrawn)))
        self._sequence += content != self._content
        self._content = content
        said = {"issuer": self.issuer, "sequence": self._sequence, "revoked": sorted(self._withdrawn)}
        self.directory.mkdir(parents=True, exist_ok=True)
        write(self.directory / "jwks.json", compact_json({"keys": keys, "farseal": said}))
        metadata = {"issuer": self.issuer, "jwks_uri": f"{self.issuer}/.well-known/jwks.json"}
        write(self.directory / "oauth-authorization-server.json", compact_json(metadata))
        self._publish_list()

    def age(self, seconds: int) -> None:
        """Make the documents as old as if nothing had been published for so long, to see what becomes of a verifier."""
        moment = self._now() - seconds
        self._publish_list(moment)
        for file in self.directory.rglob("*"):
            os.utime(file, (moment, moment))
        os.utime(self.directory, (moment, moment))

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[str]:
        """Serve the documents on loopback, for a service that polls; give the address of the key set."""
        app = web.Application()
        app.router.add_get("/{name:.*}", self._get)
        runner = web.AppRunner(app, shutdown_timeout=0.1)
        await runner.setup()
        try:
            await web.TCPSite(runner, "127.0.0.1", 0).start()
            yield f"http://127.0.0.1:{runner.addresses[0][1]}/jwks.json"
        finally:
            await runner.cleanup()

    # -- what a service under test is told

    def settings(self, audience: str) -> dict[str, str]:
        """Give the environment of a service that trusts this issuer's directory."""
        return {
            "FARSEAL_ISSUER": self.issuer,
            "FARSEAL_AUDIENCE": audience,
            "FARSEAL_TRUST_DIRECTORY": str(self.directory),
        }

    def trust(self, audience: str) -> TrustSettings:
        """Give the same as settings, for ``farseal.web.setup``."""
        return TrustSettings.from_environ(self.settings(audience))

    def _published(self) -> tuple[int, int]:
        """The sequence and the list's version that verifiers of this directory may have seen."""
        try:
            said = json.loads((self.directory / "jwks.json").read_bytes())["farseal"]
            listed = claims_of((self.directory / "status" / "one.jwt").read_text())["farseal"]
            return (said["sequence"], listed["version"] + 1) if said["issuer"] == self.issuer else (0, 1)
        except (OSError, ValueError, LookupError, TypeError):
            return 0, 1

    def _leave(self, kid: str) -> None:
        self._known(kid)
        if kid == self.signer:
            raise ValueError(f"{kid} signs: activate another key first")
        del self._keys[kid]

    def _known(self, kid: str) -> None:
        if kid not in self._keys:
            raise LookupError(f"this issuer publishes no key {kid}")

    def _new_key(self) -> str:
        key = private_key(f"issuer-{self._made}")
        self._made += 1
        kid = thumbprint(key)
        self._keys[kid] = key
        return kid

    def _entry(self, sid: str) -> int:
        """Give the place of a session in the list; every token of it has the same."""
        index = self._entries.setdefault(sid, len(self._entries))
        if index >= ENTRIES:
            raise ValueError(f"this issuer has no more than {ENTRIES} sessions")
        return index

    def _publish_list(self, moment: int | None = None) -> None:
        issued = self._now() if moment is None else moment
        payload = {
            "iss": self.issuer,
            "sub": self.list_uri,
            "iat": issued,
            "exp": issued + 86_400,
            "ttl": 1,
            "status_list": {"bits": 1, "lst": packed(bits_of(self._ended, ENTRIES))},
            "farseal": {"version": self._version},
        }
        header = {"alg": "RS256", "typ": "statuslist+jwt", "kid": self.signer}
        document = sign(compact_json(header), compact_json(payload), self._keys[self.signer]).encode()
        (self.directory / "status").mkdir(exist_ok=True)
        write(self.directory / "status" / "one.jwt", document)
        lists = {self.list_uri: digest(document)}
        index = {"status_lists": sorted(lists), "farseal": {"issuer": self.issuer, "lists": lists}}
        write(self.directory / "status-lists.json", compact_json(index))

    async def _get(self, request: web.Request) -> web.Response:
        file = self.directory / request.match_info["name"]
        if self.directory not in file.resolve().parents or not file.is_file():
            raise web.HTTPNotFound
        body = file.read_bytes()
        tag = hashlib.sha256(body).hexdigest()[:32]
        kind = MEDIA_TYPES.get(file.name) or MEDIA_TYPES.get(file.suffix, "application/json")
        current = any(known.value == tag for known in request.if_none_match or ())
        response = web.Response(status=304) if current else web.Response(body=body, content_type=kind)
        response.headers["ETag"] = f'"{tag}"'
        response.headers["Cache-Control"] = "max-age=0"
        return response


def present(members: dict[str, Any]) -> dict[str, Any]:
    """Leave out what is None."""
    return {name: value for name, value in members.items() if value is not None}


def claims_of(token: str) -> dict[str, Any]:
    """Give the claims of a token, unverified."""
    return forge.decode(token.split(".")[1])


def session_of(token_or_sid: str) -> str:
    """Give the session of a token; what is no token is the session's id itself."""
    return str(claims_of(token_or_sid)["sid"]) if token_or_sid.count(".") == 2 else token_or_sid
