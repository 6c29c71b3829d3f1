"""velocyto itself and our own counter, run on a simulated BAM, count what the simulator says that they count."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from scipy import sparse

from velocorpus import names
from velocorpus.counting.count import count_bam
from velocorpus.counting.velocyto import NOTHING_COMPILED
from velocorpus.reference.gtf import read_gtf
from velocorpus.simulate.bam import BAM
from velocorpus.simulate.genes import choose
from velocorpus.simulate.genome import Genome
from velocorpus.simulate.reference_files import write_gtf
from velocorpus.simulate.samples import ReadTruth, Reference, make_reference, write_bam_sample

VELOCYTO = Path(sys.executable).with_name("velocyto")


def genes_of_last_features(genome: Genome) -> set[int]:
    """Genes with an exon that no later feature of its chromosome and strand follows: velocyto never tests it."""
    last: dict[tuple[str, int], tuple[int, int, int]] = {}
    for t, g in enumerate(genome.tx_gene):
        gene = genome.genes.iloc[g]
        for e in range(genome.exon_ptr[t], genome.exon_ptr[t + 1]):
            side = (str(gene["chromosome"]), int(gene["strand"]))
            last[side] = max(last.get(side, (-1, 0, 0)), (int(genome.exon_start[e]), int(genome.exon_end[e]), int(g)))
    return {g for _, _, g in last.values()}


def simulated(folder: Path) -> tuple[Reference, ReadTruth]:
    rng = np.random.default_rng(1)
    reference = make_reference(choose(60), rng=rng, n_barcodes=500)
    layers = {
        layer: sparse.csr_matrix(rng.poisson(mean, (15, 60)))
        for layer, mean in {names.SPLICED: 3.0, names.UNSPLICED: 2.0, names.AMBIGUOUS: 0.5}.items()
    }
    truth = write_bam_sample(folder, reference, layers, rng=rng)
    write_gtf(folder / "genes.gtf", reference.genome)
    return reference, truth


def test_our_counter_counts_what_the_labels_say_for_every_gene(tmp_path: Path) -> None:
    reference, truth = simulated(tmp_path)
    counted = count_bam(tmp_path / BAM, read_gtf(tmp_path / "genes.gtf"), truth.barcodes)
    cells = [truth.barcodes.index(b.removesuffix("-1")) for b in counted.barcodes]
    genes = reference.genome.genes.index.get_indexer(counted.genes.index)
    for layer, expected in truth.reads.layers(exact=True).items():
        np.testing.assert_array_equal(counted.layers[layer].toarray(), expected.toarray()[cells][:, genes])


@pytest.mark.slow
@pytest.mark.skipif(not VELOCYTO.exists(), reason="velocyto is not installed")
def test_velocyto_counts_what_the_labels_say_but_for_the_last_gene_of_each_strand(tmp_path: Path) -> None:
    loompy = pytest.importorskip("loompy")
    reference, truth = simulated(tmp_path)
    command = [VELOCYTO, "run", "-b", "barcodes.tsv", "-o", "out", "-e", "s", BAM, "genes.gtf"]
    subprocess.run(command, cwd=tmp_path, check=True, capture_output=True, env={**os.environ, **NOTHING_COMPILED})

    with loompy.connect(str(tmp_path / "out/s.loom"), "r", validate=False) as loom:
        genes = reference.genome.genes.index.get_indexer(loom.ra.Accession)
        cells = [truth.barcodes.index(c.split(":")[1][:16]) for c in loom.ca.CellID]
        counted = {layer: loom.layers[layer][:, :].T for layer in names.LAYERS}
    known = ~np.isin(genes, list(genes_of_last_features(reference.genome)))
    for layer, expected in truth.reads.layers(exact=True).items():
        np.testing.assert_array_equal(counted[layer][:, known], expected.toarray()[cells][:, genes[known]])
