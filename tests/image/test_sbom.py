"""The bill of materials of the image."""

import os
import re
import subprocess
import sys
from datetime import UTC, datetime

import pytest

import mta
from harness.daemon import ROOT

pytest.importorskip("debsbom", reason="the extra sbom is not installed: pip install '.[sbom]'")

from spdx_tools.spdx.parser.parse_anything import parse_file
from spdx_tools.spdx.validation.document_validator import validate_full_spdx_document

from tools.image_sbom import bill_of_materials

CREATED = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture(scope="module")
def document(image, tmp_path_factory):
    """Return the document, as another program reads it."""
    path = tmp_path_factory.mktemp("sbom") / "image.spdx.json"
    path.write_text(bill_of_materials(image.root, CREATED))
    return parse_file(str(path))


def versions(document):
    return {(package.name, package.version) for package in document.packages}


def test_it_is_valid_spdx(document):
    assert validate_full_spdx_document(document) == []


def test_it_has_every_package_of_debian_and_the_relay_with_its_scripts(image, document):
    status = (image.root / "var/lib/dpkg/status").read_text()
    installed = set(re.findall(r"^Package: (\S+)\n(?:.*\n)*?Version: (\S+)\n", status, re.MULTILINE))
    assert len(installed) > 100
    assert installed <= versions(document)
    assert ("smtprelay", mta.__version__) in versions(document)
    assert {"htmx.org", "uplot"} <= {package.name for package in document.packages}


def test_it_is_about_the_relay_which_depends_on_its_packages(document):
    related = {(one.relationship_type.name, one.related_spdx_element_id) for one in document.relationships}
    assert ("DESCRIBES", "SPDXRef-pypi-smtprelay") in related
    needed = {
        one.related_spdx_element_id for one in document.relationships if one.spdx_element_id == "SPDXRef-pypi-smtprelay"
    }
    assert {"SPDXRef-python3-twisted-all", "SPDXRef-npm-uplot"} <= needed


def test_the_same_image_gives_the_same_text(image):
    def text(seed):
        command = [sys.executable, "-m", "tools.image_sbom", str(image.root)]
        environ = {**os.environ, "PYTHONHASHSEED": seed}
        return subprocess.run(command, cwd=ROOT, env=environ, capture_output=True, check=True, timeout=300).stdout

    assert text("1") == text("2")
