"""Rows of a tab-separated table as frozen dataclasses: each column says by which rule its values are checked.

Each mistake is one sentence that names the file, the line, the column, what was found and what is allowed.
"""

import csv
import difflib
import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import field, fields
from pathlib import Path
from typing import Any, TypeVar

from velocorpus.errors import UserMistake
from velocorpus.files import existing

NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*")
REMOTE = re.compile(r"(s3|https?|ftp)://|sra:[SED]RR\d+$")
# Paths are quoted wherever a shell sees them; these characters are refused all the same, since a table may come from
# a stranger and braces are Snakemake's.
HOSTILE = re.compile(r"[\x00-\x1f\x7f;|&<>`'\"\\*?{}$!]")
MD5 = re.compile(r"[0-9a-f]{32}")
OFFSET = re.compile(r"[A-Za-z0-9_.]+:\d+")

Row = TypeVar("Row")


def column(
    description: str,
    kind: str = "text",
    *,
    required: bool = False,
    filled: bool = False,
    allowed: tuple[str, ...] = (),
) -> Any:
    """A column: what it means, how it is checked, which values it may hold.

    `required`: the table must have the column; `filled`: and a value in every row.
    """
    meta = {"description": description, "kind": kind, "allowed": allowed}
    return field(default="", metadata=meta | {"required": required or filled, "filled": filled})


def read_rows(kind: type[Row], path: Path | str, made: tuple[str, ...] = ()) -> list[tuple[int, Row]]:
    """The rows of one tab-separated table with their line numbers, each value checked by its column's rule."""
    columns = {f.name: f.metadata for f in fields(kind)}  # type: ignore[arg-type]  # a frozen dataclass of columns
    with existing(path, "table").open(encoding="utf-8-sig", newline="") as handle:
        lines = [
            (number, line)
            for number, line in enumerate(csv.reader(handle, delimiter="\t", quoting=csv.QUOTE_NONE), 1)
            if any(line) and not line[0].startswith("#")
        ]
    if not lines:
        raise UserMistake(f"{path} is empty; its first line must name the columns: {', '.join(columns)}.")
    header = [name.strip() for name in lines[0][1]]
    for name in header:
        if name not in columns:
            raise UserMistake(
                f"{path}: '{name}' is not a column{nearest(name, columns)}; columns are separated by "
                f"tabs and allowed are {', '.join(columns)}."
            )
        if header.count(name) > 1:
            raise UserMistake(f"{path}: the column '{name}' stands twice; keep one.")
    for name, meta in columns.items():
        if meta["required"] and name not in header:
            raise UserMistake(
                f"{path}: the column '{name}' is missing; found are {', '.join(header)} (separated by tabs)."
            )
    rows = []
    for number, line in lines[1:]:
        if len(line) > len(header) and any(line[len(header) :]):
            raise UserMistake(f"{path}, line {number}: {len(line)} values for {len(header)} columns; check the tabs.")
        values = dict(zip(header, (value.strip() for value in line), strict=False))
        where = f"{path}, line {number}, column"
        checked = {name: _value(f"{where} '{name}'", values.get(name, ""), columns[name], made) for name in header}
        rows.append((number, kind(**checked)))
    return rows


def _value(where: str, value: str, meta: Mapping[str, Any], made: tuple[str, ...]) -> str:
    """One value, checked; paths come back with environment variables expanded."""
    if not value:
        if meta["filled"]:
            raise UserMistake(f"{where}: empty; it must be filled.")
        return value
    if meta["allowed"] and value not in meta["allowed"]:
        raise UserMistake(
            f"{where}: '{value}' is not known{nearest(value, meta['allowed'])}; "
            f"allowed are {', '.join(meta['allowed'])}."
        )
    if meta["kind"] == "name" and (not NAME.fullmatch(value) or ".." in value or len(value) > 100):
        raise UserMistake(
            f"{where}: {value!r} is not a usable name; allowed are up to 100 letters, digits, '_', '.', '-', "
            "not beginning with '.' or '-', without '..'."
        )
    if meta["kind"] == "md5" and not MD5.fullmatch(value):
        raise UserMistake(f"{where}: '{value}' is not an MD5 (32 digits 0-9a-f).")
    if meta["kind"] == "bytes" and not value.isdecimal():
        raise UserMistake(f"{where}: '{value}' is not a size in bytes.")
    if meta["kind"] == "offset" and not OFFSET.fullmatch(value):
        raise UserMistake(f"{where}: '{value}' is not CHROMOSOME:BASES, e.g. 21:881.")
    return _path(where, value, made) if meta["kind"] == "path" else value


def _path(where: str, value: str, made: tuple[str, ...]) -> str:
    for variable in re.findall(r"\$\{?(\w+)\}?", value):
        if variable not in os.environ:
            raise UserMistake(f"{where}: the environment variable {variable} of '{value}' is not set; export it.")
    path = re.sub(r"\$\{(\w+)\}|\$(\w+)", lambda match: os.environ[match[1] or match[2]], value)
    if HOSTILE.search(path) or path.startswith("-"):
        raise UserMistake(
            f"{where}: {path!r} holds a character that a shell could act on; rename the file (letters, digits, "
            "spaces and _ . , : + = @ % ~ # ( ) / - are fine)."
        )
    if REMOTE.match(path):
        return path
    if path.startswith(made):
        if ".." in path.split("/"):
            raise UserMistake(f"{where}: '{path}' leaves the folder of the simulation; write it without '..'.")
        return path
    if not Path(path).exists():
        raise UserMistake(f"{where}: the file '{path}' does not exist (working folder: {Path.cwd()}); check the path.")
    return path


def nearest(value: str, allowed: Iterable[str]) -> str:
    """What was probably meant, in brackets; empty where nothing is near."""
    near = difflib.get_close_matches(value, list(allowed), n=1, cutoff=0.5)
    return f" (nearest: '{near[0]}')" if near else ""
