"""Modules that Twisted imports at the start of a relay and that the relay seldom uses, or never."""

import sys
from importlib.util import LazyLoader, find_spec, module_from_spec


def load_late(name: str) -> None:
    """Have a module of a package executed when one of its names is used first, and not when it is imported.

    It must be imported as `from package import module`. A module that was imported already stays as it is.
    """
    if name in sys.modules:
        return
    spec = find_spec(name)
    if spec is None or spec.loader is None:
        return
    loader = LazyLoader(spec.loader)
    spec.loader = loader
    module = module_from_spec(spec)
    sys.modules[name] = module
    loader.exec_module(module)
    package, _, own_name = name.rpartition(".")
    setattr(sys.modules[package], own_name, module)
