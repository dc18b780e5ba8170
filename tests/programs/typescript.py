"""TypeScript's types as JSON schemas, made by a package of npm."""

import json
import subprocess
from pathlib import Path
from typing import Any

from harness.waiting import PATIENCE

#: The package to have beside that of the types.
GENERATOR = "ts-json-schema-generator@2.10.0"


def json_schema(modules: Path, types: str, name: str) -> Any:
    """Return the JSON schema of a type in a file of a folder of packages, which has GENERATOR, too."""
    generator = modules / "ts-json-schema-generator/bin/ts-json-schema-generator.js"
    command = ["node", str(generator), "--path", str(modules / types), "--type", name, "--no-type-check"]
    made = subprocess.run(command, capture_output=True, text=True, check=True, timeout=PATIENCE)
    return json.loads(made.stdout)
