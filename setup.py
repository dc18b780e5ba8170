"""The optional compiled build; everything else is in setup.cfg."""

import os
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from setuptools import setup
from setuptools.command.build_ext import build_ext


class ParallelBuild(build_ext):
    """Compiles C files on all processors, which setuptools does only for those of different extensions."""

    def finalize_options(self) -> None:
        """Link extensions in parallel, too."""
        super().finalize_options()
        self.parallel = True

    def build_extensions(self) -> None:
        """Build all extensions."""
        compile_in_turn = self.compiler.compile

        def compile_in_parallel(sources: list[str], **options: Any) -> list[str]:
            # Otherwise each of the threads would try to make the same folders.
            for file in self.compiler.object_filenames(sources, output_dir=options["output_dir"]):
                Path(file).parent.mkdir(parents=True, exist_ok=True)
            with ThreadPoolExecutor(os.cpu_count()) as pool:
                compiled = pool.map(lambda source: compile_in_turn([source], **options), sources)
                return [file for files in compiled for file in files]

        self.compiler.compile = compile_in_parallel
        super().build_extensions()


if os.environ.get("SMTPRELAY_COMPILE") == "1":
    # The directory of this file is not on the path in an isolated build.
    sys.path.insert(0, str(Path(__file__).parent))
    from tools.compiling import extensions

    setup(ext_modules=extensions(Path(__file__).parent / "build" / "compiled"), cmdclass={"build_ext": ParallelBuild})
else:
    setup()
