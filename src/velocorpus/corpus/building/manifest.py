"""The manifest: what a corpus consists of, by digest, and where it came from.

Every version keeps its own manifest and its own tables of genes and samples under `manifests/`; the files
at the top of the directory are copies of the newest, and `manifest.json` is written last. A kill in between
leaves the corpus at its version before.
"""

import json
import shutil
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from velocorpus import __version__, names
from velocorpus.cells.filter import Cuts, keep_genes
from velocorpus.corpus import content, schema
from velocorpus.corpus.building.entries import sample_row, sketches_of
from velocorpus.corpus.building.totals import Totals, add_totals
from velocorpus.corpus.duplicates import Sketch, duplicates, from_table, sketch_shards, to_table
from velocorpus.corpus.plan import Splits
from velocorpus.corpus.reader import Corpus
from velocorpus.corpus.shard import shard_entry
from velocorpus.corpus.vocabulary import Vocabulary, read_table, write_table
from velocorpus.errors import UserMistake
from velocorpus.files import read_json, replacing, sha256, write_json


@dataclass(frozen=True)
class Left:
    """What one version leaves to the next: all of it, or what stays when samples are taken out.

    `totals` are gene sums by token, `sketches` by sample (see `corpus.duplicates`).
    """

    manifest: dict[str, Any]
    digest: str | None
    entries: list[dict[str, Any]]
    samples: pa.Table
    totals: dict[str, NDArray[np.int64]]
    sketches: dict[str, Sketch]

    @classmethod
    def whole(cls, corpus: Corpus) -> "Left":
        """All of a corpus; one of an older release gets its sketches now, from its shards."""
        file = corpus.manifest["files"].get("sketches")
        sketches = from_table(read_table(corpus.path / file["path"], "table of sketches")) if file else None
        manifest = corpus.manifest
        if sketches is None:
            sketches = sketch_shards(s.path for s in corpus.shards())
            manifest = {key: value for key, value in manifest.items() if key != "duplicates"}  # all are found anew
        samples = corpus.samples.replace_schema_metadata(None)
        entries = list(corpus.manifest["shards"])
        return cls(manifest, corpus.digest, entries, samples, corpus.genes.totals, sketches)


def write_manifest(
    folder: Path | str,
    *,
    shards: Sequence[Path],
    totals: Iterable[Totals],
    vocabulary: Vocabulary,
    samples: Mapping[str, Mapping[str, str]],
    splits: Splits,
    min_gene_counts: int,
    hold_out: Sequence[str] = (),
    before: Left | None = None,
    notes: Mapping[str, Any] | None = None,
) -> Path:
    """Write the next version of a corpus whose new shards lie in `folder/shards`; returns the path of
    `manifest.json`.

    `before` is what the version that grows or shrinks leaves: its shards, samples and totals are taken over.
    `vocabulary` extends its vocabulary. `hold_out` are the rules that `splits` came from, `notes` further keys of the
    manifest. Refused: a shard elsewhere, of another filter, seed or split, samples given twice or taken out of the
    corpus before, held-out studies that no sample has, rows that do not add up.
    """
    folder = Path(folder)
    totals = sorted(totals, key=lambda one: one.sample)
    given = [one for one in totals if not one.refused]
    if not given and before is None:
        said = "; ".join(f"{t.sample}: {t.reason.rstrip('.')}" for t in totals[:3])
        raise UserMistake(f"All {len(totals)} samples were set aside, so there is no corpus. The first: {said}.")
    newest = _newest(folder) if before is None else None
    was = before.manifest if before else read_json(newest) if newest else {}
    entries = [*(before.entries if before else ()), *(shard_entry(folder, path) for path in shards)]
    entries.sort(key=lambda entry: entry["path"])
    table = pa.concat_tables(
        [*([before.samples] if before else []), *(sample_row(one, samples, splits) for one in given)],
        promote_options="default",
    ).sort_by(names.SAMPLE)
    splits.check(
        [
            *table[names.STUDY].to_pylist(),
            *(samples[t.sample].get(names.STUDY, "") for t in totals if t.refused and t.sample in samples),
            # A study that was taken out stays held out, should it come again.
            *(study for split in was.get("splits", {}).values() for study in split if before),
        ]
    )
    if before is not None:
        vocabulary = vocabulary.with_totals(before.totals)
    organisms = dict(zip(*(table[column].to_pylist() for column in (names.SAMPLE, names.ORGANISM)), strict=True))
    vocabulary = add_totals(vocabulary, given, organisms)
    vocabulary = replace(vocabulary, kept=keep_genes(vocabulary.totals[names.total_of(names.SPLICED)], min_gene_counts))
    min_counts, cuts = _one(totals, was if before else {})
    rows, cells = sum(e["rows"] for e in entries), sum(table["cells"].to_pylist())
    if rows != cells:
        raise UserMistake(
            f"The shards hold {rows} cells and the totals {cells}; some group of shards or some "
            "totals file is missing or old."
        )
    if not cells:
        said = ", ".join(f"{name} {bound}" for name, bound in {"min_counts": min_counts, **cuts.applied}.items())
        raise UserMistake(
            f"No cell passes the filter ({said}); loosen it (--min-counts and the other cuts, `cells` of the "
            "configuration), or look for what emptied the samples."
        )
    present = dict(zip(table[names.SAMPLE].to_pylist(), table["counts_digest"].to_pylist(), strict=True))
    refuse_removed(given, (notes or {}).get("removed", was.get("removed", [])))
    made_of = zip(table["split"].to_pylist(), present.values(), strict=True)
    new = sketches_of(shards, dict(zip(present, made_of, strict=True)))
    sketches = (before.sketches if before else {}) | new
    missing = {**(was["missing"] if before else {}), **{t.sample: t.reason for t in totals if t.refused}}
    twins = [pair for pair in was.get("duplicates", ()) if before and present.keys() - new.keys() >= {*pair["samples"]}]
    unseen = new if "duplicates" in was or not before else sketches
    manifest: dict[str, Any] = {
        "schema_version": schema.SCHEMA_VERSION,
        "made_by": f"velocorpus {__version__}, pyarrow {pa.__version__}",
        "shards": entries,
        "cells": cells,
        "content_digest": content.to_hex(content.add(content.from_hex(e["content_digest"]) for e in entries)),
        "vocabulary": {"digest": vocabulary.digest, "genes": len(vocabulary), "first": vocabulary.first},
        "genes_kept": int(vocabulary.kept.sum()),
        "filter": {
            "layer": names.SPLICED,
            "min_counts": min_counts,
            "min_gene_counts": min_gene_counts,
            **asdict(cuts),
        },
        "splits": {k: sorted(v) for k, v in asdict(splits).items()},
        "hold_out": sorted(hold_out),
        "missing": {s: why for s, why in sorted(missing.items()) if s not in present},
        "counts": present,
        "duplicates": sorted([*twins, *duplicates(sketches, unseen)], key=lambda pair: pair["samples"]),
        **{key: was[key] for key in ("removed", "pruned", "subset", "converted_from") if key in was},
        **_deleted(folder, was, entries),
        **(notes or {}),
    }
    tables = {"genes": vocabulary.to_table(), "samples": table, "sketches": to_table(sketches)}
    version, follows = (was["version"] + 1, before.digest) if before else _succession(folder, newest, manifest, tables)
    manifest |= {"version": version, "follows": follows}
    manifest["files"] = {name: _versioned(folder, one, version, f"{name}.feather") for name, one in tables.items()}
    for name in (schema.GENES_FILE, schema.SAMPLES_FILE):
        with replacing(folder / name) as aside:
            shutil.copyfile(folder / schema.VERSIONS_FOLDER / f"{version}.{name}", aside)
    return write_version(folder, manifest)


