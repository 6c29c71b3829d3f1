"""How much an encoder's outputs tell of sequencing depth, untrained, trained, and trained on thinned layers.

    python benchmarks/depth.py CORPUS [--least 0.1] [--cells 1000] [--work DIR]

Cells of the studies that training did not see, each study centred on its own mean, so that differences between studies
count for nothing. Depth is the log of the layer's own total; for fusion and global of both. `probe` is the R² of a
ridge regression from all dimensions, of cells that it was not fitted to; `axis` the greatest |rank correlation| of
depth with one of the first five principal axes. `retrieval` is that of the run's own last validation.
"""

import argparse
import tempfile
from pathlib import Path

import numpy as np
import torch
import yaml
from scipy.stats import spearmanr
from sklearn.decomposition import PCA
from sklearn.linear_model import RidgeCV
from sklearn.model_selection import cross_val_predict

from velocorpus import names
from velocorpus.config import TrainingConfig, parse
from velocorpus.corpus.reader import Corpus
from velocorpus.data.tokens import batch_of
from velocorpus.model.pretrained import load_pretrained
from velocorpus.model.zorro import Zorro
from velocorpus.training.pretrain import pretrain

SPLITS = ("validation", "test")
RETRIEVAL = "validation_retrieval_rank"


def outputs(
    encoder: Zorro, corpus: Corpus, n_cells: int
) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray], np.ndarray]:
    """Pooled outputs (N, D) and log totals (N,) by name, and each cell's study."""
    config, pooled, depth, studies = encoder.config, {}, {}, []
    for split in SPLITS:
        cells = corpus.read(split, layers=config.modalities)
        chosen = np.linspace(0, len(cells), min(n_cells, len(cells)), endpoint=False).astype(np.int64)
        studies += cells.obs[names.STUDY].take(chosen).to_pylist()
        for rows in np.array_split(chosen, max(1, len(chosen) // 64)):
            how = {"max_genes": config.max_genes, "truncation": config.truncation, "rng": np.random.default_rng(0)}
            batch = batch_of(cells, rows, config.modalities, **how)
            with torch.no_grad():
                for name, x_BD in encoder(batch).pooled.items():
                    pooled.setdefault(name, []).append(x_BD.numpy())
            totals = {m: batch.layers[m].totals_B.numpy() for m in config.modalities}
            for name in pooled:
                depth.setdefault(name, []).append(np.log1p(totals.get(name, sum(totals.values()))))
    return *({name: np.concatenate(x) for name, x in each.items()} for each in (pooled, depth)), np.array(studies)


def within(x: np.ndarray, studies: np.ndarray) -> np.ndarray:
    """Without each study's own mean."""
    centred = x.astype(np.float64)
    for study in np.unique(studies):
        centred[studies == study] -= centred[studies == study].mean(0)
    return centred


def main() -> None:
    """Print a row for each encoder."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("corpus", type=Path)
    parser.add_argument("--config", type=Path, default=Path("config/models/tiny.yaml"))
    parser.add_argument("--cells", type=int, default=1000, help="judged, of each split")
    parser.add_argument("--least", type=float, default=0.1)
    parser.add_argument("--work", type=Path, help="keeps the models here; a model that is there is not trained again")
    given = parser.parse_args()
    corpus, config = Corpus(given.corpus), parse(TrainingConfig, yaml.safe_load(given.config.read_text()), "config")
    shape = config.model
    torch.manual_seed(0)
    encoders = {"untrained": (Zorro(shape, len(corpus.genes)).eval(), float("nan"))}
    with tempfile.TemporaryDirectory() as folder:
        for name, least in (("trained", 1.0), (f"thinned to {given.least:g}", given.least)):
            out = (given.work or Path(folder)) / f"least{least:g}"
            pretrain(given.corpus, shape, config.pretrain.model_copy(update={"thin_least": least}), out, resume=True)
            model = load_pretrained(out)
            encoders[name] = model.encoder(), model.training["metrics"].get(RETRIEVAL, float("nan"))
    print(
        "| encoder | retrieval, mean rank | "
        + " | ".join(f"{x}: probe | axis" for x in (*shape.modalities, names.FUSION, names.GLOBAL))
        + " |"
    )
    print("|---|" + "--:|" * (2 * len(shape.modalities) + 5))
    for name, (encoder, rank) in encoders.items():
        pooled, depth, studies = outputs(encoder, corpus, given.cells)
        cells = []
        for output, x_ND in pooled.items():
            x_ND, y_N = within(x_ND, studies), within(depth[output], studies)
            order = np.random.default_rng(0).permutation(len(y_N))
            x_ND, y_N = x_ND[order], y_N[order]
            told = cross_val_predict(RidgeCV(np.logspace(-3, 3, 7)), x_ND, y_N, cv=5)
            axes = PCA(5, random_state=0).fit_transform(x_ND)
            best = max(abs(spearmanr(axis, y_N).statistic) for axis in axes.T)
            cells += [f"{1 - ((y_N - told) ** 2).sum() / (y_N**2).sum():.2f}", f"{best:.2f}"]
        print(f"| {name} | {rank:.2f} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
