"""Writes a bill of materials for each image, CycloneDX 1.6 in JSON, by what is really inside.

    python -m scripts.sbom [IMAGE ...]   # all that are built when none is named; FARSEAL_TAG is their tag

Into ./sbom. The same image gives the same file: its time is the image's, its serial number made of the image's id.
"""

import asyncio
import json
import os
import re
import sys
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import yaml
from cyclonedx.contrib.license.factories import LicenseFactory
from cyclonedx.model import Property
from cyclonedx.model.bom import Bom, BomMetaData
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.model.license import License, LicenseExpression
from cyclonedx.output import make_outputter
from cyclonedx.schema import OutputFormat, SchemaVersion
from packageurl import PackageURL

from farseal_testing.commands import CommandError, run

ROOT: Final = Path(__file__).parent.parent
FOLDER: Final = ROOT / "sbom"
LABEL: Final = "org.opencontainers.image."
LONGEST_LICENCE: Final = 80
"""Characters of a licence's name; longer ones are the licence's text."""
TOLD: Final = r"""
. /etc/os-release
printf 'system\t%s\t%s\n' "$ID" "$VERSION_ID"
dpkg-query --show --showformat 'debian\t${Package}\t${Version}\t${Architecture}\t${db:Status-Status}\n'
for name in python3 postgres; do # programs that are no package of Debian's: Python in its official image, say
  if path=$(command -v "$name") && path=$(readlink -f "$path") && ! dpkg-query --search "$path" >/dev/null 2>&1; then
    printf 'program\t%s\t%s\n' "$name" "$("$path" --version)"
  fi
done
if [ -x /opt/farseal/bin/python ]; then
  exec /opt/farseal/bin/python -P -c '
import importlib.metadata, json
keys = ("Name", "Version", "License-Expression", "License", "Classifier")
for one in importlib.metadata.distributions():
    print("python", json.dumps({key: one.metadata.get_all(key) or [] for key in keys}), sep="\t")
'
fi
"""
"""A program for an image's own shell: a line for each thing that it holds, its fields parted by tabs."""


@dataclass(frozen=True, slots=True)
class Image:
    """An image as the engine knows it, and what it says of its content: lines of `TOLD`."""

    reference: str
    ident: str
    created: datetime
    labels: Mapping[str, str]
    told: str


async def look(reference: str) -> Image:
    """Look into an image.

    Raises:
        CommandError: it is not here, no engine answers, or it cannot tell.
    """
    known: dict[str, Any] = json.loads((await run("docker", "image", "inspect", reference)).out)[0]
    options = ("--rm", "--interactive", "--network", "none", "--user", "65534", "--entrypoint", "sh")
    told = await run("docker", "run", *options, reference, "-eu", stdin=TOLD.encode(), seconds=120)
    # Engines tell nanoseconds, and Python up to 3.12 reads microseconds.
    created = datetime.fromisoformat(re.sub(r"(\.\d{6})\d*", r"\1", known["Created"]))
    return Image(reference, known["Id"], created, known["Config"].get("Labels") or {}, told.out)


def licences(told: Mapping[str, Sequence[str]]) -> list[License]:
    """Give what a distribution says of its licence: an SPDX expression before names, a name before its classifiers.

    Args:
        told: its core metadata: ``License-Expression``, ``License`` and ``Classifier``, each any number of times.
    """
    names = [one.rpartition(" :: ")[2] for one in told["Classifier"] if one.startswith("License ::")]
    short = [one for one in told["License"] if len(one) <= LONGEST_LICENCE and "\n" not in one and one != "UNKNOWN"]
    factory, words = LicenseFactory(), told["License-Expression"][:1] or short or names
    found = [factory.make_from_string(one) for one in words]
    if len(found) > 1:  # an expression stands alone or not at all
        return [factory.make_with_name(one.value) if isinstance(one, LicenseExpression) else one for one in found]
    return found


