"""Targets of the velocity decoder, one `targets.h5ad` per study: from the simulated truth, or from scVelo.

obs = cell ids, var = gene ids, `layers["velocity"]` float32 with NaN where a gene was not fitted (never 0),
`var["confidence"]` in [0, 1]: 1 for the truth, for scVelo the gene's fit (likelihood of the dynamical model, r² of
the others) and 0 where scVelo itself does not take the gene for a velocity gene. Units: captured molecules per hour
(truth), or scVelo's own, whose time scale is arbitrary in each gene.
"""

import sys
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import anndata as ad
import numpy as np
import pandas as pd
from scipy import sparse

from velocorpus import names
from velocorpus.counting.anndata_file import read_anndata
from velocorpus.counting.counts_file import read_counts
from velocorpus.data.targets import StudyTargets
from velocorpus.errors import UserMistake
from velocorpus.files import replacing
from velocorpus.outcomes.outcome import counts_of, read_outcome
from velocorpus.simulate.truth import read_truth

TRUTH = "truth"
SCVELO_MODES = {
    "scvelo_steady_state": "deterministic",
    "scvelo_stochastic": "stochastic",
    "scvelo_dynamical": "dynamical",
}
MIN_CELLS = 30
MIN_SHARED_COUNTS = 20
SCVELO_MIN_R2 = 0.01  # scVelo's own threshold for a velocity gene


def read_study(paths: Sequence[Path | str]) -> ad.AnnData:
    """The samples of one study as one AnnData over the union of their genes; a gene a sample lacks counts 0 there.

    A path is a `counts.h5ad` or a sample's `outcome.json`; refused samples are left out, and said. Without any sample
    left the study is empty.
    """
    parts = []
    for path in map(Path, paths):
        if path.suffix == ".json":
            outcome = read_outcome(path)
            if outcome.state != "ok":
                print(f"targets: sample {outcome.sample} was refused and is left out", file=sys.stderr)
                continue
            path = counts_of(path)
        parts.append(read_counts(path))
    if not parts:
        empty = sparse.csr_matrix((0, 0), dtype=np.int32)
        return ad.AnnData(layers={names.SPLICED: empty, names.UNSPLICED: empty}, shape=(0, 0))
    study = parts[0] if len(parts) == 1 else ad.concat(parts, join="outer", fill_value=0)
    if not study.obs_names.is_unique:
        twice = study.obs_names[study.obs_names.duplicated()][0]
        raise UserMistake(f"Cell {twice} stands in two of {', '.join(map(str, paths))}; name each file once.")
    return study


def scvelo_velocities(
    study: ad.AnnData,
    kind: str,
    *,
    n_top_genes: int | None = None,
    n_neighbours: int = 30,
    n_pcs: int = 30,
    threads: int = 1,
) -> StudyTargets:
    """Run scVelo on raw layers: filter, normalise, log, PCA, neighbours, moments, fit, velocity.

    `kind` is a key of `SCVELO_MODES`. With `n_top_genes`, only the most variable genes are fitted. A study with fewer
    than `MIN_CELLS` cells or 2 genes of `MIN_SHARED_COUNTS` shared counts gets no velocity (all NaN), and says so.
    """
    velocity = np.full(study.shape, np.nan, np.float32)
    confidence = np.zeros(study.n_vars, np.float32)
    fitted = fit_scvelo(study, kind, n_top_genes=n_top_genes, n_neighbours=n_neighbours, n_pcs=n_pcs, threads=threads)
    if fitted is not None:
        at = study.var_names.get_indexer(fitted.var_names)
        velocity[:, at] = np.asarray(fitted.layers["velocity"], np.float32)
        column = "fit_likelihood" if kind == "scvelo_dynamical" else "velocity_r2"
        fit = np.nan_to_num(fitted.var[column].to_numpy(float)).clip(0, 1)
        confidence[at] = np.where(fitted.var["velocity_genes"].to_numpy(bool), fit, 0)
        confidence[at[np.isnan(velocity[:, at]).any(axis=0)]] = 0
    return StudyTargets(kind, list(study.obs_names), list(study.var_names), velocity, confidence)


def true_velocities(paths: Sequence[Path | str]) -> StudyTargets:
    """The simulated truth of a study's samples; their genes must be the same."""
    parts = [read_truth(path) for path in paths]
    for path, part in zip(paths, parts, strict=True):
        if not part.var_names.equals(parts[0].var_names):
            raise UserMistake(f"{path} has other genes than {paths[0]}; give truths of one study.")
    cells = [cell for part in parts for cell in part.obs_names]
    if len(set(cells)) < len(cells):
        raise UserMistake(f"A cell stands in two of {', '.join(map(str, paths))}; name each file once.")
    velocity = np.concatenate([_array(part.layers[names.VELOCITY]) for part in parts]).astype(np.float32)
    return StudyTargets(TRUTH, cells, list(parts[0].var_names), velocity, np.ones(velocity.shape[1], np.float32))


def write_targets(path: Path | str, targets: StudyTargets) -> None:
    """Write `targets.h5ad`."""
    adata = ad.AnnData(
        obs=pd.DataFrame(index=pd.Index(targets.cells, dtype=object)),
        var=pd.DataFrame(
            {"confidence": targets.confidence_G},
            index=pd.Index(targets.genes, dtype=object, name=names.GENE_ID),
        ),
        layers={names.VELOCITY: targets.velocity_NG},
        uns={names.UNS: {"kind": targets.kind}},
    )
    with replacing(path) as aside:
        adata.write_h5ad(aside, compression="gzip")


