"""Each openapi.yaml is valid, and describes each route of its application and no other."""

from importlib.resources import files
from typing import Any

import pytest
import yaml
from aiohttp import web
from openapi_spec_validator import validate

import resource_a.app
import resource_a.settings
import resource_b.app
import resource_b.settings
from farseal.environment import Secret
from farseal.service.metrics import ServiceMetrics
from farseal_testing.issuer import Issuer
from tests.resources.people import NOTES, REPORTS


def notes_app(issuer: Issuer) -> web.Application:
    settings = resource_a.settings.Settings(database_url=Secret("postgresql://notes@127.0.0.1:1/notes"))
    return resource_a.app.create_app(settings, issuer.trust(NOTES), metrics=ServiceMetrics("a"))


def reports_app(issuer: Issuer) -> web.Application:
    settings = resource_b.settings.Settings(notes_url="http://127.0.0.1:1")
    return resource_b.app.create_app(settings, issuer.trust(REPORTS), metrics=ServiceMetrics("b"))


@pytest.mark.parametrize(("module", "make"), [("resource_a", notes_app), ("resource_b", reports_app)])
def test_every_route_is_described(module: str, make: Any, issuer: Issuer) -> None:
    """Nothing is served that is not described, and nothing described that is not served."""
    document = yaml.safe_load(files(module).joinpath("openapi.yaml").read_bytes())
    validate(document)
    described = {
        (method.upper(), path)
        for path, operations in document["paths"].items()
        for method in operations
        if method != "parameters"
    }
    served = {
        (route.method, route.resource.canonical)
        for route in make(issuer).router.routes()
        if route.method != "HEAD" and route.resource is not None
    }
    assert described == served
