"""Velocities for the cells of an AnnData by a fine-tuned decoder: no ODE is fitted.

The study's context is computed on the AnnData's own genes; the vocabulary only gives their embeddings, and genes that
it lacks share the *unknown* embedding. So any gene with counts enough gets a velocity, and each says what it rests on.

Shape suffix legend: N = cells, B = cells of a chunk, G = genes of the AnnData, Q = usable genes.
"""

import json
from dataclasses import dataclass
from typing import Any

import anndata as ad
import numpy as np
import torch
from scipy import sparse

from velocorpus import names
from velocorpus.corpus.reader import CSR, Cells
from velocorpus.counting.raw import check_raw
from velocorpus.data.context import StudyContext, study_context
from velocorpus.errors import UserMistake
from velocorpus.model.pretrained import Pretrained
from velocorpus.model.velocity import VelocityDecoder
from velocorpus.model.zorro import Zorro
from velocorpus.training.studies import LAYERS, encode, take
from velocorpus.velocity.study import cells_in, check_layers, ensembl_ids, vocabulary_warnings

MIN_CELLS = 10
# A gene of more confidence than this takes part in scVelo's graph; 0 = no movement that the decoder is sure of.
MIN_CONFIDENCE = 0.25
GRAPH_NEIGHBOURS = 30
_CHUNK = 128


@dataclass(frozen=True)
class StudyVelocities:
    """Velocities of one study: molecules per cell of median depth and time unit of the targets; NaN if not usable."""

    velocity_NG: np.ndarray  # float32
    std_NG: np.ndarray  # float32
    confidence_G: np.ndarray  # float32 in [0, 1]: share of the predicted mean over mean + variance of the square shape
    confidence_N: np.ndarray  # float32, the same over a cell's usable genes


def load_decoder(model: Pretrained) -> tuple[Zorro, VelocityDecoder]:
    """The encoder and the velocity decoder of a model directory, in evaluation mode."""
    model.expect("velocity")
    encoder = model.encoder()
    decoder = VelocityDecoder(len(model.genes), encoder.config.d_model, mode=model.config["decoder"]["mode"])
    model.load_into(decoder, "decoder")
    return encoder, decoder.eval()


@torch.no_grad()
def study_velocities(
    decoder: VelocityDecoder,
    context: StudyContext,
    memory_NMD: torch.Tensor,
    tokens_G: np.ndarray,
    device: torch.device | str = "cpu",
) -> StudyVelocities:
    """Ask the decoder for every usable gene of a study; `tokens_G` is each column's token, -1 for unknown."""
    n, g = len(context.size_N), len(tokens_G)
    genes_Q = np.flatnonzero(context.usable_G)
    velocity_NG = np.full((n, g), np.nan, np.float32)
    std_NG = np.full((n, g), np.nan, np.float32)
    square_Q, variance_Q, confidence_N = np.zeros(len(genes_Q)), np.zeros(len(genes_Q)), np.zeros(n, np.float32)
    tokens_Q = torch.from_numpy(tokens_G[genes_Q]).to(device)
    statistics_QS = torch.from_numpy(context.statistics(genes_Q)).to(device)
    for start in range(0, n, _CHUNK):
        rows_B = np.arange(start, min(start + _CHUNK, n))
        features = torch.from_numpy(context.features(rows_B, genes_Q)).to(device)
        output = decoder(memory_NMD[start : start + _CHUNK].to(device), tokens_Q, features, statistics_QS)
        unit_Q = output.log_scale_Q.exp().cpu().numpy() * context.scale_G[genes_Q]
        variance_BQ = output.log_variance_BQ.exp().cpu().numpy()
        z_BQ = output.z_BQ.cpu().numpy()
        velocity_NG[np.ix_(rows_B, genes_Q)] = z_BQ * unit_Q
        std_NG[np.ix_(rows_B, genes_Q)] = np.sqrt(variance_BQ) * unit_Q
        square_Q += (z_BQ**2).sum(axis=0)
        variance_Q += variance_BQ.sum(axis=0)
        confidence_N[rows_B] = (z_BQ**2).sum(axis=1) / np.maximum((z_BQ**2 + variance_BQ).sum(axis=1), 1e-12)
    confidence_G = np.zeros(g, np.float32)
    confidence_G[genes_Q] = square_Q / np.maximum(square_Q + variance_Q, 1e-12)
    return StudyVelocities(velocity_NG, std_NG, confidence_G, confidence_N)


