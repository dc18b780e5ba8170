"""The optional compiled build; everything else is in setup.cfg."""

import os
import sys
from pathlib import Path

from setuptools import setup

if os.environ.get("SMTPRELAY_COMPILE") == "1":
    # The directory of this file is not on the path in an isolated build.
    sys.path.insert(0, str(Path(__file__).parent))
    from tools.compiling import extensions

    setup(ext_modules=extensions(Path(__file__).parent / "build" / "compiled"))
else:
    setup()
