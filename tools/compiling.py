"""The compiled build: the modules that mypyc compiles, and the form of their source that it takes.

Pure Python is the source of truth, and runs everywhere. In a build with SMTPRELAY_COMPILE=1 setup.py has some modules
compiled, which then stand beside their source; Python prefers them. Modules are left out if mypyc cannot compile them,
or if they take no part in the way of a message.
"""

import filecmp
import os
import re
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
#: Where `make compiled` puts the whole relay with the compiled modules.
FOLDER = ROOT / ".cache" / "compiled"

#: The modules that are compiled, and the packages, without those in subpackages.
COMPILED = (
    "mta/smtp",
    "mta/smtp/client",
    "mta/smtp/server",
    "mta/message",
    "mta/event_log",
    "mta/tls/prompt_writer.py",
    "mta/dns/cache.py",
    "mta/queue/ids.py",
    "mta/queue/interface.py",
    "mta/queue/sql",
    "mta/queue/sqlite",
    "mta/queue/disk/threads.py",
    "mta/queue/disk/writer.py",
    "mta/inbound",
    "mta/delivery",
    "mta/delivery/destinations",
    "mta/delivery/remote",
)
_TWISTED = "has a class that inherits from one of Twisted or an interface of zope, which mypyc cannot compile"
_BASE = "has a class from which interpreted classes inherit"
_RARE = "takes no part in the way of most messages"
#: Modules of these packages that stay interpreted, each with the reason.
INTERPRETED = {
    "mta/delivery/destinations/window.py": "has attributes that a class derived from it makes properties",
    "mta/delivery/remote/connector.py": _TWISTED,
    "mta/delivery/remote/logins.py": _RARE,
    "mta/delivery/remote/source.py": _RARE,
    "mta/delivery/remote/tls_session.py": _RARE,
    "mta/delivery/service.py": _TWISTED,
    "mta/event_log/emitting.py": _BASE,
    "mta/event_log/log.py": _BASE,
    "mta/event_log/output.py": "has a value with a memoryview, which mypyc cannot compile",
    "mta/inbound/listener.py": _BASE,
    "mta/inbound/login.py": _RARE,
    "mta/inbound/message_rules.py": _RARE,
    "mta/inbound/rejection_log.py": _RARE,
    "mta/inbound/sender_rule.py": _RARE,
    "mta/inbound/trust.py": _TWISTED,
    "mta/message/body.py": "has an error that is an OSError, which mypyc does not know as a base",
    "mta/queue/sql/conditions.py": _RARE,
    "mta/queue/sql/entries.py": _RARE,
    "mta/queue/sqlite/body_files.py": _RARE,
    "mta/queue/sqlite/reader.py": _RARE,
    "mta/queue/sqlite/recovery.py": _RARE,
    "mta/queue/sqlite/schema.py": _RARE,
    "mta/queue/sqlite/wal.py": _RARE,
}

# The modules find each other by a capsule, so they need no names in the library, and its addresses are noted in short:
# 0.9 MB less of a file that is read whole. A linker that does not know the option ignores it.
_COMPILER = ["-fvisibility=hidden"]
_LINKER = ["-Wl,-z,pack-relative-relocs"]

# A compiled dataclass cannot be unpickled if it is frozen, which WORKERS needs. mypy has rejected all assignments.
_FROZEN = re.compile(r"(@dataclass\()frozen=True(, slots=True(?!, eq=False))")
# mypyc compiles a dataclass without slots; the attributes of a compiled class take no dictionary anyway.
_SLOTS = re.compile(r"(@(?:dataclass|fast_value)\([^)]*\bslots=)True")


def modules() -> Iterator[str]:
    """Yield the paths of the modules that are compiled."""
    for compiled in COMPILED:
        if compiled.endswith(".py"):
            yield compiled
            continue
        for path in sorted((ROOT / compiled).glob("*.py")):
            name = str(path.relative_to(ROOT))
            if path.name != "__init__.py" and name not in INTERPRETED:
                yield name


def is_current(folder: Path = FOLDER) -> bool:
    """Whether a folder has the modules compiled from the source as it is now."""
    sources = [path.relative_to(ROOT) for path in (ROOT / "mta").rglob("*.py")]
    same, _, _ = filecmp.cmpfiles(ROOT, folder, sources, shallow=False)
    compiled = (any((folder / name).parent.glob(f"{Path(name).stem}.*.so")) for name in modules())
    return len(same) == len(sources) and all(compiled)


def prepared(source: str) -> str:
    """Return the source of a module as mypyc takes it. Lines keep their numbers."""
    return _SLOTS.sub(r"\g<1>False", _FROZEN.sub(r"\1unsafe_hash=True\2", source))


def prepare(folder: Path) -> list[str]:
    """Copy the package into a folder, in which the modules to compile are prepared; return their paths there."""
    shutil.rmtree(folder / "mta", ignore_errors=True)
    shutil.copytree(ROOT / "mta", folder / "mta", ignore=shutil.ignore_patterns("__pycache__"))
    names = list(modules())
    for name in names:
        path = folder / name
        path.write_text(prepared(path.read_text()))
    return names


def extensions(folder: Path) -> list[Any]:
    """Translate the modules into C below a folder; return the extensions for setuptools. Needs mypy and mypy-zope."""
    from mypyc.build import mypycify  # noqa: PLC0415  only this build needs it

    folder.mkdir(parents=True, exist_ok=True)
    names = prepare(folder)
    before = Path.cwd()
    # mypyc names the modules by their paths, and compiled tracebacks have these paths.
    os.chdir(folder)
    try:
        built = mypycify(
            ["--config-file", str(ROOT / "setup.cfg"), *names],
            # One C file a module, because gcc's time grows faster than the length of a file.
            multi_file=True,
            opt_level="2",
            debug_level="0",
            target_dir=str(folder / "c"),
            group_name="smtprelay",
        )
    finally:
        os.chdir(before)
    if sys.platform == "linux":
        for extension in built:
            extension.extra_compile_args += _COMPILER
            extension.extra_link_args += _LINKER
    return built
