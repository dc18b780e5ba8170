"""Modules that other packages import at the start of a relay and that the relay seldom uses, or never."""

import sys
from importlib import import_module
from importlib.util import find_spec
from threading import Lock
from types import ModuleType
from typing import Any

_taking_out = Lock()


def load_late(name: str) -> None:
    """Have a module imported when one of its names is used first, and not when others import it.

    A module of a package must be imported as `from package import module`. A module that was imported already stays as
    it is.
    """
    if name in sys.modules or find_spec(name) is None:
        return
    package, _, own_name = name.rpartition(".")
    late = _LateModule(name)
    if package:
        setattr(import_module(package), own_name, late)
    sys.modules[name] = late


class _LateModule(ModuleType):
    """Stands for a module until one of its names is used.

    importlib.util.LazyLoader does likewise, but fails for a module that puts another object into sys.modules, as
    Twisted's deprecated names do, and before Python 3.11.9 if two threads use the module.
    """

    def __getattr__(self, name: str) -> Any:
        """Return what the module has under the name. Import it first if that was not done."""
        # Otherwise a second thread might take out the module that the first one imports.
        with _taking_out:
            if sys.modules.get(self.__name__) is self:
                del sys.modules[self.__name__]
        return getattr(import_module(self.__name__), name)
