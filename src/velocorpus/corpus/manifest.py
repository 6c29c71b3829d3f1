"""The manifest: what a corpus consists of, by digest, and where it came from.

Every version keeps its own manifest and its own tables of genes and samples under `manifests/`; the files
at the top of the directory are copies of the newest, and `manifest.json` is written last. A kill in between
leaves the corpus at its version before.
"""

import json
import shutil
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pyarrow as pa

from velocorpus import __version__, names
from velocorpus.cells.filter import keep_genes
from velocorpus.corpus import content, schema
from velocorpus.corpus.plan import Splits, describe
from velocorpus.corpus.reader import Corpus
from velocorpus.corpus.totals import Totals, add_totals
from velocorpus.corpus.vocabulary import Vocabulary, read_table, write_table
from velocorpus.errors import UserMistake
from velocorpus.files import existing, read_json, replacing, sha256, write_json


def write_manifest(
    folder: Path | str,
    *,
    shards: Sequence[Path],
    totals: Iterable[Totals],
    vocabulary: Vocabulary,
    samples: Mapping[str, Mapping[str, str]],
    splits: Splits,
    min_gene_counts: int,
    before: Corpus | None = None,
) -> Path:
    """Write the next version of a corpus whose new shards lie in `folder/shards`; returns the path of
    `manifest.json`.

    `before` is the version that grows: its shards, samples and totals are taken over. `vocabulary` extends
    its vocabulary. Refused: a shard elsewhere, of another filter or seed, samples given twice, held-out
    studies that no sample has, rows that do not add up.
    """
    folder = Path(folder)
    totals = sorted(totals, key=lambda one: one.sample)
    given = [one for one in totals if not one.refused]
    if not given and before is None:
        raise UserMistake("Every sample was refused: " + "; ".join(f"{t.sample}: {t.reason}" for t in totals) + ".")
    entries = [*(before.manifest["shards"] if before else ()), *(_shard_entry(folder, path) for path in sorted(shards))]
    table = pa.concat_tables(
        [
            *([before.samples.replace_schema_metadata(None)] if before else []),
            *(_sample_row(one, samples, splits) for one in given),
        ]
    ).sort_by(names.SAMPLE)
    splits.check(
        [
            *table[names.STUDY].to_pylist(),
            *(samples[t.sample].get(names.STUDY, "") for t in totals if t.refused and t.sample in samples),
        ]
    )
    if before is not None:
        vocabulary = vocabulary.with_totals(before.genes.totals)
    vocabulary = add_totals(vocabulary, given)
    vocabulary = replace(vocabulary, kept=keep_genes(vocabulary.totals[names.total_of(names.SPLICED)], min_gene_counts))
    rows, cells = sum(e["rows"] for e in entries), sum(table["cells"].to_pylist())
    if rows != cells:
        raise UserMistake(
            f"The shards hold {rows} cells and the totals {cells}; some group of shards or some "
            "totals file is missing or old."
        )
    if not cells:
        raise UserMistake(
            f"No cell passes the filter: none has {_one(totals, before)} spliced counts; lower --min-counts "
            "(`cells.min_counts` of the configuration), or look for what emptied the samples."
        )
    missing = {**(before.manifest["missing"] if before else {}), **{t.sample: t.reason for t in totals if t.refused}}
    manifest: dict[str, Any] = {
        "schema_version": schema.SCHEMA_VERSION,
        "made_by": f"velocorpus {__version__}, pyarrow {pa.__version__}",
        "shards": entries,
        "cells": cells,
        "content_digest": content.to_hex(content.add(content.from_hex(e["content_digest"]) for e in entries)),
        "vocabulary": {"digest": vocabulary.digest, "genes": len(vocabulary), "first": vocabulary.first},
        "genes_kept": int(vocabulary.kept.sum()),
        "filter": {"layer": names.SPLICED, "min_counts": _one(totals, before), "min_gene_counts": min_gene_counts},
        "splits": {k: sorted(v) for k, v in asdict(splits).items()},
        "missing": {s: why for s, why in sorted(missing.items()) if s not in set(table[names.SAMPLE].to_pylist())},
        "counts": dict(zip(table[names.SAMPLE].to_pylist(), table["counts_digest"].to_pylist(), strict=True)),
    }
    tables = {"genes": vocabulary.to_table(), "samples": table}
    version, follows = (
        (before.manifest["version"] + 1, before.digest) if before else _succession(folder, manifest, tables)
    )
    manifest |= {"version": version, "follows": follows}
    manifest["files"] = {name: _versioned(folder, one, version, f"{name}.feather") for name, one in tables.items()}
    write_json(folder / schema.VERSIONS_FOLDER / f"{version}.json", manifest)
    for name in (schema.GENES_FILE, schema.SAMPLES_FILE):
        with replacing(folder / name) as aside:
            shutil.copyfile(folder / schema.VERSIONS_FOLDER / f"{version}.{name}", aside)
    write_json(folder / schema.MANIFEST_FILE, manifest)
    return folder / schema.MANIFEST_FILE


