"""What the manifest and the table of samples say of one shard and of one sample."""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa

from velocorpus import names
from velocorpus.corpus import schema
from velocorpus.corpus.duplicates import EMPTY, Sketch, sketch_shards
from velocorpus.corpus.plan import Splits, describe
from velocorpus.corpus.totals import Totals
from velocorpus.errors import UserMistake
from velocorpus.files import existing, sha256


def shard_about(path: Path | str) -> dict[str, Any]:
    """What a shard says of itself; a file that is not one of ours is refused."""
    try:
        about = schema.metadata_of(pa.ipc.open_file(pa.memory_map(str(existing(path, "shard")))).schema)
    except (pa.ArrowInvalid, OSError, ValueError) as error:
        raise UserMistake(f"The shard {path} cannot be read as Arrow ({error}); rebuild it.") from None
    if not about or about.get("kind") != "shard":
        raise UserMistake(f"{path} is not a shard of velocorpus; remove it or give shards only.")
    if about["schema_version"] != schema.SCHEMA_VERSION:
        raise UserMistake(
            f"The shard {path} has corpus schema {about['schema_version']}, this version has {schema.SCHEMA_VERSION}; "
            "make it again, or its corpus with `velocorpus corpus convert`."
        )
    return about


def shard_entry(folder: Path, path: Path) -> dict[str, Any]:
    """What the manifest says of a shard file."""
    if path.resolve().parent != (folder / schema.SHARDS_FOLDER).resolve():
        raise UserMistake(f"The shard {path} must lie in {folder / schema.SHARDS_FOLDER}; write it there.")
    about = shard_about(path)
    kept = {key: about[key] for key in ("group", "split", "rows", "batch_cells", "samples", "content_digest", "seed")}
    return {
        "path": f"{schema.SHARDS_FOLDER}/{path.name}",
        "bytes": path.stat().st_size,
        "sha256": sha256(path),
        **kept,
    }


def sample_row(one: Totals, samples: Mapping[str, Mapping[str, str]], splits: Splits) -> pa.Table:
    """A sample's row of samples.feather."""
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


def sketches_of(shards: Iterable[Path], known: Mapping[str, tuple[str, str]]) -> dict[str, Sketch]:
    """Sketches of the samples in new shards; `known` are the split and the counts' digest of each sample.

    Refused: a shard of other counts than the sample's totals, and a cell in a shard of another split than its study's.
    """
    found: dict[str, Sketch] = {}
    for path in shards:
        about = shard_about(path)
        split = about["split"]
        for sample, digest in about["counts"].items():
            if known.get(sample, (split, digest))[1] != digest:
                raise UserMistake(
                    f"The shard {path} was made of other counts of sample {sample} than the sample's totals; make both "
                    "again."
                )
        for sample, sketch in sketch_shards([path]).items():
            if known.get(sample, (split, ""))[0] != split:
                raise UserMistake(
                    f"The shard {path} is of the split '{split}' and has cells of sample {sample}, whose study belongs "
                    f"to '{known[sample][0]}'; make the shards of its group again."
                )
            found[sample] = found.get(sample, EMPTY) + sketch
    return found
