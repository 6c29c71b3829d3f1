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


def scib_row(
    x_ND: np.ndarray, studies_N: np.ndarray, labels_N: np.ndarray, args: argparse.Namespace
) -> dict[str, float]:
    """Figures of scib-metrics for one representation, each 0 to 1, higher meaning mixed better or kept better."""
    import scib_metrics as scib
    from scib_metrics.nearest_neighbors import pynndescent

    near = pynndescent(x_ND, n_neighbors=max(NEIGHBOURS.values()), random_state=args.seed, n_jobs=1)
    lisi, kbet, graph = (near.subset_neighbors(n=NEIGHBOURS[name]) for name in ("lisi", "kbet", "graph"))
    row = {}
    if len(set(studies_N)) > 1:
        row["iLISI"] = scib.ilisi_knn(lisi, studies_N)
        row["kBET"] = (
            scib.kbet_per_label(kbet, studies_N, labels_N) if args.shared_labels else scib.kbet(kbet, studies_N)[0]
        )
    row["graph connectivity"] = scib.graph_connectivity(graph, labels_N)
    row["cLISI"] = scib.clisi_knn(lisi, labels_N)
    row["NMI, k-means"] = scib.nmi_ari_cluster_labels_kmeans(x_ND, labels_N)["nmi"]
    return {name: float(value) for name, value in row.items()}


def scib_rows(args: argparse.Namespace) -> None:
    """Judge every array of obsm; labels are of one study each unless they mean the same in all."""
    cells = ad.read_h5ad(args.cells)
    cells = cells[cells.obs[CELL_TYPE].notna().to_numpy()]
    studies_N, labels_N = cells.obs[STUDY].astype(str).to_numpy(), cells.obs[CELL_TYPE].astype(str).to_numpy()
    if not args.shared_labels:
        labels_N = np.char.add(np.char.add(studies_N.astype(str), ": "), labels_N.astype(str))
    rows = {}
    for name in cells.obsm:
        rows[name] = scib_row(np.ascontiguousarray(cells.obsm[name], np.float32), studies_N, labels_N, args)
        args.out.write_text(json.dumps(rows, indent=1) + "\n")
    print(pd.DataFrame(rows).T.round(3).to_string())


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
    scib.add_argument("--shared-labels", action="store_true")
    args = parser.parse_args()
    args.run(args)


if __name__ == "__main__":
    main()
