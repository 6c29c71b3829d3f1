"""EmptyDrops: small cells are told from ambient droplets as large as they are, as STARsolo tells them."""

import shutil
import subprocess

import numpy as np
import pytest
from scipy import sparse

from velocorpus.cells.calling import knee
from velocorpus.cells.emptydrops import METHOD, EmptyDrops, ambient_profile, empty_drops, good_turing

BIG, SMALL, AMBIENT = 150, 100, 100
SMALLER = EmptyDrops(n_expected=500, ind_min=2000, ind_max=5000, umi_min=150)


@pytest.fixture(scope="module")
def library():
    """Counts and what each barcode is (3: large cell, 2: small cell, 1: much ambient RNA, 0: empty droplet)."""
    rng = np.random.default_rng(1)
    kinds = rng.dirichlet(np.full(400, 0.05), 4)
    ambient = kinds.mean(axis=0)
    rows = [rng.multinomial(int(rng.lognormal(np.log(5000), 0.3)), 0.9 * kinds[i % 4] + 0.1 * ambient)
            for i in range(BIG)]  # fmt: skip
    rows += [rng.multinomial(int(rng.integers(200, 800)), 0.6 * kinds[i % 4] + 0.4 * ambient) for i in range(SMALL)]
    rows += [rng.multinomial(int(rng.integers(200, 800)), ambient) for _ in range(AMBIENT)]
    rows += [rng.multinomial(rng.poisson(30) + 1, ambient) for _ in range(5000)]
    truth = np.repeat([3, 2, 1, 0], [BIG, SMALL, AMBIENT, 5000])
    shuffled = rng.permutation(len(truth))
    return sparse.csr_matrix(np.array(rows))[shuffled], truth[shuffled]


def test_small_cells_are_rescued_and_ambient_droplets_of_their_size_are_not(library):
    counts, truth = library
    called = empty_drops(counts, SMALLER)
    assert called.method == METHOD
    assert called.is_cell[truth == 3].all()
    assert called.is_cell[truth == 2].mean() > 0.9
    assert called.is_cell[truth <= 1].sum() <= 2
    assert not knee(counts).is_cell[truth == 2].any()


def test_what_was_found_is_told_with_the_parameters(library):
    counts, _ = library
    called = empty_drops(counts, SMALLER)
    assert called.parameters["umi_min"] == 150
    assert called.parameters["simple_cells"] + called.parameters["rescued"] == called.is_cell.sum()


def test_same_seed_same_cells(library):
    counts, _ = library
    assert np.array_equal(empty_drops(counts, SMALLER).is_cell, empty_drops(counts, SMALLER).is_cell)


def test_without_empty_droplets_the_knee_decides_and_says_so(library):
    counts, _ = library
    called = empty_drops(counts)
    assert np.array_equal(called.is_cell, knee(counts).is_cell)
    assert called.method.startswith("knee")
    assert "needs more than 45000 barcodes, here are 5350" in called.method


@pytest.mark.skipif(shutil.which("STAR") is None, reason="STAR is not installed")
def test_starsolo_calls_the_same_cells_of_the_same_raw_matrix(library, tmp_path):
    counts, truth = library
    raw = tmp_path / "raw"
    raw.mkdir()
    barcodes = ["".join("ACGT"[(i >> 2 * k) & 3] for k in range(8)) for i in range(counts.shape[0])]
    (raw / "barcodes.tsv").write_text("".join(f"{barcode}\n" for barcode in barcodes))
    (raw / "features.tsv").write_text("".join(f"G{i}\tG{i}\tGene Expression\n" for i in range(counts.shape[1])))
    cells, genes = counts.nonzero()  # ascending by cell, as STAR wants them
    with (raw / "matrix.mtx").open("w") as out:
        print("%%MatrixMarket matrix coordinate integer general\n%", file=out)
        print(counts.shape[1], counts.shape[0], len(cells), file=out)
        np.savetxt(out, np.stack([genes + 1, cells + 1, np.asarray(counts[cells, genes]).ravel()], axis=1), fmt="%d")
    p = SMALLER
    subprocess.run(
        ["STAR", "--runMode", "soloCellFiltering", raw, f"{tmp_path}/called/", "--outFileNamePrefix", f"{tmp_path}/",
         "--soloCellFilter", "EmptyDrops_CR", *map(str, (p.n_expected, p.max_percentile, p.max_min_ratio, p.ind_min)),
         *map(str, (p.ind_max, p.umi_min, p.umi_min_frac_median, p.cand_max, p.fdr, p.n_sim))],
        check=True, capture_output=True,
    )  # fmt: skip
    theirs = np.isin(barcodes, (tmp_path / "called" / "barcodes.tsv").read_text().split())
    ours = empty_drops(counts, SMALLER).is_cell
    assert theirs[truth == 2].mean() > 0.9
    assert (ours & theirs).sum() >= 0.99 * (ours | theirs).sum()


# Sampson's table of prosody (Empirical Linguistics, 2001): how many species were seen how often.
PROSODY = {
    1: 120, 2: 40, 3: 24, 4: 13, 5: 15, 6: 5, 7: 11, 8: 2, 9: 2, 10: 1, 12: 3, 14: 2, 15: 1, 16: 1, 17: 3, 19: 1, 20: 3,
    21: 2, 23: 3, 24: 3, 25: 3, 26: 2, 27: 2, 28: 1, 31: 2, 32: 2, 33: 1, 34: 2, 36: 2, 41: 3, 43: 1, 45: 3, 46: 1,
    47: 1, 50: 1, 71: 1, 84: 1, 101: 1, 105: 1, 121: 1, 124: 1, 146: 1, 162: 1, 193: 1, 199: 1, 224: 1, 226: 1, 254: 1,
    257: 1, 339: 1, 421: 1, 456: 1, 481: 1, 483: 1, 1140: 1, 1256: 1, 1322: 1, 1530: 1, 2131: 1, 2395: 1, 6925: 1,
    7846: 1,
}  # fmt: skip


def test_good_turing_gives_the_published_estimates():
    values, frequencies = (np.array(list(part)) for part in (PROSODY.keys(), PROSODY.values()))
    each, unseen = good_turing(values, frequencies)
    assert (each * frequencies).sum() + unseen == pytest.approx(1)
    assert unseen == pytest.approx(120 / 30902)
    assert each[0] * 30902 == pytest.approx(0.7628, abs=5e-4)


def test_a_gene_that_no_empty_droplet_has_has_a_probability_and_a_gene_of_no_barcode_has_none():
    counts = sparse.csr_matrix(np.array([[9, 3, 5, 0], [1, 2, 0, 0], [1, 1, 0, 0]]))
    profile = ambient_profile(counts, np.array([1, 2]))
    assert profile.sum() == pytest.approx(1)
    assert profile[3] == 0
    assert 0 <= profile[2] < profile[0] < profile[1]