def read_targets(path: Path | str) -> StudyTargets:
    """Read `targets.h5ad`."""
    adata = read_anndata(path, "targets file")
    if names.VELOCITY not in adata.layers or "confidence" not in adata.var:
        raise UserMistake(f"{path} has no layer 'velocity' and column 'confidence'; make it by `targets`.")
    return StudyTargets(
        str(adata.uns.get(names.UNS, {}).get("kind", "unknown")),
        list(adata.obs_names),
        list(adata.var_names),
        _array(adata.layers[names.VELOCITY]).astype(np.float32),
        adata.var["confidence"].to_numpy(np.float32),
    )


def fit_scvelo(
    study: ad.AnnData,
    kind: str,
    *,
    n_top_genes: int | None = None,
    n_neighbours: int = 30,
    n_pcs: int = 30,
    threads: int = 1,
) -> ad.AnnData | None:
    """The study after scVelo's recipe, on the genes that it fits (layers `velocity`, `Ms`, `Mu`); None if too small."""
    if kind not in SCVELO_MODES:
        raise UserMistake(f"There is no teacher '{kind}'; there are {TRUTH}, {', '.join(SCVELO_MODES)}.")
    mode = SCVELO_MODES[kind]
    import scanpy as sc

    adata = ad.AnnData(
        sparse.csr_matrix(study.layers[names.SPLICED], dtype=np.float32),
        obs=study.obs[[]].copy(),
        var=study.var[[]].copy(),
        layers={
            layer: sparse.csr_matrix(study.layers[layer], dtype=np.float32)
            for layer in (names.SPLICED, names.UNSPLICED)
        },
    )
    s, u = adata.layers[names.SPLICED], adata.layers[names.UNSPLICED]
    shared = np.asarray((s.multiply(u > 0) + u.multiply(s > 0)).sum(axis=0)).ravel()
    usable = int((shared >= MIN_SHARED_COUNTS).sum())
    if adata.n_obs < MIN_CELLS or usable < 2:
        print(
            f"targets: {adata.n_obs} cells and {usable} genes with {MIN_SHARED_COUNTS} shared counts are too few for "
            f"scVelo (it needs {MIN_CELLS} and 2): no velocity is written.",
            file=sys.stderr,
        )
        return None
    with quiet_scvelo() as scv:
        scv.pp.filter_and_normalize(adata, min_shared_counts=MIN_SHARED_COUNTS)
        sc.pp.log1p(adata)
        if n_top_genes is not None and n_top_genes < adata.n_vars:
            sc.pp.highly_variable_genes(adata, n_top_genes=n_top_genes, subset=True)
        sc.pp.pca(adata, n_comps=min(n_pcs, adata.n_vars - 1, adata.n_obs - 1), svd_solver="arpack")
        sc.pp.neighbors(adata, n_neighbors=min(n_neighbours, adata.n_obs - 1))
        scv.pp.moments(adata, n_pcs=None, n_neighbors=None)
        scv.tl.velocity(adata, mode="deterministic")
        _restore_velocity_genes(adata)
        if (n_fitted := int(adata.var["velocity_genes"].sum())) < 2:
            # With a single gene its stochastic mode ends in numpy's words about shapes.
            print(f"targets: scVelo fits {n_fitted} genes of {adata.n_vars}: no velocity is written.", file=sys.stderr)
            return None
        if mode == "dynamical":
            scv.tl.recover_dynamics(adata, var_names="all", n_jobs=threads, show_progress_bar=False)
        if mode != "deterministic":
            scv.tl.velocity(adata, mode=mode)
            _restore_velocity_genes(adata)
    return adata


def _restore_velocity_genes(adata: ad.AnnData) -> None:
    """scVelo leaves out a column whose values are all equal (`write_pars`): then every gene fits, or none does."""
    if "velocity_genes" not in adata.var:
        r2 = adata.var["velocity_r2"].to_numpy(float) if "velocity_r2" in adata.var else np.zeros(adata.n_vars)
        adata.var["velocity_genes"] = bool((r2 > SCVELO_MIN_R2).all())


@contextmanager
def quiet_scvelo() -> Iterator[Any]:
    """scVelo, quiet: what it warns of are its own calls of deprecated functions of anndata, pandas and scanpy."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import scvelo as scv

    # Recorded, not only filtered: scVelo itself switches DeprecationWarning on again while it runs.
    with warnings.catch_warnings(record=True) as caught:
        for category in (DeprecationWarning, FutureWarning, PendingDeprecationWarning):
            warnings.simplefilter("ignore", category)
        warnings.filterwarnings("ignore", module=r"(scvelo|scanpy|umap|numba|sklearn|anndata)\b")
        verbosity, scv.settings.verbosity = scv.settings.verbosity, 0
        try:
            yield scv
        finally:
            scv.settings.verbosity = verbosity
    for warning in caught:
        if "site-packages" not in warning.filename:
            warnings.warn_explicit(warning.message, warning.category, warning.filename, warning.lineno)


def _array(matrix: Any) -> np.ndarray:
    return matrix.toarray() if sparse.issparse(matrix) else np.asarray(matrix)
