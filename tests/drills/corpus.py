"""Corrupt a corpus at random, again and again: `verify` must find each corruption and name a file that it touched.

python -m tests.drills.corpus --corruptions 1000 [--seed 0]

The corpus has four versions (built, grown, a sample removed, one replaced). Bytes are spoiled in any file of any
version; what bytes cannot tell (a wrong total, count, split, …) is spoiled with every digest put right, so that only
the sums can.
"""

import argparse
import json
import random
import shutil
import tempfile
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
from pyarrow import feather
from tests.unit.corpus.corpus_makers import MOUSE, make_corpus, make_counts

from velocorpus.corpus.changing.samples import add, remove, replace_samples
from velocorpus.corpus.plan import Splits
from velocorpus.corpus.verify import verify
from velocorpus.corpus.vocabulary import write_table
from velocorpus.files import sha256

LAYERS = ("spliced", "unspliced", "ambiguous")


@dataclass
class Spoiler:
    """A corpus and what chooses at random."""

    folder: Path
    rng: random.Random

    def files(self, pattern: str = "**/*") -> list[Path]:
        """Files of the corpus, in one order."""
        return sorted(path for path in self.folder.glob(pattern) if path.is_file())

    @property
    def manifest(self) -> dict:
        """The newest manifest."""
        return json.loads((self.folder / "manifest.json").read_text())

    def close(self, change: Callable[[dict], None]) -> list[str]:
        """Change the newest manifest in both of its places; the names of what was touched."""
        manifest = self.manifest
        change(manifest)
        text = json.dumps(manifest, indent=1, sort_keys=True)
        for name in ("manifest.json", f"manifests/{manifest['version']}.json"):
            (self.folder / name).write_text(text)
        return ["manifest.json"]

    def table(self, name: str, change: Callable[[pa.Table], pa.Table]) -> list[str]:
        """Change a table of the newest version and put all digests of it right."""
        path = self.folder / self.manifest["files"][name]["path"]
        write_table(change(feather.read_table(path, memory_map=False)), path)
        if (self.folder / f"{name}.feather").exists():
            shutil.copyfile(path, self.folder / f"{name}.feather")
        self.close(lambda manifest: manifest["files"][name].update(sha256=sha256(path)))
        return [f"{name}.feather", "manifest.json"]

    def shard(self, change: Callable[[pa.Table], pa.Table]) -> list[str]:
        """Change a shard's cells and put its bytes and sha256 in the manifest right."""
        entry = self.rng.choice([entry for entry in self.manifest["shards"] if entry["rows"]])
        path = self.folder / entry["path"]
        before = feather.read_table(path, memory_map=False)
        after = change(before).combine_chunks()
        with pa.ipc.new_file(str(path), before.schema) as file:
            file.write_table(after)

        def right(manifest: dict) -> None:
            (one,) = [one for one in manifest["shards"] if one["path"] == entry["path"]]
            one.update(sha256=sha256(path), bytes=path.stat().st_size)

        self.close(right)
        return [path.name, "genes.feather", "samples.feather"]


def flip_bit(it: Spoiler) -> list[str]:
    path = it.rng.choice(it.files())
    raw = bytearray(path.read_bytes())
    raw[it.rng.randrange(len(raw))] ^= 1 << it.rng.randrange(8)
    path.write_bytes(raw)
    return [path.name]


def cut(it: Spoiler) -> list[str]:
    path = it.rng.choice(it.files())
    path.write_bytes(path.read_bytes()[: it.rng.randrange(path.stat().st_size)])
    return [path.name]


def lengthen(it: Spoiler) -> list[str]:
    path = it.rng.choice(it.files())
    path.write_bytes(path.read_bytes() + it.rng.randbytes(it.rng.randint(1, 9)))
    return [path.name]


def delete(it: Spoiler) -> list[str]:
    path = it.rng.choice(it.files())
    path.unlink()
    return [path.name]


def swap(it: Spoiler) -> list[str]:
    one, other = it.rng.sample(it.files("shards/*") if it.rng.random() < 0.5 else it.files("manifests/*"), 2)
    if one.read_bytes() == other.read_bytes():
        return delete(it)
    first = one.read_bytes()
    one.write_bytes(other.read_bytes())
    other.write_bytes(first)
    return [one.name, other.name]