def add_velocities(
    adata: ad.AnnData, model: Pretrained, *, study_key: str | None = None, device: torch.device | str = "cpu"
) -> list[str]:
    """Write velocities into `adata` as scVelo and CellRank take them; give the warnings, each one sentence.

    Needs raw integer layers `spliced`, `unspliced`. Each study (`obs[study_key]`; all cells without a key) has a
    context of its own and must have `MIN_CELLS` cells. Written: layers `velocity`, `velocity_std`, `Ms`, `Mu`;
    `var["velocity_genes"]`, `var["velocity_confidence"]`; `obs["velocity_model_confidence"]`; `uns["velocorpus"]`,
    `uns["velocity_params"]`; and a neighbour graph and `X_pca` where there are none.
    """
    encoder, decoder = load_decoder(model)
    tokens_G = model.genes.tokens(ensembl_ids(adata.var))
    check_layers(adata, LAYERS)
    matrices = {layer: _counts(adata, layer) for layer in LAYERS}
    warnings = _vocabulary_warnings(tokens_G, matrices)
    cells = _cells(adata, model, tokens_G)
    names_N = _studies(adata, study_key)
    shape = adata.shape
    out = {layer: np.full(shape, np.nan, np.float32) for layer in ("velocity", "velocity_std", "Ms", "Mu")}
    confidence_G, confidence_N = np.zeros(shape[1], np.float32), np.zeros(shape[0], np.float32)
    states, graph = np.zeros((shape[0], 0)), []
    studies = sorted(set(names_N.tolist()))
    for study in studies:
        rows = np.flatnonzero(names_N == study)
        if len(rows) < MIN_CELLS:
            raise UserMistake(
                f"Study '{study}' has {len(rows)} cells; a study's context needs {MIN_CELLS} or more. Drop it, or "
                "merge it with the study that it belongs to."
            )
        layers = [matrices[layer][rows] for layer in LAYERS]
        context = study_context(*(CSR(m.indptr.astype(np.int64), m.indices, m.data, shape[1]) for m in layers))
        warnings += _range_warnings(study, context, layers, model.config.get("trained_on", {}))
        memory = encode(encoder, take(cells, rows), device=device)
        found = study_velocities(decoder, context, memory, tokens_G, device)
        out["velocity"][rows], out["velocity_std"][rows] = found.velocity_NG, found.std_NG
        for start in range(0, len(rows), _CHUNK):
            part = np.arange(start, min(start + _CHUNK, len(rows)))
            out["Ms"][rows[part]], out["Mu"][rows[part]] = context.moments(part)
        confidence_G += found.confidence_G * len(rows) / shape[0]
        confidence_N[rows] = found.confidence_N
        if not states.shape[1]:
            states = np.zeros((shape[0], context.space.states_NP.shape[1]))
        states[rows] = context.space.states_NP[:, : states.shape[1]]
        graph.append((rows, context))
    adata.layers.update(out)
    fitted_G = np.isfinite(out["velocity"]).all(axis=0)
    adata.var["velocity_genes"] = fitted_G & (confidence_G >= MIN_CONFIDENCE)
    adata.var["velocity_confidence"] = confidence_G
    adata.obs["velocity_model_confidence"] = confidence_N
    adata.uns["velocity_params"] = {"mode": "velocorpus", "fit_offset": False, "perc": [5, 95]}
    adata.uns[names.UNS] = {
        "kind": "velocity",
        "mode": decoder.mode,
        "corpus_digest": str(model.training.get("corpus_digest")),
        "time_unit": str(model.config.get("time_unit", "the targets' own")),
        "genes_outside_vocabulary": int((tokens_G < 0).sum()),
        "warnings": json.dumps(warnings),
    }
    if "neighbors" not in adata.uns:
        _write_graph(adata, graph, states)
    return warnings


