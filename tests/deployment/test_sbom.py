"""Bills of materials, made of what images told. What real images tell is held by tests/system/test_images.py."""

import json
from datetime import UTC, datetime

import pytest
import yaml
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

from scripts import sbom
from scripts.walls import ROOT

LABELS = {
    "org.opencontainers.image.version": "0.1.0",
    "org.opencontainers.image.revision": "abc",
    "org.opencontainers.image.licenses": "Apache-2.0",
}


def python(name: str, **told: list[str]) -> str:
    """Give the line that an image tells of a distribution."""
    metadata = {"License-Expression": [], "License": [], "Classifier": []} | told
    return "python\t" + json.dumps({"Name": [name], "Version": ["1.0"]} | metadata)


def image(*told: str) -> sbom.Image:
    made = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    lines = ("system\tdebian\t13", *told)
    return sbom.Image("farseal/keys:dev", f"sha256:{'0' * 64}", made, LABELS, "\n".join(lines))


def written(*told: str):
    """Give the bill of materials of an image that told this, once it has passed the schema."""
    text = sbom.document(image(*told))
    fault = JsonStrictValidator(SchemaVersion.V1_6).validate_str(text)
    assert (fault and fault.data.message) is None
    return json.loads(text)


def test_an_image_is_the_subject_and_all_that_it_holds_its_components() -> None:
    told = written(
        "debian\tbash\t5.2.37-2+b10\tamd64\tinstalled",
        "debian\tlibold1\t1:1.0\tamd64\tconfig-files",
        "program\tpython3\tPython 3.13.9",
        python("Some_Thing"),
    )
    assert (told["bomFormat"], told["specVersion"]) == ("CycloneDX", "1.6")
    subject = told["metadata"]["component"]
    assert (subject["type"], subject["name"], subject["version"]) == ("container", "farseal/keys", "0.1.0")
    assert {"name": "farseal:revision", "value": "abc"} in subject["properties"]
    assert told["metadata"]["timestamp"] == "2026-01-02T03:04:05+00:00"
    assert sorted(one["purl"] for one in told["components"]) == [
        "pkg:deb/debian/bash@5.2.37-2%2Bb10?arch=amd64&distro=debian-13",
        "pkg:generic/python@3.13.9",
        "pkg:pypi/some-thing@1.0",
    ]


def test_one_image_gives_one_file() -> None:
    """To compare two files is to compare two images."""
    lines = (python("b"), python("a"))
    assert sbom.document(image(*lines)) == sbom.document(image(*reversed(lines)))


@pytest.mark.parametrize(
    ("told", "licences"),
    [
        pytest.param({}, None, id="says-nothing"),
        pytest.param(
            {"License-Expression": ["MIT OR Apache-2.0"]}, [{"expression": "MIT OR Apache-2.0"}], id="expression"
        ),
        pytest.param(
            {"License-Expression": ["MIT"], "License": ["BSD"]},
            [{"license": {"id": "MIT"}}],
            id="expression-goes-before",
        ),
        pytest.param({"License": ["Apache 2"]}, [{"license": {"name": "Apache 2"}}], id="a-name"),
        pytest.param(
            {
                "License": ["Permission is hereby granted\n" * 20],
                "Classifier": ["License :: OSI Approved :: MIT License"],
            },
            [{"license": {"name": "MIT License"}}],
            id="the-whole-text-is-no-name",
        ),
        pytest.param({"License": ["UNKNOWN"]}, None, id="unknown"),
        pytest.param(
            {"License": ["MIT OR Apache-2.0", "BSD"]},
            [{"license": {"name": "BSD"}}, {"license": {"name": "MIT OR Apache-2.0"}}],
            id="no-two-expressions",
        ),
    ],
)
def test_a_distribution_says_its_licence(told, licences) -> None:
    (component,) = written(python("a", **told))["components"]
    found = component.get("licenses")
    assert found == licences


def test_all_images_of_compose_are_looked_into() -> None:
    services = yaml.safe_load((ROOT / "compose.yaml").read_text())["services"].values()
    assert sbom.images() == sorted({service["build"]["target"] for service in services})
