"""Which studies are held out, by name or by rule: whole organisms or tissues, or any column of samples.tsv.

A study with one sample of what is held out goes whole: splits go by study, never by cell. The rules stay in the
manifest and bind what is added later; a study that is in the corpus already never changes its split.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from velocorpus import names
from velocorpus.errors import UserMistake

_RULE = re.compile(r"(validation|test):(\w+)=(.+)")


@dataclass(frozen=True)
class Splits:
    """The studies that are held out; every other study is for training."""

    validation: tuple[str, ...] = ()
    test: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for study in set(self.validation) & set(self.test):
            raise UserMistake(f"Study {study} is both for validation and for test; name it once.")

    def of(self, study: str) -> str:
        """The split of a study."""
        return "validation" if study in self.validation else "test" if study in self.test else "train"

    def check(self, studies: Iterable[str]) -> None:
        """Refuse a held-out study that no sample belongs to: a slip of the pen would leak it into training."""
        known = sorted(set(studies))
        for study in (*self.validation, *self.test):
            if study not in known:
                raise UserMistake(f"The held-out study '{study}' has no sample; studies are {', '.join(known)}.")


def hold_out(
    splits: Splits, rules: Sequence[str], samples: Mapping[str, Mapping[str, str]], *, lenient: bool = False
) -> Splits:
    """The splits with the studies that `rules` hold out, e.g. `test:tissue=lung`; `samples` are rows of samples.tsv.

    Refused: a rule of another form, of an unknown column, or that no sample meets (unless `lenient`); a study that two
    splits claim.
    """
    studies = {"validation": list(splits.validation), "test": list(splits.test)}
    for rule in rules:
        match = _RULE.fullmatch(rule)
        if not match or match[2] not in names.SAMPLE_FIELDS:
            raise UserMistake(
                f"'{rule}' holds nothing out; write SPLIT:COLUMN=VALUE, say test:tissue=lung: the split is validation "
                f"or test, the column one of {', '.join(names.SAMPLE_FIELDS)}."
            )
        split, column, value = match.groups()
        found = {row.get(names.STUDY) or sample for sample, row in samples.items() if row.get(column) == value}
        if not found and not lenient:
            values = sorted({row[column] for row in samples.values() if row.get(column)})
            raise UserMistake(
                f"The rule '{rule}' meets no sample; the column '{column}' of samples.tsv (--samples) has "
                f"{', '.join(values) or 'no value'}."
            )
        studies[split] += sorted(found.difference(studies[split]))
    return Splits(*(tuple(studies[split]) for split in ("validation", "test")))
