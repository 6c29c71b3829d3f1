"""Build a corpus in one process, or grow one: the same functions, and so the same bytes, as the workflow's
parallel jobs.
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from velocorpus import names
from velocorpus.corpus import schema
from velocorpus.corpus.manifest import write_manifest
from velocorpus.corpus.plan import Splits, describe, groups
from velocorpus.corpus.reader import Corpus
from velocorpus.corpus.totals import Totals, build_vocabulary, sample_totals
from velocorpus.corpus.vocabulary import EMPTY, Vocabulary
from velocorpus.corpus.writer import write_shards
from velocorpus.errors import UserMistake
from velocorpus.files import replacing

Samples = Mapping[str, Mapping[str, str]]
Say = Callable[[str], None]


def build(
    inputs: Sequence[Path],
    out: Path | str,
    *,
    samples: Samples,
    base: Vocabulary = EMPTY,
    splits: Splits,
    min_counts: int,
    min_gene_counts: int,
    group_samples: int,
    seed: int,
    say: Say = lambda line: None,
) -> Path:
    """Build a corpus from counts files or `outcome.json` files, whole or not at all; a corpus at `out` is
    replaced.
    """
    with replacing(out) as folder:
        totals, paths = _totals(inputs, min_counts, say)
        vocabulary = build_vocabulary(totals, organisms_of(totals, samples), base)
        shards = _shards(paths, folder, vocabulary, samples, splits, min_counts, group_samples, seed, 0, say)
        write_manifest(
            folder,
            shards=shards,
            totals=totals,
            vocabulary=vocabulary,
            samples=samples,
            splits=splits,
            min_gene_counts=min_gene_counts,
        )
    return Path(out)


def add(
    folder: Path | str,
    inputs: Sequence[Path],
    *,
    samples: Samples,
    splits: Splits | None = None,
    group_samples: int,
    say: Say = lambda line: None,
) -> Path:
    """Add samples to a corpus: new shards, new totals, the next version; no shard is rewritten.

    Filters and seed are the corpus' own. `splits` may hold out further studies; a study that the corpus has
    already stays in its split. A sample that is in the corpus is refused.
    """
    before = Corpus(folder)
    was = Splits(*(tuple(before.manifest["splits"][name]) for name in ("validation", "test")))
    splits = splits or Splits()
    splits = Splits(
        *(tuple(sorted({*a, *b})) for a, b in ((was.validation, splits.validation), (was.test, splits.test)))
    )
    for study in set(before.samples[names.STUDY].to_pylist()):
        if splits.of(study) != was.of(study):
            raise UserMistake(f"Study {study} is in the split '{was.of(study)}' of the corpus and must stay there.")
    min_counts = before.manifest["filter"]["min_counts"]
    totals, paths = _totals(inputs, min_counts, say)
    for sample in paths.keys() & set(before.samples[names.SAMPLE].to_pylist()):
        raise UserMistake(f"Sample {sample} is in the corpus already; add each sample once.")
    vocabulary = build_vocabulary(totals, organisms_of(totals, samples), before.genes)
    last = max(int(entry["group"][1:]) for entry in before.manifest["shards"])
    seed = before.manifest["shards"][0]["seed"]
    known = set((Path(folder) / schema.SHARDS_FOLDER).iterdir())
    try:
        shards = _shards(paths, folder, vocabulary, samples, splits, min_counts, group_samples, seed, last + 1, say)
        write_manifest(
            folder,
            shards=shards,
            totals=totals,
            vocabulary=vocabulary,
            samples=samples,
            splits=splits,
            min_gene_counts=before.manifest["filter"]["min_gene_counts"],
            before=before,
        )
    except UserMistake:
        # What the manifest does not name would be a stranger in the corpus.
        for path in set((Path(folder) / schema.SHARDS_FOLDER).iterdir()) - known:
            path.unlink()
        raise
    return Path(folder)


def _totals(inputs: Sequence[Path], min_counts: int, say: Say) -> tuple[list[Totals], dict[str, Path]]:
    """Totals of all samples, and each sample's file, in the order given."""
    totals: list[Totals] = []
    paths: dict[str, Path] = {}
    for path in inputs:
        one = sample_totals(path, min_counts=min_counts)
        if one.sample in paths:
            raise UserMistake(f"Sample {one.sample} stands in {paths[one.sample]} and in {path}; names are unique.")
        paths[one.sample] = path
        totals.append(one)
        say(
            f"{one.sample}: refused, left out: {one.reason}"
            if one.refused
            else f"{one.sample}: {one.figures['cells']} of {one.figures['cells_in']} cells kept"
        )
    return totals, paths


def organisms_of(totals: Sequence[Totals], samples: Samples) -> dict[str, str]:
    """The organism of each sample that was not refused."""
    return {
        one.sample: describe(one.sample, one.source, one.genes[names.GENE_ID].to_pylist(), samples)[names.ORGANISM]
        for one in totals
        if not one.refused
    }


def _shards(
    paths: dict[str, Path],
    folder: Path | str,
    vocabulary: Vocabulary,
    samples: Samples,
    splits: Splits,
    min_counts: int,
    group_samples: int,
    seed: int,
    start: int,
    say: Say,
) -> list[Path]:
    order = [s for s in samples if s in paths] or list(paths)
    made = []
    for group, members in groups(order, group_samples, start).items():
        made += write_shards(
            {sample: paths[sample] for sample in members},
            Path(folder) / schema.SHARDS_FOLDER,
            group=group,
            vocabulary=vocabulary,
            samples=samples,
            splits=splits,
            min_counts=min_counts,
            seed=seed,
        )
        say(f"{group}: {len(members)} samples written")
    return made