def shard_about(path: Path | str) -> dict[str, Any]:
    """What a shard says of itself; a file that is not one of ours is refused."""
    try:
        about = schema.metadata_of(pa.ipc.open_file(pa.memory_map(str(existing(path, "shard")))).schema)
    except (pa.ArrowInvalid, OSError, ValueError) as error:
        raise UserMistake(f"The shard {path} cannot be read as Arrow ({error}); rebuild it.") from None
    if not about or about.get("kind") != "shard":
        raise UserMistake(f"{path} is not a shard of velocorpus; remove it or give shards only.")
    return about


def _shard_entry(folder: Path, path: Path) -> dict[str, Any]:
    if path.resolve().parent != (folder / schema.SHARDS_FOLDER).resolve():
        raise UserMistake(f"The shard {path} must lie in {folder / schema.SHARDS_FOLDER}; write it there.")
    about = shard_about(path)
    kept = {key: about[key] for key in ("group", "split", "rows", "content_digest", "seed")}
    return {
        "path": f"{schema.SHARDS_FOLDER}/{path.name}",
        "bytes": path.stat().st_size,
        "sha256": sha256(path),
        **kept,
    }


def _sample_row(one: Totals, samples: Mapping[str, Mapping[str, str]], splits: Splits) -> pa.Table:
    about = describe(one.sample, one.source, one.genes[names.GENE_ID].to_pylist(), samples)
    row = {
        names.SAMPLE: one.sample,
        **{name: about.get(name) for name in schema.SAMPLE_FIELDS},
        "split": splits.of(about[names.STUDY]),
        **one.figures,
        "ambiguous_present": one.ambiguous_present,
        "counts_digest": one.counts_digest,
        "source": json.dumps(one.source, sort_keys=True),
    }
    return pa.Table.from_pylist([row], schema=schema.SAMPLES_SCHEMA)


def _succession(folder: Path, manifest: dict[str, Any], tables: dict[str, pa.Table]) -> tuple[int, str | None]:
    """The version of a manifest written over finished shards, and the digest of the one that it follows.

    What the newest version in the folder says already is that version again: a job that is run anew changes nothing.
    """
    versions = sorted(int(path.stem) for path in (folder / schema.VERSIONS_FOLDER).glob("*.json"))
    if not versions:
        return 1, None
    newest = folder / schema.VERSIONS_FOLDER / f"{versions[-1]}.json"
    was = read_json(newest)
    unchanged = {k: v for k, v in was.items() if k not in ("version", "follows", "files")} == json.loads(
        json.dumps(manifest)
    ) and all(
        (folder / was["files"][name]["path"]).exists()
        and read_table(folder / was["files"][name]["path"], "table").equals(one, check_metadata=False)
        for name, one in tables.items()
    )
    return (was["version"], was["follows"]) if unchanged else (was["version"] + 1, sha256(newest))


def _one(totals: Sequence[Totals], before: Corpus | None) -> int:
    """The one cell filter that all samples were judged by."""
    found = {one.min_counts for one in totals} | ({before.manifest["filter"]["min_counts"]} if before else set())
    if len(found) != 1:
        raise UserMistake(f"The totals were made with different cell filters (min_counts {sorted(found)}); use one.")
    return found.pop()


def _versioned(folder: Path, table: pa.Table, version: int, name: str) -> dict[str, str]:
    path = folder / schema.VERSIONS_FOLDER / f"{version}.{name}"
    with replacing(path) as aside:
        write_table(table, aside)
    return {"path": f"{schema.VERSIONS_FOLDER}/{path.name}", "sha256": sha256(path)}
