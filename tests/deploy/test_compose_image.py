"""The image of the compose files: pulled under the name that the environment gives, or built from the source."""

import os
import shutil
import subprocess

import pytest
import yaml

from tests.deploy.manifests import ROOT, documents

DEPLOY = ROOT / "deploy"
FILES = [*sorted((DEPLOY / "compose").glob("*.yaml")), *sorted(DEPLOY.glob("*/compose.yaml"))]
BUILD = DEPLOY / "build.yaml"
NAME = "registry.example.org/mail/smtprelay:0.2.0"

compose = shutil.which("docker-compose")
each_file = pytest.mark.parametrize("path", FILES, ids=lambda path: f"{path.parent.name}-{path.stem}")


@each_file
def test_the_image_is_the_local_one_unless_the_environment_names_another(path):
    assert documents(path)[0]["services"]["smtp"]["image"] == "${SMTPRELAY_IMAGE:-smtprelay}"


@each_file
@pytest.mark.skipif(compose is None, reason="docker-compose is not installed")
def test_compose_builds_the_image_of_the_source_under_its_name(path):
    done = subprocess.run(
        [compose, "-f", path, "-f", BUILD, "config"],
        env={**os.environ, "SMTPRELAY_IMAGE": NAME},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    service = yaml.safe_load(done.stdout)["services"]["smtp"]
    assert service["image"] == NAME
    assert service["build"]["context"] == str(ROOT)
    assert (ROOT / "Dockerfile").is_file()
