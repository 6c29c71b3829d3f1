"""The table of the encoder: what its outputs know of cells of studies never seen, against linear baselines.

Every study is judged by itself and the table gives means over studies: retrieval of a cell's unspliced view from its
spliced one, linear probes of label and time, and how the studies mix. Baselines that learn are fitted on the training
studies, as the encoder was; two rows that have seen the judged study itself say what there was to be had.

Shape suffix legend: N = cells, G = genes, D = dimensions of a representation.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from velocorpus import names
from velocorpus.corpus.reader import Cells, Corpus
from velocorpus.errors import UserMistake
from velocorpus.evaluation import probes
from velocorpus.evaluation.depths import depth, depth_views, equal_depth
from velocorpus.evaluation.outputs import Embeddings, embedded, embeddings, untrained
from velocorpus.evaluation.representations import Representation, write_representations
from velocorpus.evaluation.table import Table, Value
from velocorpus.evaluation.views import OWN, Baselines, Pair
from velocorpus.model.pretrained import Pretrained
from velocorpus.simulate.truth import read_truth
from velocorpus.training.studies import LAYERS, dense, split_studies

COLUMNS = ("figure", "of", "mean", "low", "high", "studies")
TOP1, RANK = "retrieval: own view first", "retrieval: others ranked behind"
EVEN_TOP1, EVEN_RANK = "at equal depth: own view first", "at equal depth: others ranked behind"
LABEL, TIME, MIXING = "probe: label (balanced accuracy)", "probe: time (R²)", "mixing of studies"
OURS, DEPTH = "velocorpus", "depth of both layers alone"
TARGET = 1e4
MOST_GENES = 2000  # of the baselines: the most variable ones over the training studies

Clock = Mapping[str, tuple[pd.Series, bool]]


@dataclass
class _Figures:
    """Figures by (figure, of): one value a study, or one over all."""

    values: dict[tuple[str, str], list[float]] = field(default_factory=dict)

    def add(self, figure: str, of: str, value: float) -> None:
        self.values.setdefault((figure, of), []).append(value)

    def rows(self, seed: int) -> list[tuple[Value, ...]]:
        order = [TOP1, RANK, EVEN_TOP1, EVEN_RANK, LABEL, TIME, MIXING]
        rows: list[tuple[Value, ...]] = []
        for (figure, of), found in sorted(self.values.items(), key=lambda item: order.index(item[0][0])):
            bounds = probes.interval(np.array(found), seed=seed)
            low, high = (None, None) if len(found) < 2 else bounds
            rows.append((figure, of, float(np.mean(found)), low, high, len(found)))
        return rows


def evaluate_encoder(
    models: Sequence[Pretrained],
    corpus: Corpus,
    *,
    clock: Clock | None = None,
    given: Sequence[Representation] = (),
    written: Path | None = None,
    split: str = "test",
    max_cells: int = 1000,
    training_cells: int = 300,
    seed: int = 0,
    device: torch.device | str = "cpu",
) -> Table:
    """Judge encoders of one configuration that differ in their seeds; their figures are averaged study by study.

    `clock` maps a study to the times of its cells by cell id, and whether it is a cycle; without it time is not asked.
    Labels are the corpus' `cell_type`. `given` are other methods' representations of the judged cells, which are probed
    as ours are; to `written` (h5ad) go all that lie in one space, the first model's of ours. The baselines learn
    from `training_cells` of each training study. `seed` draws the cells of larger studies, folds and the bootstrap.
    """
    for model in models:
        model.expect_genes(corpus.genes)
    studies = split_studies(corpus, split, max_cells=max_cells, seed=seed)
    if not studies:
        raise UserMistake(f"The corpus has no cells in its {split} split; name its studies in the configuration.")
    if clock and not set(clock) & set(studies):
        raise UserMistake(
            f"No truth is of a study of the {split} split ({', '.join(studies)}); give theirs, or none for no times."
        )
    others = {study: {one.name: [one.of(cells)] for one in given} for study, cells in studies.items()}
    training = split_studies(corpus, "train", max_cells=training_cells, seed=seed)
    genes_G = _variable(training.values(), np.flatnonzero(corpus.genes.kept))
    learned = np.concatenate([log_layers(cells, genes_G) for cells in training.values()])
    d_model = models[0].encoder().config.d_model
    baselines = Baselines.of(learned, d_model)
    before = {name: encoder.to(device) for name, encoder in untrained(models[0], corpus, seed).items()}
    figures = _Figures()
    everything: dict[str, list[np.ndarray]] = {}
    for study, cells in studies.items():
        x_NG2 = log_layers(cells, genes_G)
        outputs = baselines.outputs(x_NG2)
        trained = [embeddings(model, cells, device) for model in models]
        started = {name: embedded(encoder, cells, device) for name, encoder in before.items()}
        _retrieve(figures, (TOP1, RANK), baselines.views(x_NG2), trained, started, cells)
        even = equal_depth(cells, seed=seed)
        if len(even) > 1:
            _retrieve(
                figures,
                (EVEN_TOP1, EVEN_RANK),
                baselines.views(log_layers(even, genes_G)),
                [embeddings(model, even, device) for model in models],
                {name: embedded(encoder, even, device) for name, encoder in before.items()},
                even,
            )
        by_name = {name: [values] for name, values in outputs.items()}
        by_name[DEPTH] = [depth(cells)]
        by_name |= {f"{name}: global": [found[names.GLOBAL]] for name, found in started.items()}
        for output in trained[0].pooled:
            by_name[f"{OURS}: {output}"] = [found.pooled[output] for found in trained]
        if twice := set(by_name) & set(others[study]):
            raise UserMistake(f"The table has a row '{min(twice)}' of its own; give the representation another name.")
        by_name |= others[study]
        _probe(figures, by_name, cells, (clock or {}).get(study), seed)
        for name, values in by_name.items():
            if name != OWN:  # each study has a space of its own
                everything.setdefault(name, []).append(values[0])
    if len(studies) > 1:
        for name, parts in everything.items():
            groups_N = np.repeat(np.arange(len(parts)), [len(part) for part in parts])
            figures.add(MIXING, name, probes.mixing(np.concatenate(parts), groups_N))
    if written is not None:
        write_representations(written, everything, studies)
    n_cells = sum(map(len, studies.values()))
    note = _note(models, n_cells, d_model, given)
    return Table("The encoder on studies never seen", COLUMNS, tuple(figures.rows(seed)), note)


def clocks(truths: Sequence[Path | str]) -> dict[str, tuple[pd.Series, bool]]:
    """Times of the cells of simulated studies, from their `truth.h5ad`."""
    found: dict[str, list[pd.Series]] = {}
    cyclic = {}
    for path in truths:
        truth = read_truth(path)
        about = truth.uns[names.UNS]
        found.setdefault(about["study"], []).append(truth.obs[names.PSEUDOTIME])
        cyclic[about["study"]] = about["topology"] == "cyclic"
    return {study: (pd.concat(times), cyclic[study]) for study, times in found.items()}


def log_layers(cells: Cells, genes_G: np.ndarray) -> np.ndarray:
    """log1p of counts scaled to `TARGET` per layer, (N, G, 2) float32: nothing of one layer enters the other."""
    counts = dense(cells, np.arange(len(cells)), genes_G)
    totals = np.stack([cells.layers[name].totals for name in LAYERS], axis=1)
    return np.log1p(counts * (TARGET / np.maximum(totals, 1))[:, None, :]).astype(np.float32)


def _variable(studies: Iterable[Cells], genes_G: np.ndarray) -> np.ndarray:
    """The `MOST_GENES` genes whose log values vary most within studies, ascending."""
    if len(genes_G) <= MOST_GENES:
        return genes_G
    variance_G = sum(log_layers(cells, genes_G).var(axis=0).sum(axis=1) for cells in studies)
    return np.sort(genes_G[np.argsort(-np.asarray(variance_G), kind="stable")[:MOST_GENES]])


def _retrieve(
    figures: _Figures,
    columns: tuple[str, str],
    views: Mapping[str, Sequence[Pair]],
    trained: Sequence[Embeddings],
    started: Mapping[str, Mapping[str, np.ndarray]],
    cells: Cells,
) -> None:
    """Retrieval among some cells by linear `views`, by depth, by encoders before their first step, and by ours."""
    pairs = dict(views)
    pairs |= {name: [(found[names.SPLICED], found[names.UNSPLICED])] for name, found in started.items()}
    pairs[f"{OURS}: projected for the contrast"] = [found.projected for found in trained]
    pairs[f"{OURS}: outputs as they are"] = [found.pair for found in trained]
    found = {of: [probes.retrieval(*map(probes.directions, pair)) for pair in some] for of, some in pairs.items()}
    found[DEPTH] = [probes.retrieval(*depth_views(cells))]
    found["chance"] = [(1 / len(cells), 0.5)]
    for of, each in found.items():
        for column, value in zip(columns, np.mean(each, axis=0), strict=True):
            figures.add(column, of, float(value))


def _probe(
    figures: _Figures,
    by_name: Mapping[str, Sequence[np.ndarray]],
    cells: Cells,
    clock: tuple[pd.Series, bool] | None,
    seed: int,
) -> None:
    """Probes of one study; labels that fewer than ten cells have are left out, and a study with one label."""
    label_N = cells.obs[names.CELL_TYPE].to_pandas()
    known_N = label_N.map(label_N.value_counts()).fillna(0).to_numpy() >= 2 * probes.FOLDS
    several = label_N[known_N].nunique() > 1
    if clock is not None:
        time_N = clock[0].reindex(cells.obs["cell_id"].to_pylist()).to_numpy(float)
        timed_N = np.isfinite(time_N)
        targets_NT = probes.time_targets(time_N[timed_N], is_cycle=clock[1])
    for name, values in by_name.items():
        if several:
            labels = label_N[known_N].to_numpy(str)
            found = [probes.label_accuracy(x_ND[known_N], labels, seed=seed) for x_ND in values]
            figures.add(LABEL, name, float(np.mean(found)))
        if clock is not None:
            found = [probes.explained(x_ND[timed_N], targets_NT, seed=seed) for x_ND in values]
            figures.add(TIME, name, float(np.mean(found)))


def _note(models: Sequence[Pretrained], n_cells: int, d_model: int, given: Sequence[Representation]) -> str:
    sizes = "".join(f", {one.name} of {one.values_ND.shape[1]}" for one in given if one.values_ND.shape[1] != d_model)
    return (
        f"{n_cells} cells; {len(models)} models, one of each seed; all of {d_model} dimensions{sizes}. Means over "
        "studies and 95 % of a bootstrap over studies. Retrieval: among the study's cells, about their mean; at equal "
        "depth: after each layer was thinned to one total, since depth alone finds a cell's other view. Probes: "
        "within a study, on cells left out. Mixing: inverse Simpson index of the study among 30 neighbours, 0 to 1; "
        "studies that share no cell type should not mix."
    )
