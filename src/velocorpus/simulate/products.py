"""What a preset makes, each from the seed alone: the reference, and each sample's files beside its truth."""

import hashlib
from dataclasses import asdict, dataclass
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
from scipy import sparse

from velocorpus import names
from velocorpus.counting.counts_file import write_counts
from velocorpus.files import replacing, write_text
from velocorpus.simulate import genes as gene_list
from velocorpus.simulate.counts import Molecules, draw_molecules
from velocorpus.simulate.genome import make_genome
from velocorpus.simulate.kinetics import SimulatedCells, Study, draw_cells, draw_study
from velocorpus.simulate.presets import COUNTS, FASTQ, LOOM, Preset, SamplePlan
from velocorpus.simulate.reads import ReadParameters
from velocorpus.simulate.reference_files import (
    FASTA,
    GENE_TABLE,
    GTF,
    WHITELIST,
    write_fasta,
    write_gene_table,
    write_gtf,
)
from velocorpus.simulate.samples import ReadTruth, Reference, write_bam_sample, write_fastq_sample
from velocorpus.simulate.truth import write_truth
from velocorpus.simulate.whitelist import make_whitelist


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
    text = ":".join((preset.name, str(preset.seed), *purpose))
    return np.random.default_rng(int.from_bytes(hashlib.sha256(text.encode()).digest()[:16], "big"))


def whitelist(preset: Preset) -> list[str]:
    """The barcodes that the preset's chemistry allows, sorted."""
    return make_whitelist(preset.whitelist_size, generator(preset, "whitelist"))


def reference(preset: Preset) -> Reference:
    """The genome of the preset's genes and the barcodes of its chemistry."""
    genome = make_genome(gene_list.choose(preset.n_genes), rng=generator(preset, "genome"))
    return Reference(genome, whitelist(preset))


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


def write_reference(preset: Preset, out: Path | str) -> None:
    """Write `reference/{genome.fa.gz, genes.gtf.gz, gene_table.tsv}` and `whitelist.txt` into `out`."""
    out, made = Path(out), reference(preset)
    with replacing(out / "reference") as folder:
        folder.mkdir()
        write_fasta(folder / FASTA, made.genome)
        write_gtf(folder / GTF, made.genome)
        write_gene_table(folder / GENE_TABLE, made.genome)
    write_text(out / WHITELIST, "".join(f"{barcode}\n" for barcode in made.whitelist))


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
        read = _write_reads(preset, sample, folder)
        layers = read.layers
        obs = obs.assign(n_ambient=read.obs["n_ambient"].to_numpy(), n_reads=read.obs["n_reads"].to_numpy())
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


def _write_reads(preset: Preset, sample: SimulatedSample, folder: Path) -> ReadTruth:
    """Sequence a sample's molecules; the layers that come back are those with a read, as reads can tell them apart."""
    rng = generator(preset, "reads", sample.plan.name)
    parameters = ReadParameters(empty_droplets=preset.n_empty)
    layers, barcodes = sample.molecules.layers, sample.barcodes
    if sample.plan.product == FASTQ:
        with replacing(folder / "fastq") as aside:
            return write_fastq_sample(
                aside,
                reference(preset),
                layers,
                sample=sample.plan.name,
                rng=rng,
                barcodes=barcodes,
                parameters=parameters,
            )
    with replacing(folder / "bam") as aside:
        return write_bam_sample(aside, reference(preset), layers, rng=rng, barcodes=barcodes, parameters=parameters)


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
