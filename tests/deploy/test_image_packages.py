"""The image's packages: Debian's for everything that the program needs."""

import configparser
import json
import re
import shutil
import subprocess

import pytest
from packaging.requirements import Requirement

import mta
from tests.deploy.manifests import ROOT

DOCKERFILE = (ROOT / "Dockerfile").read_text()
#: Debian's names that are not those of Python's package index behind "python3-".
NAMES = {
    "attrs": "python3-attr",
    "dkimpy": "python3-dkim",
    "psycopg": "python3-psycopg-c",
    "pyopenssl": "python3-openssl",
}
#: Debian's docker-buildx; other installations have it as a plugin of Docker's command line.
BUILDX = (shutil.which("docker-buildx"), "/usr/libexec/docker/cli-plugins/docker-buildx")


def required():
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg")
    wanted = setup["options"]["install_requires"].strip().splitlines()
    # The extras that the image has.
    wanted += setup["options.extras_require"]["postgres"].strip().splitlines()
    return [Requirement(line).name.lower() for line in wanted if not line.startswith("#")]


def test_the_image_has_debians_package_of_each_dependency():
    (listed,) = re.findall(r"no-install-recommends \\\n((?: +\S+ \\\n)+)", DOCKERFILE)
    packages = {line.split()[0] for line in listed.splitlines()}
    assert {NAMES.get(name, f"python3-{name}") for name in required()} <= packages


def test_every_stage_takes_packages_from_the_same_state_of_the_archive():
    stages = [stage for stage in re.split("^FROM ", DOCKERFILE, flags=re.MULTILINE) if " update" in stage]
    assert len(stages) == 2
    first, second = (re.findall(r"if \[ -n \"\$SNAPSHOT\" .*?\bfi \\\n", stage, re.DOTALL) for stage in stages)
    assert len(first) == 1
    assert first == second
    for stage in stages:
        assert {"ARG SNAPSHOT", "ARG SNAPSHOT_HOST"} <= set(stage.splitlines())
    assert set(re.findall(r"apt-get .*?(?:update|install)\b", DOCKERFILE)) == {
        'apt-get "$@" update',
        'apt-get "$@" install',
    }


def test_the_compiler_is_installed_on_request_alone_and_all_that_it_needs_is_in_the_context():
    compiler = "gcc libc6-dev python3-dev python3-pip"
    assert f"${{COMPILE:+{compiler}}}\n" in DOCKERFILE
    assert not set(compiler.split()) & set(DOCKERFILE.replace(compiler, "").split())
    context = (ROOT / ".dockerignore").read_text().split()
    assert {"!setup.py", "!tools/compiling.py", "!setup.cfg", "!mta"} <= set(context)


def test_the_label_has_the_version_of_the_relay():
    assert re.findall(r"^ARG VERSION=(.*)$", DOCKERFILE, re.MULTILINE) == [mta.__version__]


def bake(*words, **environ):
    """Return the plan of `docker buildx bake`."""
    program = next((path for path in BUILDX if path and shutil.which(path)), None)
    if program is None:
        pytest.skip("docker-buildx is not installed: Debian's package docker-buildx has it, from Debian 13 on")
    command = [program, "bake", "--file", str(ROOT / "deploy/bake.hcl"), "--print", *words]
    done = subprocess.run(command, env=environ, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)["target"]


def test_bake_builds_four_platforms_with_the_time_and_defaults_of_the_dockerfile():
    (target,) = bake().values()
    assert target["platforms"] == ["linux/amd64", "linux/arm64", "linux/arm/v7", "linux/386"]
    defaults = dict(re.findall(r"^ARG (\w+)=\"?(.*?)\"?$", DOCKERFILE, re.MULTILINE))
    assert target["args"].items() <= defaults.items()
    assert target["tags"] == ["smtprelay"]


def test_bake_labels_the_image_with_what_it_is_told():
    told = {"IMAGES": "a.example/x:1,b.example/x:1", "BASE": "debian:13@sha256:12ab", "SNAPSHOT": "20261129T000000Z"}
    told |= {"SOURCE_DATE_EPOCH": "1796000000", "REVISION": "c0ffee", "SOURCE": "https://git.example/x"}
    (target,) = bake("local", **told, DOCUMENTATION="https://docs.example/").values()
    assert target["tags"] == ["a.example/x:1", "b.example/x:1"]
    assert {name: told[name] for name in ("BASE", "SNAPSHOT", "SOURCE_DATE_EPOCH")} == target["args"]
    labels = {name.removeprefix("org.opencontainers.image."): text for name, text in target["labels"].items()}
    assert labels == {
        "base.name": "debian:13",
        "base.digest": "sha256:12ab",
        "created": "2026-11-30T00:53:20Z",
        "revision": "c0ffee",
        "source": "https://git.example/x",
        "documentation": "https://docs.example/",
    }
