"""scVI as a row of `velocorpus evaluate encoder`, and its rows judged by scib-metrics. Imports nothing of velocorpus.

python encoder_peers.py scvi --train train.h5ad --judge test.h5ad --out scvi.h5ad
python encoder_peers.py scib --cells representations.h5ad --out scib.json

Both read cells as `velocorpus corpus export` and `--representations-out` write them, in an environment of their own
(pip install scvi-tools scib-metrics). scVI is fitted on the training studies alone; the study enters its decoder, or
nothing with --no-batch, and never its encoder, so that cells of a study never seen are read like any other.
"""

import argparse
import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import anndata as ad
import numpy as np
import pandas as pd
from scipy import sparse

INPUTS = {"spliced": ("spliced",), "both": ("spliced", "unspliced")}  # side by side, as genes
STUDY, CELL_TYPE = "study", "cell_type"
NEIGHBOURS = {"lisi": 90, "kbet": 50, "graph": 15}  # as scib-metrics' own Benchmarker asks


def beside(cells: ad.AnnData, layers: Sequence[str]) -> ad.AnnData:
    """Raw counts of some layers as further genes, with the study; dense, which scVI's loader reads faster."""
    counts: Any = sparse.hstack([cells.layers[layer] for layer in layers], format="csr", dtype=np.float32)
    return ad.AnnData(counts.toarray(), obs=cells.obs[[STUDY]].astype(str))


def fit(train: ad.AnnData, judge: ad.AnnData, args: argparse.Namespace) -> tuple[np.ndarray, dict[str, Any]]:
    """Latent means of the cells `judge` by scVI fitted on `train`, and how the fit went."""
    import scvi

    scvi.settings.seed = args.seed
    scvi.model.SCVI.setup_anndata(train, batch_key=None if args.no_batch else STUDY)
    model = scvi.model.SCVI(
        train, n_latent=args.n_latent, n_layers=args.n_layers, n_hidden=args.n_hidden, gene_likelihood=args.likelihood
    )
    started = time.monotonic()
    model.train(
        max_epochs=args.epochs,
        accelerator="cpu",
        batch_size=args.batch_cells,
        early_stopping=True,
        early_stopping_patience=10,  # epochs
        plan_kwargs={"n_epochs_kl_warmup": args.kl_warmup},
        enable_progress_bar=False,
    )
    seconds = time.monotonic() - started
    judge.obs[STUDY] = train.obs[STUDY].iloc[0]  # must be one that it knows; its encoder does not read it
    latent_ND = model.get_latent_representation(judge)
    return latent_ND, {
        "epochs": len(model.history["elbo_train"]),
        "seconds": round(seconds),
        "elbo_validation": float(model.history["elbo_validation"].iloc[-1, 0]),
        "latent_dimensions_in_use": int((latent_ND.std(axis=0) > 0.1).sum()),
    }


def scvi_rows(args: argparse.Namespace) -> None:
    """Write the latent space of each of `INPUTS` as obsm."""
    train, judge = ad.read_h5ad(args.train), ad.read_h5ad(args.judge)
    out = ad.AnnData(obs=judge.obs[[STUDY]])
    for name in args.inputs:
        latent_ND, how = fit(beside(train, INPUTS[name]), beside(judge, INPUTS[name]), args)
        print(name, how, flush=True)
        out.obsm[name] = latent_ND
        out.write_h5ad(args.out)


def neighbours(x_ND: np.ndarray, seed: int) -> Any:
    """As many as any figure asks, but no more than a third of the cells."""
    from scib_metrics.nearest_neighbors import pynndescent

    return pynndescent(x_ND, n_neighbors=min(max(NEIGHBOURS.values()), len(x_ND) // 3), random_state=seed, n_jobs=1)


def nearest(near: Any, figure: str) -> Any:
    """Those of one figure."""
    return near.subset_neighbors(n=min(NEIGHBOURS[figure], near.n_neighbors))


def mixed(x_ND: np.ndarray, studies_N: np.ndarray, labels_N: np.ndarray | None, seed: int) -> dict[str, float]:
    """How the studies mix, 0 to 1; kBET within each label where labels mean the same in all studies."""
    import scib_metrics as scib

    near = neighbours(x_ND, seed)
    kbet = nearest(near, "kbet")
    accepted = scib.kbet(kbet, studies_N)[0] if labels_N is None else scib.kbet_per_label(kbet, studies_N, labels_N)
    return {"iLISI": scib.ilisi_knn(nearest(near, "lisi"), studies_N), "kBET": accepted}


def kept(x_ND: np.ndarray, labels_N: np.ndarray, seed: int) -> dict[str, float]:
    """How cells of one label stay together, 0 to 1."""
    import scib_metrics as scib

    near = neighbours(x_ND, seed)
    return {
        "graph connectivity": scib.graph_connectivity(nearest(near, "graph"), labels_N),
        "cLISI": scib.clisi_knn(nearest(near, "lisi"), labels_N),
        "NMI, k-means": scib.nmi_ari_cluster_labels_kmeans(x_ND, labels_N)["nmi"],
    }


def scib_rows(args: argparse.Namespace) -> None:
    """Judge arrays of obsm: mixing over all cells, labels within each study (mean) unless studies share them."""
    cells = ad.read_h5ad(args.cells)
    cells = cells[cells.obs[CELL_TYPE].notna().to_numpy()]
    studies_N, labels_N = (cells.obs[column].astype(str).to_numpy(dtype=str) for column in (STUDY, CELL_TYPE))
    groups = (
        [np.ones(len(cells), bool)] if args.shared_labels else [studies_N == study for study in sorted(set(studies_N))]
    )
    rows: dict[str, dict[str, float]] = {}
    for name in args.rows or cells.obsm:
        x_ND = np.ascontiguousarray(cells.obsm[name], np.float32)
        several = len(set(studies_N)) > 1
        row = mixed(x_ND, studies_N, labels_N if args.shared_labels else None, args.seed) if several else {}
        row |= pd.DataFrame([kept(x_ND[group_N], labels_N[group_N], args.seed) for group_N in groups]).mean().to_dict()
        rows[name] = {figure: round(float(value), 4) for figure, value in row.items()}
        args.out.write_text(json.dumps(rows, indent=1) + "\n")
        print(name, rows[name], flush=True)


def main() -> None:
    """Run one of the two."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=0)
    parts = parser.add_subparsers(required=True)
    scvi = parts.add_parser("scvi")
    scvi.set_defaults(run=scvi_rows)
    for name in ("--train", "--judge", "--out"):
        scvi.add_argument(name, type=Path, required=True)
    scvi.add_argument("--inputs", nargs="+", choices=INPUTS, default=list(INPUTS))
    scvi.add_argument("--n-latent", type=int, default=64)
    scvi.add_argument("--n-layers", type=int, default=1)
    scvi.add_argument("--n-hidden", type=int, default=128)
    scvi.add_argument("--likelihood", default="zinb")
    scvi.add_argument("--epochs", type=int, default=100)
    scvi.add_argument("--batch-cells", type=int, default=128)
    scvi.add_argument("--kl-warmup", type=int, default=400, help="epochs until the prior has its full weight")
    scvi.add_argument("--no-batch", action="store_true")
    scib = parts.add_parser("scib")
    scib.set_defaults(run=scib_rows)
    scib.add_argument("--cells", type=Path, required=True)
    scib.add_argument("--out", type=Path, required=True)
    scib.add_argument("--rows", nargs="+", help="these arrays of obsm alone")
    scib.add_argument("--shared-labels", action="store_true")
    args = parser.parse_args()
    args.run(args)


if __name__ == "__main__":
    main()