def older_manifest(it: Spoiler) -> list[str]:
    version = it.rng.randrange(1, it.manifest["version"])
    shutil.copyfile(it.folder / "manifests" / f"{version}.json", it.folder / "manifest.json")
    return [f"{version + 1}.json", "manifest.json", *(p.name for p in it.files("manifests/*"))]


def foreign_shard(it: Spoiler) -> list[str]:
    path = it.folder / "shards" / f"g{it.rng.randrange(10, 99999):05d}.train.feather"
    shutil.copyfile(it.rng.choice(it.files("shards/*")), path)
    return [path.name]


def foreign_version(it: Spoiler) -> list[str]:
    path = it.folder / "manifests" / f"{it.manifest['version'] + it.rng.randint(1, 9)}.json"
    shutil.copyfile(it.folder / "manifest.json", path)
    return [path.name]


def wrong_gene_total(it: Spoiler) -> list[str]:
    column = it.rng.choice([f"{kind}_{layer}" for kind in ("n", "n_cells") for layer in LAYERS])
    return it.table("genes", lambda table: _one_off(it, table, column))


def wrong_sample_total(it: Spoiler) -> list[str]:
    column = it.rng.choice(["cells", *(f"n_{layer}" for layer in LAYERS)])
    return it.table("samples", lambda table: _one_off(it, table, column))


def wrong_kept(it: Spoiler) -> list[str]:
    def change(table: pa.Table) -> pa.Table:
        kept = table["kept"].to_numpy().copy()
        kept[it.rng.randrange(len(kept))] ^= True
        return table.set_column(table.schema.get_field_index("kept"), table.schema.field("kept"), pa.array(kept))

    return it.table("genes", change)


def swapped_genes(it: Spoiler) -> list[str]:
    def change(table: pa.Table) -> pa.Table:
        ids = table["gene_id"].to_pylist()
        i, j = it.rng.sample(range(len(ids)), 2)
        ids[i], ids[j] = ids[j], ids[i]
        return table.set_column(1, table.schema.field("gene_id"), pa.array(ids))

    return it.table("genes", change)


def wrong_sketch(it: Spoiler) -> list[str]:
    def change(table: pa.Table) -> pa.Table:
        rows = table.to_pylist()
        it.rng.choice(rows)["barcodes"][it.rng.randrange(4)] += 1
        return pa.Table.from_pylist(rows, schema=table.schema)

    return it.table("sketches", change)


def wrong_split(it: Spoiler) -> list[str]:
    def change(table: pa.Table) -> pa.Table:
        splits = table["split"].to_pylist()
        i = it.rng.randrange(len(splits))
        splits[i] = it.rng.choice([s for s in ("train", "validation", "test") if s != splits[i]])
        return table.set_column(table.schema.get_field_index("split"), "split", pa.array(splits))

    return [*it.table("samples", change), *(p.name for p in it.files("shards/*"))]


def wrong_manifest_number(it: Spoiler) -> list[str]:
    def change(manifest: dict) -> None:
        key = it.rng.choice(["cells", "genes_kept", "content_digest", "counts", "duplicates", "vocabulary", "filter"])
        if key in ("cells", "genes_kept"):
            manifest[key] += it.rng.choice([-1, 1])
        elif key == "content_digest":
            manifest[key] = f"{it.rng.randrange(16**32):032x}"
        elif key == "counts":
            manifest[key][it.rng.choice(sorted(manifest[key]))] = "0" * 64
        elif key == "duplicates":
            manifest[key] = [{"samples": ["a", "b"], "barcodes": 1.0, "totals": 1.0, "correlation": 1.0}]
        elif key == "vocabulary":
            manifest[key]["first"]["mouse"] += 1
        else:
            manifest[key]["min_counts"] = 10**6

    return [*it.close(change), "genes.feather", "samples.feather", *(p.name for p in it.files("shards/*"))]


def wrong_shard_entry(it: Spoiler) -> list[str]:
    def change(manifest: dict) -> None:
        entry = it.rng.choice(manifest["shards"])
        key = it.rng.choice(["group", "rows", "batch_cells", "bytes", "content_digest", "seed"])
        entry[key] = entry[key] + 1 if isinstance(entry[key], int) else entry[key][::-1] + "0"

    return [*it.close(change), *(p.name for p in it.files("shards/*"))]


