"""A sample's files: what they hold, and that equal seeds give equal bytes."""

import dataclasses
from pathlib import Path

import anndata as ad
import numpy as np
import pytest

from velocorpus import names
from velocorpus.counting.counts_file import read_counts
from velocorpus.counting.importing.bring_in import bring_in
from velocorpus.errors import UserMistake
from velocorpus.simulate.kinetics import KineticsParameters
from velocorpus.simulate.presets import Preset, SamplePlan, preset
from velocorpus.simulate.products import simulate_sample, write_reference, write_sample
from velocorpus.simulate.truth import read_truth, write_truth

TINY = preset("tiny")


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("simulated")
    for name in ("sim_c_d1", "sim_02_d1"):
        write_sample(TINY, TINY.sample(name), out / name)
    return out


@pytest.mark.parametrize("name", ["sim_c_d1", "sim_02_d1"])
def test_the_same_seed_gives_the_same_bytes(written: Path, tmp_path: Path, name: str) -> None:
    write_sample(TINY, TINY.sample(name), tmp_path / name)
    files = sorted(path.name for path in (written / name).iterdir())
    assert len(files) == 2
    for file in files:
        assert (tmp_path / name / file).read_bytes() == (written / name / file).read_bytes()


def test_counts_and_truth_hold_the_same_molecules_of_the_same_cells(written: Path) -> None:
    counts, truth = read_counts(written / "sim_02_d1/counts.h5ad"), read_truth(written / "sim_02_d1/truth.h5ad")
    assert list(counts.obs_names) == list(truth.obs_names)
    assert list(counts.var_names) == list(truth.var_names)
    for layer in names.LAYERS:
        assert (counts.layers[layer] != truth.layers[layer]).nnz == 0
    assert set(counts.obs["cell_type"]) <= {"trunk_1", "trunk_2", *(f"branch_{b}_{i}" for b in "abc" for i in (1, 2))}


def test_the_truth_has_velocities_that_follow_from_its_own_rates(written: Path) -> None:
    truth = read_truth(written / "sim_02_d1/truth.h5ad")
    beta, gamma, capture = (truth.var[c].to_numpy() for c in ("beta", "gamma", "capture"))
    expected = beta / capture * truth.layers["unspliced_abundance"] - gamma * truth.layers["spliced_abundance"]
    moving = ~truth.obs["stationary"].to_numpy(dtype=bool)
    np.testing.assert_allclose(truth.layers["velocity"][moving], expected[moving], atol=1e-3)
    assert truth.layers["velocity"].dtype == np.float32
    assert truth.X is None
    assert {"pseudotime", "branch", "cell_type", "depth", "sample", "study"} <= set(truth.obs)


def test_the_loom_opens_as_velocytos_do(written: Path) -> None:
    loompy = pytest.importorskip("loompy")
    truth = read_truth(written / "sim_c_d1/truth.h5ad")
    with loompy.connect(str(written / "sim_c_d1/sim_c_d1.loom"), mode="r", validate=True) as loom:
        assert list(loom.ra.Accession) == list(truth.var_names)
        assert list(loom.ra.Gene) == list(truth.var["symbol"])
        assert [cell.removesuffix("x") for cell in loom.ca.CellID] == list(truth.obs_names)
        for layer in names.LAYERS:
            np.testing.assert_array_equal(loom.layers[layer][:, :].T, truth.layers[layer].toarray())


def test_another_seed_gives_other_cells() -> None:
    plan = TINY.sample("sim_01_d1")
    one, two = simulate_sample(TINY, plan), simulate_sample(dataclasses.replace(TINY, seed=2), plan)
    assert one.barcodes != two.barcodes
    assert not np.array_equal(one.cells.spliced, two.cells.spliced)


def test_an_h5ad_that_is_no_truth_is_refused(written: Path, tmp_path: Path) -> None:
    with pytest.raises(UserMistake, match="not a truth file"):
        read_truth(written / "sim_02_d1/counts.h5ad")
    ad.AnnData(np.zeros((2, 2), np.float32)).write_h5ad(tmp_path / "any.h5ad")
    with pytest.raises(UserMistake, match="not a truth file"):
        read_truth(tmp_path / "any.h5ad")


def test_write_truth_takes_the_molecules_that_were_read(tmp_path: Path) -> None:
    sample = simulate_sample(TINY, TINY.sample("sim_01_d1"))
    layers = {layer: matrix * 0 for layer, matrix in sample.molecules.layers.items()}
    write_truth(
        tmp_path / "truth.h5ad",
        sample="s",
        study="t",
        topology="linear",
        barcodes=sample.barcodes,
        cells=sample.cells,
        genes=sample.study.genes,
        layers=layers,
    )
    assert read_truth(tmp_path / "truth.h5ad").layers["spliced"].sum() == 0


def small_reads(product: str) -> tuple[Preset, SamplePlan]:
    few = dataclasses.replace(
        TINY, n_genes=30, n_empty=5, whitelist_size=60, kinetics=KineticsParameters(molecules=(200.0, 300.0))
    )
    return few, dataclasses.replace(TINY.sample("sim_a_d1"), n_cells=12, product=product)


@pytest.mark.parametrize("product", ["fastq", "bam"])
def test_reads_of_the_same_seed_are_the_same_bytes(product: str, tmp_path: Path) -> None:
    for folder in ("one", "two"):
        write_sample(*small_reads(product), tmp_path / folder)
    files = sorted(p.relative_to(tmp_path / "one") for p in (tmp_path / "one").rglob("*") if p.is_file())
    assert {"truth.h5ad", product} <= {path.parts[0] for path in files}
    for file in files:
        assert (tmp_path / "one" / file).read_bytes() == (tmp_path / "two" / file).read_bytes(), file


def test_the_truth_of_reads_is_of_the_drawn_cells_and_close_to_the_drawn_molecules(tmp_path: Path) -> None:
    few, plan = small_reads("bam")
    write_sample(few, plan, tmp_path)
    truth, drawn = read_truth(tmp_path / "truth.h5ad"), simulate_sample(few, plan)
    assert list(truth.obs["barcode"]) == drawn.barcodes
    read = sum(truth.layers[layer].sum() for layer in names.LAYERS)
    assert read == pytest.approx(sum(m.sum() for m in drawn.molecules.layers.values()), rel=0.1)
    assert (truth.obs["n_reads"] > 0).all()


def test_a_reference_made_twice_is_the_same_bytes(tmp_path: Path) -> None:
    few, _ = small_reads("bam")
    for folder in ("one", "two"):
        write_reference(few, tmp_path / folder)
    for file in ("whitelist.txt", *(f"reference/{f}" for f in ("genome.fa.gz", "genes.gtf.gz", "gene_table.tsv"))):
        assert (tmp_path / "one" / file).read_bytes() == (tmp_path / "two" / file).read_bytes(), file


@pytest.mark.parametrize("made", ["sim_c_d1/sim_c_d1.loom", "sim_02_d1/counts.h5ad"])
def test_imported_counts_are_those_of_the_truth_cell_by_cell(written: Path, tmp_path: Path, made: str) -> None:
    sample = made.split("/")[0]
    bring_in(written / made, tmp_path / "counts.h5ad", sample=sample, cell_type="cell_type")
    counts, truth = read_counts(tmp_path / "counts.h5ad"), read_truth(written / sample / "truth.h5ad")
    assert list(counts.obs_names) == list(truth.obs_names)
    assert list(counts.obs["cell_type"]) == list(truth.obs["cell_type"])
    for layer in names.LAYERS:
        assert (counts.layers[layer] != truth.layers[layer]).nnz == 0
