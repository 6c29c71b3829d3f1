"""Build a corpus in one process: by the same functions, and so the same bytes, as the workflow's parallel jobs."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from velocorpus import names
from velocorpus.cells.filter import NO_CUTS, Cuts
from velocorpus.corpus import schema
from velocorpus.corpus.building.manifest import write_manifest
from velocorpus.corpus.building.totals import Totals, build_vocabulary, sample_totals
from velocorpus.corpus.building.writer import write_shards
from velocorpus.corpus.duplicates import in_words
from velocorpus.corpus.lock import locked
from velocorpus.corpus.plan import Splits, describe, groups
from velocorpus.corpus.reader import Corpus
from velocorpus.corpus.vocabulary import EMPTY, Vocabulary
from velocorpus.errors import UserMistake
from velocorpus.files import replacing
from velocorpus.splits import hold_out as held_out

Samples = Mapping[str, Mapping[str, str]]
Say = Callable[[str], None]


def build(
    inputs: Sequence[Path],
    out: Path | str,
    *,
    samples: Samples,
    base: Vocabulary = EMPTY,
    splits: Splits,
    hold_out: Sequence[str] = (),
    min_counts: int,
    min_gene_counts: int,
    group_samples: int,
    seed: int,
    cuts: Cuts = NO_CUTS,
    say: Say = lambda line: None,
) -> Path:
    """Build a corpus from counts files or `outcome.json` files, whole or not at all; a corpus at `out` is
    replaced.
    """
    with locked(out), replacing(out) as folder, TemporaryDirectory(dir=folder.parent) as aside:
        totals, paths = read_totals(inputs, min_counts, cuts, Path(aside), say)
        splits = held_out(splits, hold_out, samples or described(totals, samples))
        vocabulary = build_vocabulary(totals, organisms_of(totals, samples), base)
        shards = write_groups(paths, folder, vocabulary, samples, splits, min_counts, cuts, group_samples, seed, 0, say)
        write_manifest(
            folder,
            shards=shards,
            totals=totals,
            vocabulary=vocabulary,
            samples=samples,
            splits=splits,
            min_gene_counts=min_gene_counts,
            hold_out=hold_out,
        )
        say_twins(folder, set(paths), say)
    return Path(out)


def say_twins(folder: Path, new: set[str], say: Say) -> None:
    """Name the pairs of samples, one of them new, that look like one library."""
    for pair in Corpus(folder).manifest["duplicates"]:
        if new & {*pair["samples"]}:
            say(f"{in_words(pair)}; both are in, take one out with `velocorpus corpus remove`")


def read_totals(
    inputs: Sequence[Path], min_counts: int, cuts: Cuts, aside: Path, say: Say
) -> tuple[list[Totals], dict[str, Path]]:
    """Totals of all samples, kept in `aside`, and each sample's file, in the order given."""
    totals: list[Totals] = []
    paths: dict[str, Path] = {}
    for path in inputs:
        one = sample_totals(path, min_counts=min_counts, cuts=cuts)
        if one.sample in paths:
            raise UserMistake(f"Sample {one.sample} stands in {paths[one.sample]} and in {path}; names are unique.")
        paths[one.sample] = path
        one.write(aside / f"{len(totals)}.feather")
        totals.append(Totals.read(aside / f"{len(totals)}.feather"))
        say(
            f"{one.sample}: refused, left out: {one.reason}"
            if one.refused
            else f"{one.sample}: {one.figures['cells']} of {one.figures['cells_in']} cells kept"
        )
    return totals, paths


def organisms_of(totals: Sequence[Totals], samples: Samples) -> dict[str, str]:
    """The organism of each sample that was not refused."""
    return {sample: about[names.ORGANISM] for sample, about in described(totals, samples).items()}


def described(totals: Sequence[Totals], samples: Samples) -> dict[str, dict[str, str]]:
    """What is known of each sample that was not refused (see `plan.describe`)."""
    return {
        one.sample: describe(one.sample, one.source, one.genes[names.GENE_ID].to_pylist(), samples)
        for one in totals
        if not one.refused
    }


def write_groups(
    paths: dict[str, Path],
    folder: Path | str,
    vocabulary: Vocabulary,
    samples: Samples,
    splits: Splits,
    min_counts: int,
    cuts: Cuts,
    group_samples: int,
    seed: int,
    start: int,
    say: Say,
) -> list[Path]:
    """Write the shards of some samples, `group_samples` of them a group, in groups numbered from `start`."""
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
            cuts=cuts,
            seed=seed,
        )
        say(f"{group}: {len(members)} samples written")
    return made
