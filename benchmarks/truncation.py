"""What an encoder's outputs lose where cells have more genes than `max_genes`, by policy.

    python benchmarks/truncation.py MODEL CORPUS [--limits 75 150 300 600] [--cells 150]

Cells of the test studies, each study by itself. `counts`: share of the counts that are left. `same`: cosine of a cell's
global output with that of all its genes, both about the study's mean. `retrieval`: the mean share of the study's other
cells that rank behind a cell's own unspliced output, seen from its spliced one (chance 0.5). `label`: balanced accuracy
of a linear probe of the cell type from the global output.
"""

import argparse
from pathlib import Path

import numpy as np
import torch

from velocorpus import names
from velocorpus.corpus.reader import Cells, Corpus
from velocorpus.data.tokens import batch_of
from velocorpus.evaluation import probes
from velocorpus.model.pretrained import load_pretrained
from velocorpus.model.zorro import Zorro
from velocorpus.training.studies import LAYERS, split_studies

EVERYTHING = 1_000_000


@torch.no_grad()
def outputs(encoder: Zorro, cells: Cells, limit: int, policy: str) -> tuple[dict[str, np.ndarray], float]:
    """Pooled outputs (N, D) by name, and the share of counts that the encoder saw."""
    rng, pooled, seen, total = np.random.default_rng(0), [], 0.0, 0.0
    for rows in np.array_split(np.arange(len(cells)), max(1, len(cells) // 64)):
        batch = batch_of(cells, rows, LAYERS, max_genes=limit, truncation=policy, rng=rng)
        pooled.append(encoder(batch).pooled)
        seen += sum(float(batch.layers[m].counts_T.sum()) for m in LAYERS)
        total += sum(float(batch.layers[m].totals_B.sum()) for m in LAYERS)
    return {name: torch.cat([part[name] for part in pooled]).numpy() for name in pooled[0]}, seen / total


def judged(encoder: Zorro, cells: Cells, limit: int, policy: str) -> list[float]:
    """The columns of one study."""
    whole, _ = outputs(encoder, cells, EVERYTHING, "top")
    found, counts = outputs(encoder, cells, limit, policy)
    same = (probes.directions(whole[names.GLOBAL]) * probes.directions(found[names.GLOBAL])).sum(axis=1).mean()
    _, rank = probes.retrieval(*(probes.directions(found[m]) for m in LAYERS))
    labels = cells.obs[names.CELL_TYPE].to_pandas()
    common = labels.map(labels.value_counts()).to_numpy() >= 2 * probes.FOLDS
    label = probes.label_accuracy(found[names.GLOBAL][common], labels[common].to_numpy(str), seed=0)
    return [counts, float(same), rank, label]


def main() -> None:
    """Print a row for each policy and limit."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("model", type=Path)
    parser.add_argument("corpus", type=Path)
    parser.add_argument("--limits", type=int, nargs="+", default=[75, 150, 300, 600])
    parser.add_argument("--cells", type=int, default=150, help="of each study")
    given = parser.parse_args()
    encoder = load_pretrained(given.model).encoder()
    studies = split_studies(Corpus(given.corpus), "test", max_cells=given.cells)
    print("| `max_genes` | `truncation` | counts | same | retrieval | label |\n|--:|---|--:|--:|--:|--:|")
    for limit in given.limits:
        for policy in ("top", "sample"):
            row = np.mean([judged(encoder, cells, limit, policy) for cells in studies.values()], axis=0)
            print(f"| {limit} | {policy} | " + " | ".join(f"{x:.3f}" for x in row) + " |", flush=True)


if __name__ == "__main__":
    main()
