"""One sample of a preset, from its seed to its files."""

import hashlib
from dataclasses import asdict, dataclass
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
from scipy import sparse

from velocorpus import names
from velocorpus.counting.counts_file import write_counts
from velocorpus.files import replacing
from velocorpus.simulate import genes as gene_list
from velocorpus.simulate.counts import Molecules, draw_barcodes, draw_molecules
from velocorpus.simulate.kinetics import SimulatedCells, Study, draw_cells, draw_study
from velocorpus.simulate.presets import COUNTS, LOOM, Preset, SamplePlan
from velocorpus.simulate.truth import write_truth


@dataclass(frozen=True)
class SimulatedSample:
    """A sample before anything is sequenced: its study, cells, barcodes and molecules."""

    plan: SamplePlan
    study: Study
    cells: SimulatedCells
    barcodes: list[str]
    molecules: Molecules


def generator(preset: Preset, *purpose: str) -> np.random.Generator:
    """A generator for each purpose, so that a sample made alone equals the same sample made with all."""
    text = f"{preset.seed}:" + ":".join(purpose)
    return np.random.default_rng(int.from_bytes(hashlib.sha256(text.encode()).digest()[:16], "big"))


def whitelist(preset: Preset) -> list[str]:
    """The barcodes that the preset's chemistry allows, sorted."""
    return sorted(draw_barcodes(preset.whitelist_size, generator(preset, "whitelist")))


def simulate_sample(preset: Preset, plan: SamplePlan) -> SimulatedSample:
    """Draw a sample; samples of one study share its programs and rates, not cells or batch."""
    study = draw_study(
        gene_list.choose(preset.n_genes),
        plan.topology,
        preset.kinetics,
        generator(preset, "study", plan.study),
    )
    rng = generator(preset, "sample", plan.name)
    cells = draw_cells(study, plan.n_cells, preset.kinetics, rng)
    molecules = draw_molecules(cells, study.genes["ambiguous_share"].to_numpy(), preset.counts, rng)
    barcodes = [str(b) for b in rng.choice(whitelist(preset), plan.n_cells, replace=False)]
    return SimulatedSample(plan, study, cells, barcodes, molecules)


def write_sample(preset: Preset, plan: SamplePlan, folder: Path | str) -> None:
    """Write one sample's files and its `truth.h5ad` into `folder`."""
    folder = Path(folder)
    sample = simulate_sample(preset, plan)
    layers: dict[str, sparse.csr_matrix] = sample.molecules.layers
    obs = pd.DataFrame({"depth": sample.molecules.depth})
    if plan.product == COUNTS:
        write_counts(
            folder / "counts.h5ad",
            layers=layers,
            sample=plan.name,
            barcodes=sample.barcodes,
            genes=sample.study.genes[[names.SYMBOL]],
            source={"quantifier": "simulate", "preset": preset.name, "preset_digest": preset.digest()},
            obs=sample.cells.obs[[names.CELL_TYPE]],
        )
    elif plan.product == LOOM:
        write_loom(folder / f"{plan.name}.loom", sample)
    else:
        from velocorpus.simulate.sequencing import sequence

        layers = sequence(preset, sample, folder)
    write_truth(
        folder / "truth.h5ad",
        sample=plan.name,
        study=plan.study,
        topology=plan.topology,
        barcodes=sample.barcodes,
        cells=sample.cells,
        genes=sample.study.genes.assign(batch=sample.molecules.batch),
        layers=layers,
        obs=obs,
        settings={"preset": preset.name, "preset_digest": preset.digest(), "plan": asdict(plan)},
    )


def write_loom(path: Path | str, sample: SimulatedSample) -> None:
    """Write a loom file as velocyto does: genes × cells, layers uint32, CellID `{sample}:{barcode}x`.

    By h5py and not by loompy, which stamps the time of writing into the file.
    """
    text = h5py.string_dtype("utf-8")
    genes, layers = sample.study.genes, sample.molecules.layers
    rows = {"Gene": genes[names.SYMBOL].to_numpy(), "Accession": genes.index.to_numpy()}
    cells = {
        "CellID": [f"{sample.plan.name}:{barcode}x" for barcode in sample.barcodes],
        names.CELL_TYPE: sample.cells.obs[names.CELL_TYPE].to_numpy(),
    }
    total = sum(layers[layer] for layer in names.LAYERS)
    with replacing(path) as aside, h5py.File(aside, "w") as loom:
        loom.create_dataset("attrs/LOOM_SPEC_VERSION", data="3.0.0", dtype=text)
        loom.create_dataset("matrix", data=total.toarray().T.astype(np.float32), compression="gzip")
        for layer in names.LAYERS:
            dense = layers[layer].toarray().T.astype(np.uint32)
            loom.create_dataset(f"layers/{layer}", data=dense, compression="gzip")
        for group, columns in (("row_attrs", rows), ("col_attrs", cells)):
            for name, values in columns.items():
                loom.create_dataset(f"{group}/{name}", data=list(values), dtype=text)
        for group in ("row_graphs", "col_graphs"):
            loom.create_group(group)
