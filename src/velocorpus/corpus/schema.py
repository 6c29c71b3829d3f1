"""The contract of a corpus directory: file names, columns, types, version. Numpy and pyarrow only.

`docs/data-format.md` states the same in prose for readers in other languages.
"""

import json
from typing import Any

import pyarrow as pa

from velocorpus import names

SCHEMA_VERSION = 2

MANIFEST_FILE = "manifest.json"
GENES_FILE = "genes.feather"
SAMPLES_FILE = "samples.feather"
SHARDS_FOLDER = "shards"
VERSIONS_FOLDER = "manifests"

# Key of the JSON that every Feather file of ours carries in its schema metadata.
METADATA = b"velocorpus"

# Cells in one record batch of a shard: the unit of random access. Arrow compresses each buffer of a batch by
# itself.
BATCH_CELLS = 1024
COMPRESSION_LEVEL = 1

# Columns that a cell may bring along in the `obs` of its counts file; absent means null.
LABELS: dict[str, pa.DataType] = {
    names.CELL_TYPE: pa.string(),
    names.PSEUDOTIME: pa.float64(),
    names.BRANCH: pa.string(),
    names.DOUBLET_SCORE: pa.float64(),
}
FRACTIONS = ("unspliced_fraction", "mitochondrial_fraction")

# Columns of samples.tsv (or of the counts' own `source`) that follow a sample into the corpus.
SAMPLE_FIELDS = names.SAMPLE_FIELDS


def layer_columns(layer: str) -> tuple[str, str, str]:
    """The `list<uint8>` columns of one layer, in the order of `encoding.EncodedLayer`."""
    return f"{layer}_frequent", f"{layer}_rare", f"{layer}_more"


OBS_FIELDS: tuple[pa.Field, ...] = (
    pa.field(names.BARCODE, pa.string()),
    pa.field(names.SAMPLE, pa.string()),
    pa.field(names.ORGANISM, pa.string()),
    *(pa.field(names.total_of(layer), pa.int64()) for layer in names.LAYERS),
    *(pa.field(names.genes_of(layer), pa.int64()) for layer in names.LAYERS),
    *(pa.field(name, pa.float64()) for name in FRACTIONS),
    *(pa.field(name, kind) for name, kind in LABELS.items()),
)
OBS_COLUMNS = tuple(field.name for field in OBS_FIELDS)

LAYER_FIELDS: tuple[pa.Field, ...] = tuple(
    pa.field(column, pa.list_(pa.uint8())) for layer in names.LAYERS for column in layer_columns(layer)
)

SHARD_SCHEMA = pa.schema([*OBS_FIELDS, *LAYER_FIELDS])

VOCABULARY_SCHEMA = pa.schema(
    [
        pa.field("token", pa.int64()),
        pa.field(names.GENE_ID, pa.string()),
        pa.field(names.SYMBOL, pa.string()),
        pa.field(names.ORGANISM, pa.string()),
    ]
)
GENES_SCHEMA = pa.schema(
    [
        *VOCABULARY_SCHEMA,
        *(pa.field(names.total_of(layer), pa.int64()) for layer in names.LAYERS),
        *(pa.field(names.cells_with(layer), pa.int64()) for layer in names.LAYERS),
        pa.field("kept", pa.bool_()),
    ]
)
TOTALS_SCHEMA = pa.schema(
    [
        pa.field(names.GENE_ID, pa.string()),
        pa.field(names.SYMBOL, pa.string()),
        *(pa.field(names.total_of(layer), pa.int64()) for layer in names.LAYERS),
        *(pa.field(names.cells_with(layer), pa.int64()) for layer in names.LAYERS),
    ]
)
SAMPLES_SCHEMA = pa.schema(
    [
        pa.field(names.SAMPLE, pa.string()),
        *(pa.field(name, pa.string()) for name in SAMPLE_FIELDS),
        pa.field("split", pa.string()),
        pa.field("cells_in", pa.int64()),
        pa.field("cells", pa.int64()),
        *(pa.field(names.total_of(layer), pa.int64()) for layer in names.LAYERS),
        pa.field("ambiguous_present", pa.bool_()),
        pa.field("counts_digest", pa.string()),
        pa.field("source", pa.string()),
    ]
)


def with_metadata(schema: pa.Schema, value: dict[str, Any]) -> pa.Schema:
    """The schema carrying `value` as JSON with sorted keys, so that equal values are equal bytes."""
    return schema.with_metadata({METADATA: json.dumps(value, sort_keys=True).encode()})


def metadata_of(schema: pa.Schema) -> dict[str, Any] | None:
    """The JSON that `with_metadata` attached, or None for a file that is not ours."""
    raw = (schema.metadata or {}).get(METADATA)
    return json.loads(raw) if raw else None
