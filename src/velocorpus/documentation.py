"""Writes what is generated from the code: the key tables of `config/README.md` and the configuration's JSON schema.

`python -m velocorpus.documentation` rewrites both; a test fails when they drift from `config.py` and `tables.py`.
"""

import json
import typing
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from velocorpus.config import TrainingConfig, WorkflowConfig
from velocorpus.files import write_text
from velocorpus.tables import Reference, Sample, Unit

README = Path("config/README.md")
SCHEMAS: dict[Path, type[BaseModel]] = {
    Path("workflow/schemas/config.schema.json"): WorkflowConfig,
    Path("workflow/schemas/training.schema.json"): TrainingConfig,
}
BEGIN, END = "<!-- generated: python -m velocorpus.documentation -->", "<!-- end of generated -->"


def schema(section: type[BaseModel]) -> str:
    """The JSON schema of a configuration, for editors and for `snakemake.utils.validate`."""
    value = {"$schema": "https://json-schema.org/draft/2020-12/schema", **section.model_json_schema()}
    return json.dumps(value, indent=1, sort_keys=True) + "\n"


def key_tables() -> str:
    """Markdown: every key of both configuration files and every column of the three tables."""
    parts = [
        "## `config.yaml`\n",
        *_section_table(WorkflowConfig),
        "\n## `models/*.yaml`\n",
        *_section_table(TrainingConfig),
    ]
    for kind in (Sample, Unit, Reference):
        parts += [f"\n## `{kind.__name__.lower()}s.tsv`\n", "| column | meaning | allowed |", "|---|---|---|"]
        for column in fields(kind):
            meta = column.metadata
            need = " **Must be filled.**" if meta["filled"] else " Must be there." if meta["required"] else ""
            allowed = ", ".join(f"`{value}`" for value in meta["allowed"]) or meta["kind"]
            parts.append(f"| `{column.name}` | {meta['description']}{need} | {allowed} |")
    return "\n".join(parts) + "\n"


def with_tables(readme: str) -> str:
    """`readme` with the part between the two markers replaced."""
    before, _, rest = readme.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n\n{key_tables()}\n{END}{after}"


def _section_table(section: type[BaseModel]) -> list[str]:
    rows = [f"| `{key}` | `{default}` | {text} |" for key, default, text in _keys(section)]
    return ["| key | default | meaning |", "|---|---|---|", *rows]


def _keys(section: type[BaseModel], prefix: str = "") -> Iterator[tuple[str, str, str]]:
    for name, info in section.model_fields.items():
        kind: Any = info.annotation
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            yield from _keys(kind, f"{prefix}{name}.")
            continue
        default = info.default
        if isinstance(default, tuple):
            default = list(default)
        choices = typing.get_args(kind) if typing.get_origin(kind) is typing.Literal else ()
        allowed = f" One of {', '.join(f'`{choice}`' for choice in choices)}." if choices else ""
        yield f"{prefix}{name}", json.dumps(default), f"{info.description}{allowed}"


def main() -> None:
    """Rewrite the generated files; run from the root of the checkout."""
    write_text(README, with_tables(README.read_text(encoding="utf-8")))
    for path, section in SCHEMAS.items():
        write_text(path, schema(section))


if __name__ == "__main__":
    main()
