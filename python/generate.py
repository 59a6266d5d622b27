"""Writes ``onnx_prune/_report.py``: the JSON schemas of the reports as dataclasses.

    python generate.py          # write
    python generate.py --check  # fail if the file is not what would be written
"""

from __future__ import annotations

import json
import keyword
import sys
from pathlib import Path

HERE = Path(__file__).parent
SCHEMAS = HERE.parent / "src" / "cli" / "schemas"
TARGET = HERE / "onnx_prune" / "_report.py"
ROOTS = {"report": "Summary", "quantize": "QuantizeSummary", "sweep": "Swept", "check": "Checked"}

HEAD = '''"""The reports as dataclasses. Written by ``generate.py`` from the JSON schemas; do not edit."""

from __future__ import annotations

import dataclasses
from typing import Any, Dict, List, Optional

from ._part import Part
'''


def name_of(key: str) -> str:
    return key + "_" if keyword.iskeyword(key) else key


def kind(schema: dict, definitions: dict) -> str:
    if "$ref" in schema:
        name = schema["$ref"].rsplit("/", 1)[1]
        found = definitions[name]
        return name if "properties" in found else kind(found, definitions)
    for several in ("anyOf", "oneOf"):
        if several in schema:
            kinds = {kind(own, definitions) for own in schema[several]}
            optional = "None" in kinds
            kinds.discard("None")
            one = kinds.pop() if len(kinds) == 1 else "Any"
            return f"Optional[{one}]" if optional and one != "Any" else one
    if "const" in schema:
        return {str: "str", int: "int", bool: "bool"}.get(type(schema["const"]), "Any")
    if "enum" in schema:
        return "str"
    types = schema.get("type")
    if isinstance(types, list):
        rest = [own for own in types if own != "null"]
        one = kind({**schema, "type": rest[0]}, definitions) if len(rest) == 1 else "Any"
        return f"Optional[{one}]" if "null" in types and one != "Any" else one
    if types == "array":
        items = schema.get("items")
        return f"List[{kind(items, definitions)}]" if isinstance(items, dict) else "List[Any]"
    if types == "object":
        values = schema.get("additionalProperties")
        return f"Dict[str, {kind(values, definitions)}]" if isinstance(values, dict) else "Dict[str, Any]"
    return {"string": "str", "integer": "int", "number": "float", "boolean": "bool", "null": "None"}.get(types, "Any")


def part(name: str, schema: dict, definitions: dict) -> str:
    lines = ["", "", "@dataclasses.dataclass(frozen=True)", f"class {name}(Part):"]
    lines.append(f'    """{" ".join(schema.get("description", name).split())}"""')
    for key, own in schema["properties"].items():
        lines += ["", f"    {name_of(key)}: {kind(own, definitions)}"]
        # The root says its version itself.
        if "description" in own and key != "schema_version":
            lines.append(f'    """{" ".join(own["description"].split())}"""')
    return "\n".join(lines) + "\n"


def text() -> str:
    parts: dict[str, str] = {}
    for file, root in ROOTS.items():
        schema = json.loads((SCHEMAS / f"{file}.schema.json").read_text())
        definitions = schema.get("$defs", {})
        for name, own in [*definitions.items(), (root, schema)]:
            if "properties" not in own:
                continue
            made = part(name, own, definitions)
            if parts.setdefault(name, made) != made:
                raise SystemExit(f"{name} differs between two schemas")
    return HEAD + "".join(parts[name] for name in sorted(parts))


if __name__ == "__main__":
    made = text()
    if "--check" in sys.argv:
        if TARGET.read_text() != made:
            raise SystemExit(f"{TARGET.name} is not what the schemas say: run python generate.py")
    else:
        TARGET.write_text(made)
