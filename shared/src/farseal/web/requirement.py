"""What a handler requires of its callers, written on the handler: ``@requires("notes:read")``."""

import functools
import inspect
from collections.abc import Awaitable, Callable
from typing import Any, Final, TypeVar, cast

from aiohttp import web

from farseal.access import Authenticated
from farseal.errors import RoleInsufficientError, ScopeInsufficientError
from farseal.identifiers import is_scope
from farseal.web.principal import PRINCIPAL, Principal

Handler = TypeVar("Handler", bound=Callable[..., Awaitable[web.StreamResponse]])

_ATTRIBUTE: Final = "__farseal_requires__"


def requires(*scopes: str, role: str | None = None) -> Callable[[Handler], Handler]:
    """Let only good tokens with all of ``scopes``, and the role if one is named, reach a handler.

    For coroutine functions and for methods of a `web.View`. Several on one handler add up. Without arguments any good
    token will do. The middleware of `farseal.web.setup` answers those who may not pass; the handler itself checks once
    more, so that a forgotten ``setup`` is an error and never an open door.

    Raises:
        ValueError: a name that no token could carry.
        TypeError: written without parentheses, or on a class.
    """
    for name in scopes:
        if not isinstance(name, str):
            raise TypeError("requires is called: @requires() or @requires('scope')")
        if not is_scope(name):
            raise ValueError(f"{name!r} is not one scope (RFC 6749 section 3.3)")
    if role == "":
        raise ValueError("a role has a name")
    needs = Authenticated(frozenset(scopes), frozenset(() if role is None else (role,)))

    def decorate(handler: Handler) -> Handler:
        if inspect.isclass(handler):
            raise TypeError("requires goes on the methods of a view, not on its class")

        @functools.wraps(handler)
        async def guarded(*args: Any, **kwargs: Any) -> web.StreamResponse:
            bearer = _request(args).get(PRINCIPAL)
            if bearer is None:
                raise RuntimeError(
                    "@requires on a request that nobody verified: setup() was not called on the application, or a "
                    "decorator without functools.wraps hides the requirement from it"
                )
            check_needs(bearer, needs)
            return await handler(*args, **kwargs)

        setattr(guarded, _ATTRIBUTE, needs & getattr(handler, _ATTRIBUTE, Authenticated()))
        return cast("Handler", guarded)

    return decorate


def check_needs(bearer: Principal, needs: Authenticated) -> None:
    """Whether a verified bearer may pass.

    Raises:
        ScopeInsufficientError: a scope is missing; names all that are needed, for the challenge.
        RoleInsufficientError: a role is missing.
    """
    if not needs.scopes <= bearer.scopes:
        raise ScopeInsufficientError("The token lacks a scope that this needs", scopes=tuple(sorted(needs.scopes)))
    if not needs.roles <= bearer.roles:
        raise RoleInsufficientError("The token lacks a role that this needs")


def requirement_of(handler: Any, method: str) -> Authenticated | None:
    """What a routed handler requires for a method; None where it says nothing."""
    if inspect.isclass(handler):
        handler = getattr(handler, method.lower(), None)
    while isinstance(handler, functools.partial):
        handler = handler.func
    return getattr(handler, _ATTRIBUTE, None)


def _request(args: tuple[Any, ...]) -> web.Request:
    for argument in args[:2]:
        if isinstance(argument, web.Request):
            return argument
        if isinstance(argument, web.View):
            return argument.request
    raise TypeError("@requires is on something that is not called with a request")
