"""Imports point one way, and training needs nothing but what a bare GPU node has."""

import ast
import subprocess
import sys
from pathlib import Path

import velocorpus

SOURCE = Path(velocorpus.__file__).parent

# Each room may import those before it and itself; the command line may import all, and is imported by none.
ORDER = [
    *("names", "errors", "files", "compiled", "config", "table_rows", "tables", "splits", "project"),
    *("outcomes", "reads", "reference", "counting", "cells"),
    *("corpus", "data", "model", "training", "velocity", "evaluation"),
]
# The rooms of the corpus likewise; what lies beside them (format, storage, reader, verify …) is imported by all.
CORPUS_ORDER = ["building", "changing", "sharing"]
# What may be imported beside `ORDER`: the simulator writes counts; tables of results and the truth's
# file format are anyone's; the generated documentation reads the configuration.
EXTRA = {
    "simulate": {*ORDER[: ORDER.index("counting") + 1], "simulate"},
    "documentation": {"files", "config", "table_rows", "tables"},
    "cli": {*ORDER, "simulate", "cli", "documentation"},
}
ANYONES = {"velocorpus.evaluation.table", "velocorpus.simulate.truth"}
# Heavy third parties, and the rooms that must do without them.
NO_TORCH = {*ORDER[: ORDER.index("corpus") + 1], "simulate"}
LEAN = ("corpus/schema.py", "corpus/reader.py", "data/", "model/", "training/")
# Imported only where a model is asked of the hub, which a node without it never is.
AT_USE = {"huggingface_hub"}
LEAN_ALLOWED = {"numpy", "pyarrow", "numba", "torch", "safetensors", "pydantic", "yaml", "typer", "velocorpus"}


def modules() -> list[Path]:
    return sorted(path for path in SOURCE.rglob("*.py") if "__pycache__" not in path.parts)


def imported(path: Path) -> set[str]:
    """Full names of all that a file imports, also inside functions."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            assert node.level == 0, f"{path}: relative import"
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def room(name: str) -> str:
    return name.split(".")[1]


def test_imports_point_one_way():
    wrong = []
    for path in modules():
        here = path.relative_to(SOURCE).with_suffix("").parts[0]
        if here == "__init__":
            continue
        allowed = EXTRA.get(here) or {*ORDER[: ORDER.index(here) + 1]}
        wrong += [
            f"{path.relative_to(SOURCE)} imports {name}"
            for name in imported(path)
            if name.startswith("velocorpus.")
            and not name.startswith(tuple(ANYONES))
            and room(name) not in allowed | {"__version__"}
        ]
    assert not wrong


def test_rooms_of_the_corpus_import_one_way():
    wrong = []
    for path in sorted((SOURCE / "corpus").rglob("*.py")):
        here = path.parent.name
        later = CORPUS_ORDER[CORPUS_ORDER.index(here) + 1 :] if here in CORPUS_ORDER else CORPUS_ORDER
        wrong += [
            f"{path.relative_to(SOURCE)} imports {name}"
            for name in imported(path)
            if name.startswith(tuple(f"velocorpus.corpus.{room}." for room in later))
        ]
    assert not wrong


def test_nothing_up_to_the_corpus_imports_torch():
    wrong = [
        path
        for path in modules()
        if path.relative_to(SOURCE).with_suffix("").parts[0] in NO_TORCH
        and any(name.split(".")[0] == "torch" for name in imported(path))
    ]
    assert not wrong


def test_training_imports_only_what_a_gpu_node_has():
    wrong = []
    for path in modules():
        if str(path.relative_to(SOURCE)).startswith(LEAN):
            third_party = {name.split(".")[0] for name in imported(path)} - sys.stdlib_module_names
            third_party -= LEAN_ALLOWED | AT_USE
            wrong += [f"{path.relative_to(SOURCE)} imports {name}" for name in third_party]
    assert not wrong


def test_the_model_imports_without_anndata_scvelo_or_snakemake():
    code = (
        "import sys\n"
        "for name in ('anndata', 'huggingface_hub', 'scanpy', 'scvelo', 'snakemake', 'pandas', 'scipy'):\n"
        "    sys.modules[name] = None\n"
        "import velocorpus.model.pretrained, velocorpus.model.zorro, velocorpus.data, velocorpus.training\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
