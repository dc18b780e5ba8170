"""Prints the bill of materials of an image, as SPDX 2.3 in JSON: Debian's packages, the relay, and its JavaScript.

`python -m tools.image_sbom ROOT` reads the root file system of the image in the folder ROOT. It needs the extra `sbom`.
The same image gives the same text, because its date is that of the environment variable SOURCE_DATE_EPOCH, in seconds
since 1970, and otherwise the default of the Dockerfile.
"""

import hashlib
import logging
import os
import re
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from importlib.metadata import distributions
from io import StringIO
from pathlib import Path
from typing import Any
from urllib.parse import urlparse

from debsbom.bomwriter import BomWriter
from debsbom.generate import Debsbom
from debsbom.sbom import SBOMType
from license_expression import get_spdx_licensing
from spdx_tools.spdx.model.package import ExternalPackageRef, ExternalPackageRefCategory, Package, PackagePurpose
from spdx_tools.spdx.model.relationship import Relationship, RelationshipType
from spdx_tools.spdx.model.spdx_no_assertion import SpdxNoAssertion

_SITE = Path("opt/smtprelay/lib/python3.13/site-packages")
_VENDOR = _SITE / "mta/admin/page/static/vendor"
#: The files with JavaScript of others: name, package of npm, licence, and the version in the file.
_SCRIPTS = (
    ("htmx.min.js", "htmx.org", "0BSD", r'version:"([\d.]+)"'),
    ("uPlot.iife.min.js", "uplot", "MIT", r"uPlot \(v([\d.]+)\)"),
)
#: Debian's packages with what the relay imports, or loads, itself.
_NEEDED = ("dns-root-data", "libunbound8", "python3")
_DATE = "1767225600"


def bill_of_materials(root: Path, created: datetime) -> str:
    """Return the document about the image whose root file system is in a folder. Raises OSError if that has none."""
    debian = Debsbom("Debian", root, distro_version="13", timestamp=created, with_licenses=True)
    debian.scan()
    document = debian.generate(SBOMType.SPDX)
    own = list(_own(root))
    document.packages = [*own, *sorted(document.packages, key=lambda package: str(package.spdx_id))]
    document.relationships += _relationships(own, document.packages)
    document.relationships.sort(
        key=lambda one: (one.spdx_element_id, one.related_spdx_element_id, one.relationship_type.name)
    )
    info = document.creation_info
    info.name = f"smtprelay-{own[0].version}-{debian.distro_arch}"
    listed = "\n".join(f"{package.name} {package.version}" for package in document.packages)
    digest = hashlib.sha256(listed.encode()).hexdigest()
    info.document_namespace = urlparse(f"https://spdx.org/spdxdocs/{info.name}-{digest[:32]}").geturl()
    text = StringIO()
    BomWriter.create(SBOMType.SPDX).write_to_stream(document, text, validate=True)
    return text.getvalue()


def _own(root: Path) -> Iterator[Any]:
    """Yield the packages of the image that are not Debian's: the relay first."""
    for distribution in distributions(path=[str(root / _SITE)]):
        yield _package(distribution.name, distribution.version, "MIT", "pypi", PackagePurpose.APPLICATION)
    for file, name, licence, version in _SCRIPTS:
        if found := re.search(version, (root / _VENDOR / file).read_text()):
            yield _package(name, found[1], licence, "npm", PackagePurpose.LIBRARY)


def _package(name: str, version: str, licence: str, registry: str, purpose: PackagePurpose) -> Package:
    return Package(
        spdx_id=f"SPDXRef-{registry}-{name}",
        name=name,
        version=version,
        download_location=SpdxNoAssertion(),
        files_analyzed=False,
        license_concluded=SpdxNoAssertion(),
        license_declared=get_spdx_licensing().parse(licence),
        copyright_text=SpdxNoAssertion(),
        primary_package_purpose=purpose,
        external_references=[
            ExternalPackageRef(ExternalPackageRefCategory.PACKAGE_MANAGER, "purl", f"pkg:{registry}/{name}@{version}")
        ],
    )


def _relationships(own: list[Any], packages: list[Any]) -> Iterator[Relationship]:
    """Yield that the document is about the relay, and what the relay needs."""
    relay, *scripts = own
    yield Relationship("SPDXRef-DOCUMENT", RelationshipType.DESCRIBES, relay.spdx_id)
    for script in scripts:
        yield Relationship(relay.spdx_id, RelationshipType.CONTAINS, script.spdx_id)
    for package in packages:
        debian = package.primary_package_purpose is PackagePurpose.LIBRARY and package not in scripts
        if debian and (package.name in _NEEDED or package.name.startswith("python3-")):
            yield Relationship(relay.spdx_id, RelationshipType.DEPENDS_ON, package.spdx_id)


def main() -> None:
    """Print the document about the folder that the command line names."""
    if len(sys.argv) != 2:
        sys.exit("usage: python -m tools.image_sbom ROOT")
    # The maintainers of sources that others are built with are not in the image.
    logging.getLogger("debsbom").setLevel(logging.ERROR)
    created = datetime.fromtimestamp(int(os.environ.get("SOURCE_DATE_EPOCH", _DATE)), UTC)
    sys.stdout.write(bill_of_materials(Path(sys.argv[1]), created))


if __name__ == "__main__":
    main()
