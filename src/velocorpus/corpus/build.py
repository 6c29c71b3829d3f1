"""Build a corpus in one process, or grow one: the same functions, and so the same bytes, as the workflow's
parallel jobs.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from velocorpus import names
from velocorpus.cells.filter import NO_CUTS, Cuts
from velocorpus.corpus import schema
from velocorpus.corpus.duplicates import in_words
from velocorpus.corpus.lock import TOTALS_ASIDE, locked
from velocorpus.corpus.manifest import Left, refuse_removed, write_manifest
from velocorpus.corpus.plan import Splits, describe, groups
from velocorpus.corpus.reader import Corpus
from velocorpus.corpus.remove import removal_records, take_out
from velocorpus.corpus.totals import Totals, build_vocabulary, sample_totals
from velocorpus.corpus.vocabulary import EMPTY, Vocabulary
from velocorpus.corpus.writer import write_shards
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
        totals, paths = _totals(inputs, min_counts, cuts, Path(aside), say)
        splits = held_out(splits, hold_out, samples or _described(totals, samples))
        vocabulary = build_vocabulary(totals, organisms_of(totals, samples), base)
        shards = _shards(paths, folder, vocabulary, samples, splits, min_counts, cuts, group_samples, seed, 0, say)
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
        _say_twins(folder, set(paths), say)
    return Path(out)


def add(
    folder: Path | str,
    inputs: Sequence[Path],
    *,
    samples: Samples,
    splits: Splits | None = None,
    hold_out: Sequence[str] = (),
    group_samples: int,
    say: Say = lambda line: None,
) -> Path:
    """Add samples to a corpus: new shards, new totals, the next version; no shard is rewritten.

    Filters and seed are the corpus' own. `splits` and `hold_out` may hold out further studies; a study that the corpus
    has already stays in its split. A sample that is in the corpus, or was removed from it, is refused.
    """
    with locked(folder):
        before = Corpus(folder)
        with _without_strangers(before.path), TemporaryDirectory(prefix=TOTALS_ASIDE, dir=before.path) as aside:
            totals, paths = _totals(inputs, *_filter(before), Path(aside), say)
            for sample in paths.keys() & set(before.samples[names.SAMPLE].to_pylist()):
                raise UserMistake(
                    f"Sample {sample} is in the corpus already; add it once, or use `velocorpus corpus replace`."
                )
            left = Left.whole(before)
            refuse_removed(totals, before.manifest.get("removed", []))
            _grow(before, left, totals, paths, samples, splits or Splits(), hold_out, group_samples, {}, say)
    return Path(folder)


def remove(
    folder: Path | str, gone: Sequence[str], *, because: str, by: str = "", say: Say = lambda line: None
) -> Path:
    """Take samples out (a retraction): the next version, with a record of who took out what and why.

    Only shards that hold such a sample are written anew; older versions stay whole (see `corpus.remove.prune`). Tokens
    stay. By content digest the corpus equals one built without these samples.
    """
    return replace_samples(folder, (), gone=gone, because=because, by=by, samples={}, group_samples=1, say=say)


def replace_samples(
    folder: Path | str,
    inputs: Sequence[Path],
    *,
    gone: Sequence[str] = (),
    because: str,
    by: str = "",
    samples: Samples,
    splits: Splits | None = None,
    group_samples: int,
    say: Say = lambda line: None,
) -> Path:
    """Put fixed counts in the place of samples (also of samples that were removed), and take out those in `gone`."""
    with locked(folder):
        before = Corpus(folder)
        with _without_strangers(before.path), TemporaryDirectory(prefix=TOTALS_ASIDE, dir=before.path) as aside:
            present = before.samples_of(samples=gone)
            totals, paths = _totals(inputs, *_filter(before), Path(aside), say)
            known = set(before.samples[names.SAMPLE].to_pylist())
            for sample in paths.keys() - known - {record["sample"] for record in before.manifest.get("removed", [])}:
                raise UserMistake(
                    f"Sample {sample} is not in the corpus; `velocorpus corpus add` brings new samples in."
                )
            present = sorted({*present, *(known & paths.keys())})
            digests = {one.sample: one.counts_digest for one in totals if not one.refused}
            records = removal_records(before, present, digests, because, by)
            if not digests and known == set(present):
                raise UserMistake(f"Without {', '.join(present)} no sample is left; delete {folder} instead.")
            left = take_out(before, present, say) if present else Left.whole(before)
            notes = {"removed": records}
            _grow(before, left, totals, paths, samples, splits or Splits(), (), group_samples, notes, say)
    return Path(folder)


def _grow(
    before: Corpus,
    left: Left,
    totals: Sequence[Totals],
    paths: dict[str, Path],
    samples: Samples,
    splits: Splits,
    rules: Sequence[str],
    group_samples: int,
    notes: Mapping[str, Any],
    say: Say,
) -> None:
    """The next version: what is left, and new samples. Held-out studies and rules are those of before and new ones."""
    was, studies = before.manifest, before.samples.select(schema.SAMPLE_FIELDS).to_pylist()
    splits = Splits(*(tuple(sorted({*getattr(splits, n), *was["splits"][n]})) for n in ("validation", "test")))
    known: Samples = dict(zip(before.samples[names.SAMPLE].to_pylist(), studies, strict=True))
    known = {**known, **(samples or _described(totals, samples))}
    splits = held_out(held_out(splits, rules, known), was.get("hold_out", []), known, lenient=True)
    for study, split in zip(*(left.samples[name].to_pylist() for name in (names.STUDY, "split")), strict=True):
        if splits.of(study) != split:
            raise UserMistake(f"Study {study} is in the split '{split}' of the corpus and must stay there.")
    vocabulary = build_vocabulary(totals, organisms_of(totals, samples), before.genes)
    start = 1 + max(int(entry["group"][1:]) for entry in was["shards"])
    seed = was["shards"][0]["seed"]
    shards = _shards(paths, before.path, vocabulary, samples, splits, *_filter(before), group_samples, seed, start, say)
    write_manifest(
        before.path,
        shards=shards,
        totals=totals,
        vocabulary=vocabulary,
        samples=samples,
        splits=splits,
        min_gene_counts=was["filter"]["min_gene_counts"],
        hold_out=sorted({*rules, *was.get("hold_out", [])}),
        before=left,
        notes=notes,
    )
    _say_twins(before.path, set(paths), say)


@contextmanager
def _without_strangers(folder: Path) -> Iterator[None]:
    """What a failed change leaves among the shards would be a stranger in the corpus."""
    known = set((folder / schema.SHARDS_FOLDER).iterdir())
    try:
        yield
    except BaseException:
        for path in set((folder / schema.SHARDS_FOLDER).iterdir()) - known:
            path.unlink()
        raise


def _say_twins(folder: Path, new: set[str], say: Say) -> None:
    for pair in Corpus(folder).manifest["duplicates"]:
        if new & {*pair["samples"]}:
            say(f"{in_words(pair)}; both are in, take one out with `velocorpus corpus remove`")


def _filter(corpus: Corpus) -> tuple[int, Cuts]:
    """What the cells of a corpus were judged by; what comes in later is judged alike."""
    return corpus.manifest["filter"]["min_counts"], Cuts.of(corpus.manifest["filter"])


def _totals(
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
    return {sample: about[names.ORGANISM] for sample, about in _described(totals, samples).items()}


def _described(totals: Sequence[Totals], samples: Samples) -> dict[str, dict[str, str]]:
    return {
        one.sample: describe(one.sample, one.source, one.genes[names.GENE_ID].to_pylist(), samples)
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
    cuts: Cuts,
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
            cuts=cuts,
            seed=seed,
        )
        say(f"{group}: {len(members)} samples written")
    return made
