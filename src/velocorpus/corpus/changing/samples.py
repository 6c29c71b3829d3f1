"""Add samples to a corpus, take samples out of it, or put fixed counts in their place: each the next version."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from velocorpus import names
from velocorpus.cells.filter import Cuts
from velocorpus.corpus import schema
from velocorpus.corpus.building.build import Samples, Say, described, organisms_of, read_totals, say_twins, write_groups
from velocorpus.corpus.building.manifest import Left, refuse_removed, write_manifest
from velocorpus.corpus.building.totals import Totals, build_vocabulary
from velocorpus.corpus.changing.take_out import removal_records, take_out
from velocorpus.corpus.lock import TOTALS_ASIDE, locked
from velocorpus.corpus.plan import Splits
from velocorpus.corpus.reader import Corpus
from velocorpus.errors import UserMistake
from velocorpus.splits import hold_out as held_out


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
            totals, paths = read_totals(inputs, *_filter(before), Path(aside), say)
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

    Only shards that hold such a sample are written anew; older versions stay whole (see `prune`). Tokens stay.
    By content digest the corpus equals one built without these samples.
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
            totals, paths = read_totals(inputs, *_filter(before), Path(aside), say)
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
    known = {**known, **(samples or described(totals, samples))}
    splits = held_out(held_out(splits, rules, known), was.get("hold_out", []), known, lenient=True)
    for study, split in zip(*(left.samples[name].to_pylist() for name in (names.STUDY, "split")), strict=True):
        if splits.of(study) != split:
            raise UserMistake(f"Study {study} is in the split '{split}' of the corpus and must stay there.")
    vocabulary = build_vocabulary(totals, organisms_of(totals, samples), before.genes)
    start = 1 + max(int(entry["group"][1:]) for entry in was["shards"])
    seed = was["shards"][0]["seed"]
    shards = write_groups(
        paths, before.path, vocabulary, samples, splits, *_filter(before), group_samples, seed, start, say
    )
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
    say_twins(before.path, set(paths), say)


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


def _filter(corpus: Corpus) -> tuple[int, Cuts]:
    """What the cells of a corpus were judged by; what comes in later is judged alike."""
    return corpus.manifest["filter"]["min_counts"], Cuts.of(corpus.manifest["filter"])