def _counts(adata: ad.AnnData, layer: str) -> sparse.csr_matrix:
    matrix = sparse.csr_matrix(adata.layers[layer])
    matrix.sum_duplicates()
    check_raw(matrix.data, f"Layer '{layer}'")
    return matrix.astype(np.int32)


def _cells(adata: ad.AnnData, model: Pretrained, tokens_G: np.ndarray) -> Cells:
    if (tokens_G >= 0).any():
        return cells_in(adata, model.genes, LAYERS)
    import pyarrow as pa

    none = CSR(np.zeros(adata.n_obs + 1, np.int64), np.empty(0, np.int32), np.empty(0, np.int32), len(model.genes))
    return Cells(pa.table({"cell_id": adata.obs_names.astype(str).tolist()}), dict.fromkeys(LAYERS, none))


def _studies(adata: ad.AnnData, study_key: str | None) -> np.ndarray:
    if study_key is None:
        return np.full(adata.n_obs, "all cells", dtype=object)
    if study_key not in adata.obs:
        raise UserMistake(f"obs has no column '{study_key}'; it has {', '.join(adata.obs.columns) or 'none'}.")
    return adata.obs[study_key].astype(str).to_numpy(dtype=object)


def _vocabulary_warnings(tokens_G: np.ndarray, matrices: dict[str, Any]) -> list[str]:
    total = np.stack([np.asarray(m.sum(axis=0), dtype=float).ravel() for m in matrices.values()]).sum(axis=0)
    share = float(total[tokens_G >= 0].sum() / max(total.sum(), 1))
    so = "they share the unknown gene's embedding, and their velocities rest on the study's context alone"
    return vocabulary_warnings(int((tokens_G < 0).sum()), len(tokens_G), share, so)


def _range_warnings(study: str, context: StudyContext, layers: list[Any], trained: dict[str, list[float]]) -> list[str]:
    spliced, unspliced = (float(m.sum()) for m in layers)
    share = unspliced / max(spliced + unspliced, 1)
    found = []
    for name, value, key in (
        ("unspliced share", share, "unspliced_share"),
        ("median depth", context.depth, "depth"),
    ):
        if key in trained and not trained[key][0] / 1.5 <= value <= trained[key][1] * 1.5:
            low, high = trained[key]
            found.append(
                f"Study '{study}': the {name} is {value:.3g}, training had {low:.3g} to {high:.3g}: judge with care."
            )
    if share < 0.02:
        found.append(f"Study '{study}': only {share:.1%} of the molecules are unspliced; directions rest on little.")
    return found


def _write_graph(adata: ad.AnnData, graph: list[tuple[np.ndarray, StudyContext]], states: np.ndarray) -> None:
    """The nearest neighbours within each study in scanpy's form, so that scVelo's graph needs no step before it."""
    rows, columns, values = [], [], []
    for members, context in graph:
        near = context.neighbours_NK[:, 1 : GRAPH_NEIGHBOURS + 1]
        here = context.space.states_NP
        rows.append(np.repeat(members, near.shape[1]))
        columns.append(members[near.ravel()])
        values.append(np.linalg.norm(here[:, None] - here[near], axis=2).ravel())
    parts = (np.concatenate(values) + 1e-9, (np.concatenate(rows), np.concatenate(columns)))
    distances = sparse.csr_matrix(parts, shape=(adata.n_obs, adata.n_obs))
    touching = (distances > 0).astype(np.float64)
    adata.obsp["distances"] = distances
    adata.obsp["connectivities"] = sparse.csr_matrix((touching + touching.T) / 2)
    if "X_pca" not in adata.obsm:
        adata.obsm["X_pca"] = np.ascontiguousarray(states[:, ::-1])  # largest variance first
    adata.uns["neighbors"] = {
        "connectivities_key": "connectivities",
        "distances_key": "distances",
        "params": {
            "n_neighbors": GRAPH_NEIGHBOURS,
            "method": "velocorpus",
            "metric": "euclidean",
            "n_pcs": states.shape[1],
        },
    }