def component(name: str, purl: PackageURL, **more: Any) -> Component:
    """Give one thing that an image holds, known by its package URL."""
    return Component(name=name, version=purl.version, purl=purl, bom_ref=purl.to_string(), **more)


def components(told: str) -> Iterator[Component]:
    """Give what an image holds, by the lines that it told."""
    system, release, architecture = "debian", "", ""
    for line in told.splitlines():
        kind, *words = line.split("\t")
        match kind:
            case "system":
                system, release = words
            case "debian":
                name, version, architecture, status = words
                if status != "installed":
                    continue
                where = {"arch": architecture, "distro": f"{system}-{release}"}
                purl = PackageURL("deb", system, name, version, qualifiers=where)
                yield component(name, purl)
            case "program":
                name = re.sub(r"[\d.]+$", "", words[0])
                found = re.search(r"\d+(\.\d+)+", words[1])
                purl = PackageURL("generic", None, name, found[0] if found else None)
                yield component(name, purl, type=ComponentType.APPLICATION)
            case "python":
                metadata: dict[str, list[str]] = json.loads(words[0])
                name, version = metadata["Name"][0], metadata["Version"][0]
                purl = PackageURL("pypi", None, name, version)
                yield component(name, purl, licenses=licences(metadata))


def document(image: Image) -> str:
    """Write the bill of materials of an image, as JSON with a line feed at its end."""
    said = {key.removeprefix(LABEL): value for key, value in image.labels.items() if key.startswith(LABEL)}
    whole = Component(
        name=image.reference.rpartition(":")[0],
        version=said.get("version"),
        description=said.get("description"),
        type=ComponentType.CONTAINER,
        bom_ref=image.ident,
        licenses=[LicenseFactory().make_from_string(said["licenses"])] if "licenses" in said else [],
        properties=[
            Property(name="farseal:image", value=image.ident),
            Property(name="farseal:revision", value=said.get("revision", "unknown")),
        ],
    )
    bom = Bom(
        components=components(image.told),
        serial_number=uuid.uuid5(uuid.NAMESPACE_OID, image.ident),
        metadata=BomMetaData(component=whole, timestamp=image.created),
    )
    bom.register_dependency(whole, bom.components)
    return make_outputter(bom, OutputFormat.JSON, SchemaVersion.V1_6).output_as_string(indent=2) + "\n"


def images() -> list[str]:
    """Give the names of the images of compose.yaml."""
    services = yaml.safe_load((ROOT / "compose.yaml").read_text())["services"].values()
    return sorted({re.sub(r"^farseal/|:.*$", "", service["image"]) for service in services})


def here(tag: str) -> list[str]:
    """Give the names of all images: those of compose.yaml, and the library's where it was built.

    Raises:
        CommandError: there is no engine.
    """
    found = asyncio.run(run("docker", "image", "inspect", f"farseal/library:{tag}", check=False))
    return [*images(), *(["library"] if found.status == 0 else [])]


def write(names: Sequence[str], tag: str, folder: Path) -> None:
    """Write the bills of materials of images into a folder, each whole or not at all, and say so.

    Raises:
        CommandError: as of `look`. What was written until then is there.
    """
    folder.mkdir(exist_ok=True)
    for name in names:
        text = document(asyncio.run(look(f"farseal/{name}:{tag}")))
        path = folder / f"{name}.cdx.json"
        path.with_suffix(".new").write_text(text)
        path.with_suffix(".new").replace(path)
        print(f"sbom: {name}: {len(json.loads(text)['components'])} components")


def main(arguments: Sequence[str]) -> int:
    """Write those that are named, or all."""
    tag = os.environ.get("FARSEAL_TAG", "dev")
    try:
        write(arguments or here(tag), tag, FOLDER)
    except CommandError as error:
        print(f"sbom: {error}\nThe images are built by make up, or by sh scripts/compose.sh build", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
