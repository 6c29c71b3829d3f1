"""A project: the configuration and its tables, checked against each other before any job starts.

The workflow (`workflow/rules/common.smk`) and `velocorpus check` both read projects here, so a mistake is the same
sentence in both. Names only the standard library, pydantic and yaml.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from velocorpus import names
from velocorpus.config import CorpusConfig, TrainingConfig, WorkflowConfig, load
from velocorpus.errors import UserMistake, mistakes_in
from velocorpus.splits import Splits, hold_out
from velocorpus.tables import Tables, load_tables

SIMULATED = "results/simulated"


@dataclass(frozen=True)
class Project:
    """A checked configuration: its sections, its training file, its tables and who is in which split."""

    path: Path
    config: WorkflowConfig
    training: TrainingConfig
    training_path: Path
    tables: Tables
    splits: Splits

    @property
    def groups(self) -> dict[str, tuple[str, ...]]:
        """Shard groups: name → samples."""
        return self.tables.groups(self.config.corpus.group_samples)

    @property
    def simulated_studies(self) -> tuple[str, ...]:
        """Studies of the corpus whose every sample has its truth."""
        return tuple(study for study in self.tables.studies if self._has_truth(study))

    @property
    def velocity_studies(self) -> tuple[str, ...]:
        """Studies whose velocities are written as AnnData."""
        return self.config.evaluate.velocity_studies or self.splits.test

    @property
    def trajectory_study(self) -> str:
        """The study of the trajectory figure."""
        return self.config.evaluate.trajectory_study or (self.splits.test or self.tables.studies)[0]

    def teacher(self, study: str) -> str:
        """What teaches the velocity decoder on one study: `truth` or a mode of scVelo."""
        if self.config.targets.use_truth and self._has_truth(study):
            return "truth"
        return self.config.targets.teacher

    def truths(self, study: str) -> tuple[str, ...]:
        """The truth files of a study's samples, in the order of its samples."""
        return tuple(self.tables.samples[name].truth for name in self.tables.samples_of(study))

    def _has_truth(self, study: str) -> bool:
        return all(self.truths(study))


def load_project(path: Path | str) -> Project:
    """Read and check a configuration and all that it names; the first mistake raises `UserMistake`."""
    path = Path(path)
    settings = load(WorkflowConfig, path)
    here = path.parent
    tables = load_tables(
        here / settings.samples,
        here / settings.units,
        here / settings.references,
        made_here=(SIMULATED,) if settings.simulate.preset else (),
    )
    if not tables.samples:
        raise UserMistake(f"{here / settings.samples} has no sample; add one row for each library.")
    project = Project(
        path=path,
        config=settings,
        training=load(TrainingConfig, here / settings.training),
        training_path=here / settings.training,
        tables=tables,
        splits=_splits(path, settings.corpus, tables),
    )
    _check_studies(project)
    if settings.cells.cuts.max_doublet_score is not None and not settings.cells.score_doublets:
        raise UserMistake(
            f"{path}: cells.cuts.max_doublet_score cuts nothing without scores; set cells.score_doublets to true."
        )
    return project


def _splits(path: Path, corpus: CorpusConfig, tables: Tables) -> Splits:
    """Who is held out, by name and by rule, told from the rows and columns that `velocorpus corpus` reads too."""
    rows = {
        name: {column: value for column in names.SAMPLE_FIELDS if (value := getattr(row, column, ""))}
        for name, row in tables.samples.items()
    }
    with mistakes_in(path):
        return hold_out(Splits(corpus.validation_studies, corpus.test_studies), corpus.hold_out, rows)


def _check_studies(project: Project) -> None:
    corpus, evaluate = project.config.corpus, project.config.evaluate
    held_out = {*project.splits.validation, *project.splits.test}
    for key, studies in (
        ("corpus.validation_studies", corpus.validation_studies),
        ("corpus.test_studies", corpus.test_studies),
        ("corpus.hold_out", held_out),
        ("evaluate.velocity_studies", evaluate.velocity_studies),
        ("evaluate.trajectory_study", (evaluate.trajectory_study,) if evaluate.trajectory_study else ()),
    ):
        _check_known(project, key, studies)
    if held_out.issuperset(project.tables.studies):
        raise UserMistake(
            f"{project.path}: every study is held out for {' or '.join(names.SPLITS[1:])}; leave at least one "
            "for train."
        )


def _check_known(project: Project, key: str, studies: Iterable[str]) -> None:
    for study in studies:
        if study not in project.tables.studies:
            raise UserMistake(
                f"{project.path}: {key} names '{study}', which is no study of the corpus; studies are "
                f"{', '.join(project.tables.studies)}."
            )
