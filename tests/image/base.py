"""A stand-in for the base image, made by debootstrap, so that the build needs Debian's packages but no registry."""

import re
import subprocess
from pathlib import Path

NAME = "debian:trixie-slim"
_SUITE = "trixie"
_MINUTES = 60

# The omissions and rules of the real image (for dpkg and apt), so that sizes are comparable.
_DPKG = """\
path-exclude /usr/share/doc/*
path-exclude /usr/share/man/*
path-exclude /usr/share/locale/*
path-exclude /usr/share/info/*
path-exclude /usr/share/lintian/*
path-include /usr/share/doc/*/copyright
"""
_APT = """\
DPkg::Post-Invoke { "rm -f /var/cache/apt/archives/*.deb /var/cache/apt/*.bin || true"; };
Dir::Cache::pkgcache "";
Dir::Cache::srcpkgcache "";
Acquire::Languages "none";
"""
_LEFT_OUT = (
    "usr/share/doc",
    "usr/share/man",
    "usr/share/locale",
    "usr/share/info",
    "var/cache/apt",
    "var/lib/apt/lists",
)


def base_archive(cache: Path, architecture: str = "") -> Path:
    """Return the base's root file system as a tar file, made once a cache directory. Raises RuntimeError.

    `architecture` is one of Debian's that this machine can run or emulate; by default it is this machine's own.
    """
    name = f"{_SUITE}-{architecture}" if architecture else _SUITE
    archive = cache / f"{name}.tar"
    if not archive.exists():
        cache.mkdir(parents=True, exist_ok=True)
        _make(cache / name, archive, [f"--arch={architecture}"] if architecture else [])
    return archive


def _make(root: Path, archive: Path, options: list[str]) -> None:
    _run("rm", "-rf", str(root))
    _run("debootstrap", "--variant=minbase", *options, _SUITE, str(root), mirror())
    (root / "etc/dpkg/dpkg.cfg.d/docker").write_text(_DPKG)
    (root / "etc/apt/apt.conf.d/docker-clean").write_text(_APT + _hosts_leniency())
    # Builders mount their own over it. buildah would make it with the time of the build.
    (root / "etc/hosts").touch()
    for folder in _LEFT_OUT:
        for content in (root / folder).iterdir():
            _run("rm", "-rf", str(content))
    unfinished = archive.with_suffix(".new")
    _run("tar", "-C", str(root), "--numeric-owner", "-cf", str(unfinished), ".")
    _run("rm", "-rf", str(root))
    unfinished.rename(archive)


def mirror() -> str:
    """Return the mirror that this machine's apt takes Debian from."""
    done = _run("apt-get", "indextargets", "--format", "$(SITE) $(COMPONENT)")
    for line in done.splitlines():
        if found := re.fullmatch(r"(\S+/debian/?) main", line):
            return found[1]
    raise RuntimeError("apt has no mirror of Debian: add one to its sources")


def _hosts_leniency() -> str:
    """Return the apt options of this machine for the age of indexes, because a mirror may be frozen."""
    return "".join(
        f"{line}\n" for line in _run("apt-config", "dump").splitlines() if line.startswith("Acquire::Check-")
    )


def _run(*command: str) -> str:
    done = subprocess.run(
        command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=_MINUTES * 60, check=False
    )
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)}: {done.stdout[-2000:]}{done.stderr[-2000:]}")
    return done.stdout
