"""The kustomization beside the manifests, and the overlay of its page, as kubectl builds them."""

import importlib
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest

from harness.waiting import PATIENCE
from tests.deploy.manifests import ROOT, documents, documents_in, understood
from tests.deploy.pages import blocks
from tests.programs.helm import NoHelmError, kubectl

FOLDER = ROOT / "deploy" / "kubernetes"
PAGE = ROOT / "docs" / "kubernetes.md"
VERSIONS = ("1.28", "1.31", "1.34")

try:
    kubernetes_validate = importlib.import_module("kubernetes_validate")
except ImportError:
    kubernetes_validate = None


def built(folder: Path) -> dict[str, Any]:
    """Return the objects of a folder with a kustomization, by kind and name without its digest."""
    try:
        program = kubectl()
    except NoHelmError as error:
        pytest.skip(str(error))
    done = subprocess.run(
        [str(program), "kustomize", str(folder)],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE,
    )
    assert (done.returncode, done.stderr) == (0, "")
    names = (f"{each['kind']}/{each['metadata']['name']}" for each in documents_in(done.stdout))
    plain = [re.sub("-[0-9a-z]{10}$", "", name) for name in names]
    return dict(zip(plain, documents_in(done.stdout), strict=True))


def container(objects: dict[str, Any]) -> Any:
    return objects["StatefulSet/smtprelay"]["spec"]["template"]["spec"]["containers"][0]


def variables(objects: dict[str, Any]) -> dict[str, str]:
    """Return the relay's variables. A later ConfigMap replaces values of an earlier one."""
    by_name = {each["metadata"]["name"]: each for each in objects.values() if each["kind"] == "ConfigMap"}
    found: dict[str, str] = {}
    for source in container(objects)["envFrom"]:
        found |= by_name[source["configMapRef"]["name"]]["data"]
    return found


@pytest.fixture
def overlay(tmp_path: Path) -> Path:
    """The overlay of the page, in a folder beside a copy of the source folder."""
    folder = tmp_path / "mail"
    (folder / "rules").mkdir(parents=True)
    (tmp_path / "smtprelay").mkdir()
    (tmp_path / "smtprelay" / "deploy").symlink_to(ROOT / "deploy")
    texts = {block.text.splitlines()[0]: block.text for block in blocks(PAGE) if block.text.startswith("# mail/")}
    for first, text in texts.items():
        (folder / first.removeprefix("# mail/")).write_text(text)
    return folder


def test_the_base_is_the_manifest_with_one_more_config_map(tmp_path: Path) -> None:
    objects = built(FOLDER)
    manifest = {f"{each['kind']}/{each['metadata']['name']}": each for each in documents(FOLDER / "smtprelay.yaml")}
    assert set(objects) == {*manifest, "ConfigMap/smtprelay-settings"}
    added = container(objects)["envFrom"].pop()
    assert added == {"configMapRef": {"name": objects["ConfigMap/smtprelay-settings"]["metadata"]["name"]}}
    assert {name: objects[name] for name in manifest} == manifest


def test_the_relay_understands_the_settings_of_the_overlay(overlay: Path, tmp_path: Path) -> None:
    found = variables(built(overlay))
    assert found["MAILNAME"] == "mail.example.com"
    settings = understood(found, tmp_path)
    assert settings.notices == ()
    assert settings.smarthost is not None


def test_the_overlay_names_the_image_and_mounts_rules(overlay: Path) -> None:
    objects = built(overlay)
    assert {each["metadata"]["namespace"] for each in objects.values()} == {"mail"}
    assert container(objects)["image"] == "registry.example.com/mail/smtprelay:0.2.0"
    pod = objects["StatefulSet/smtprelay"]["spec"]["template"]["spec"]
    (rules,) = (volume for volume in pod["volumes"] if volume["name"] == "rules")
    (mount,) = (each for each in container(objects)["volumeMounts"] if each["name"] == "rules")
    assert mount["mountPath"] == "/etc/smtprelay/rules.d"
    assert rules["configMap"]["name"] == objects["ConfigMap/smtprelay-rules"]["metadata"]["name"] == "smtprelay-rules"


def test_changed_settings_make_new_pods_and_changed_rules_do_not(overlay: Path) -> None:
    before = built(overlay)["StatefulSet/smtprelay"]
    path = overlay / "rules" / "10-acl.toml"
    path.write_text(path.read_text() + "# more\n")
    assert built(overlay)["StatefulSet/smtprelay"] == before
    path = overlay / "kustomization.yaml"
    path.write_text(path.read_text().replace("mail.example.com", "other.example.com"))
    assert built(overlay)["StatefulSet/smtprelay"] != before


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.skipif(
    kubernetes_validate is None, reason="kubernetes-validate is not installed: pip install '.[schemas]'"
)
def test_the_objects_of_the_overlay_follow_the_schemas_of_kubernetes(overlay: Path, version: str) -> None:
    for found in built(overlay).values():
        kubernetes_validate.validate(found, version, strict=True)  # type: ignore[union-attr]