def write_version(folder: Path, manifest: dict[str, Any]) -> Path:
    """Write a manifest whose tables and shards are there: its own version first, `manifest.json` last."""
    write_json(folder / schema.VERSIONS_FOLDER / f"{manifest['version']}.json", manifest)
    write_json(folder / schema.MANIFEST_FILE, manifest)
    return folder / schema.MANIFEST_FILE


def refuse_removed(given: Iterable[Totals], removed: Iterable[Mapping[str, Any]]) -> None:
    """Refuse samples that were taken out of the corpus: a retraction holds until `corpus replace` ends it."""
    last = {record[names.SAMPLE]: record for record in removed}
    for one in given:
        record = last.get(one.sample)
        if record and record["replaced_by"] is None:
            raise UserMistake(
                f"Sample {one.sample} was removed in version {record['version']} ({record['because']}); leave it out, "
                "or bring it in again with `velocorpus corpus replace`."
            )


def _deleted(folder: Path, was: Mapping[str, Any], entries: Iterable[Mapping[str, Any]]) -> dict[str, list[str]]:
    """Shards of the version before that are gone: jobs that make shards anew delete what they no longer make."""
    gone = {e["path"] for e in was.get("shards", ())} - {e["path"] for e in entries}
    found = {*was.get("pruned", ()), *(path for path in gone if not (folder / path).exists())}
    return {"pruned": sorted(found)} if found else {}


def _newest(folder: Path) -> Path | None:
    versions = sorted(int(path.stem) for path in (folder / schema.VERSIONS_FOLDER).glob("*.json"))
    return folder / schema.VERSIONS_FOLDER / f"{versions[-1]}.json" if versions else None


def _succession(
    folder: Path, newest: Path | None, manifest: dict[str, Any], tables: dict[str, pa.Table]
) -> tuple[int, str | None]:
    """The version of a manifest written over finished shards, and the digest of the one that it follows.

    What the newest version in the folder says already is that version again: a job that is run anew changes nothing.
    """
    if newest is None:
        return 1, None
    was = read_json(newest)
    unchanged = {k: v for k, v in was.items() if k not in ("version", "follows", "files")} == json.loads(
        json.dumps(manifest)
    ) and all(
        (folder / was["files"][name]["path"]).exists()
        and read_table(folder / was["files"][name]["path"], "table").equals(one, check_metadata=False)
        for name, one in tables.items()
    )
    return (was["version"], was["follows"]) if unchanged else (was["version"] + 1, sha256(newest))


def _one(totals: Sequence[Totals], was: Mapping[str, Any]) -> tuple[int, Cuts]:
    """The one cell filter that all samples were judged by."""
    found = {(one.min_counts, one.cuts) for one in totals}
    if was:
        found.add((was["filter"]["min_counts"], Cuts.of(was["filter"])))
    if len(found) != 1:
        said = "; ".join(sorted(str({"min_counts": least, **cuts.applied}) for least, cuts in found))
        raise UserMistake(f"The totals were made with different cell filters ({said}); use one.")
    return found.pop()


def _versioned(folder: Path, table: pa.Table, version: int, name: str) -> dict[str, str]:
    path = folder / schema.VERSIONS_FOLDER / f"{version}.{name}"
    with replacing(path) as aside:
        write_table(table, aside)
    return {"path": f"{schema.VERSIONS_FOLDER}/{path.name}", "sha256": sha256(path)}