def wrong_count(it: Spoiler) -> list[str]:
    def change(table: pa.Table) -> pa.Table:
        column = f"{it.rng.choice(LAYERS)}_{it.rng.choice(['frequent', 'more'])}"
        rows = table[column].to_pylist()
        full = it.rng.choice([row for row in rows if row])
        i = it.rng.randrange(len(full))
        full[i] = (full[i] + it.rng.randint(1, 255)) % 256
        return table.set_column(
            table.schema.get_field_index(column), table.schema.field(column), pa.array(rows, pa.list_(pa.uint8()))
        )

    return it.shard(change)


def wrong_cell_figure(it: Spoiler) -> list[str]:
    column = it.rng.choice([f"{kind}_{layer}" for kind in ("n", "n_genes") for layer in LAYERS])
    return it.shard(lambda table: _one_off(it, table, column))


def lost_cell(it: Spoiler) -> list[str]:
    def change(table: pa.Table) -> pa.Table:
        gone = it.rng.randrange(len(table))
        return pa.concat_tables([table.slice(0, gone), table.slice(gone + 1)])

    return it.shard(change)


def doubled_cell(it: Spoiler) -> list[str]:
    return it.shard(lambda table: pa.concat_tables([table, table.slice(it.rng.randrange(len(table)), 1)]))


def renamed_cell(it: Spoiler) -> list[str]:
    def change(table: pa.Table) -> pa.Table:
        column = it.rng.choice(["barcode", "sample", "organism"])
        values = table[column].to_pylist()
        values[it.rng.randrange(len(values))] += "x"
        return table.set_column(table.schema.get_field_index(column), table.schema.field(column), pa.array(values))

    return it.shard(change)


KINDS: tuple[Callable[[Spoiler], list[str]], ...] = (
    *(flip_bit, flip_bit, flip_bit, cut, lengthen, delete, swap, older_manifest, foreign_shard, foreign_version),
    *(wrong_gene_total, wrong_sample_total, wrong_kept, swapped_genes, wrong_sketch, wrong_split),
    *(wrong_manifest_number, wrong_shard_entry, wrong_count, wrong_cell_figure, lost_cell, doubled_cell, renamed_cell),
)


def drill(n_corruptions: int, seed: int) -> list[tuple[str, str]]:
    """Each corruption's kind and its end: found and named, found and not named, or not found."""
    ends = []
    with tempfile.TemporaryDirectory() as scratch:
        good, spoiled = _corpus(Path(scratch)), Path(scratch) / "spoiled"
        assert verify(good) == []
        for i in range(n_corruptions):
            kind = KINDS[i % len(KINDS)]
            shutil.copytree(good, spoiled)
            touched = kind(Spoiler(spoiled, random.Random(f"{seed} {i}")))
            faults = verify(spoiled)
            named = any(name in fault for fault in faults for name in touched)
            ends.append((kind.__name__, "named" if named else f"found, not named: {faults}" if faults else "not found"))
            shutil.rmtree(spoiled)
    return ends


def _corpus(folder: Path) -> Path:
    """Four versions: a and b, then m, then without b, then m replaced."""
    make = {"a": 1, "b": 2, "m": 3}
    counts = {s: make_counts(folder, s, seed=i, n_cells=8, genes=MOUSE[:60]) for s, i in make.items()}
    out = make_corpus(folder / "good", [counts["a"], counts["b"]], group_samples=2, min_gene_counts=10)
    add(out, [counts["m"]], samples={}, splits=Splits(test=("study_m",)), group_samples=1)
    remove(out, ["b"], because="drill")
    fixed = make_counts(folder / "fixed", "m", seed=4, n_cells=9, genes=MOUSE[:60])
    replace_samples(out, [fixed], because="drill", samples={}, group_samples=1)
    return out


def _one_off(it: Spoiler, table: pa.Table, column: str) -> pa.Table:
    values = np.array(table[column].to_numpy())
    values[it.rng.randrange(len(values))] += it.rng.choice([-1, 1, 1000])
    return table.set_column(table.schema.get_field_index(column), table.schema.field(column), pa.array(values))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--corruptions", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    ends = drill(given.corruptions, given.seed)
    print("| corruption | made | found and named |\n|---|---|---|")
    for kind in dict.fromkeys(kind for kind, _ in ends):
        mine = Counter(end for name, end in ends if name == kind)
        print(f"| {kind.replace('_', ' ')} | {mine.total()} | {mine['named']} |")
    for kind, end in ends:
        if end != "named":
            print(f"{kind}: {end}")


if __name__ == "__main__":
    main()
