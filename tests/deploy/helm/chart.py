"""The Helm chart as Helm renders it."""

import subprocess
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from harness.waiting import PATIENCE
from tests.deploy.manifests import ROOT, documents_in
from tests.programs.helm import NoHelmError, helm

CHART = ROOT / "deploy" / "helm" / "smtprelay"
#: The sets of values that the chart brings for tests, by their names.
SETS: Mapping[str, Path] = {
    path.name.removesuffix("-values.yaml"): path for path in sorted((CHART / "ci").glob("*-values.yaml"))
}
#: The relay's container in a rendered pod.
CONTAINER = 0


class Rendered:
    """The objects of a rendered chart, and the parts of its pods."""

    def __init__(self, objects: Sequence[Any]) -> None:
        self.objects = objects

    def one(self, kind: str, name: str = "") -> Any:
        """Return the object of a kind, which may be named if there are several."""
        (found,) = [each for each in self.objects if each["kind"] == kind and name in ("", each["metadata"]["name"])]
        return found

    @property
    def kinds(self) -> list[str]:
        """The kinds of all objects."""
        return [each["kind"] for each in self.objects]

    @property
    def workload(self) -> Any:
        """The StatefulSet or the Deployment."""
        return self.one("StatefulSet" if "StatefulSet" in self.kinds else "Deployment")

    @property
    def name(self) -> str:
        """The name of the workload, with which those of all objects begin."""
        return str(self.workload["metadata"]["name"])

    @property
    def pod(self) -> Any:
        """The specification of the relay's pods."""
        return self.workload["spec"]["template"]["spec"]

    @property
    def container(self) -> Any:
        """The relay's container."""
        return self.pod["containers"][CONTAINER]

    @property
    def data(self) -> dict[str, str]:
        """The relay's variables."""
        return dict(self.one("ConfigMap", self.name)["data"])

    @property
    def mounts(self) -> dict[str, Any]:
        """The volumes of the container by their paths; a claim of the StatefulSet is a volume, too."""
        claims = [each["metadata"] for each in self.workload["spec"].get("volumeClaimTemplates", ())]
        volumes = {each["name"]: each for each in [*self.pod["volumes"], *claims]}
        return {mount["mountPath"]: volumes[mount["name"]] for mount in self.container["volumeMounts"]}


@cache
def rendered(name: str, generation: str = "4") -> Rendered:
    """Return the chart with a set of values."""
    return Rendered(documents_in(template(["--values", str(SETS[name])], generation).stdout))


def with_values(*options: str) -> Rendered:
    """Return the chart with options of Helm such as "--set=replicas=2"."""
    done = template(options)
    assert done.returncode == 0, done.stderr
    return Rendered(documents_in(done.stdout))


def template(options: Sequence[str], generation: str = "4") -> "subprocess.CompletedProcess[str]":
    """Run `helm template` of a release named smtprelay."""
    return run("template", "smtprelay", str(CHART), *options, generation=generation)


def run(*words: str, generation: str = "4") -> "subprocess.CompletedProcess[str]":
    """Run Helm without a cluster, and without files of the user. Skips without Helm, and says why."""
    try:
        program = helm(generation)
    except NoHelmError as error:
        pytest.skip(str(error))
    return subprocess.run(
        [str(program), *words],
        env={"KUBECONFIG": "/dev/null", "HOME": "/nonexistent", "PATH": "/usr/bin:/bin"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE,
    )
