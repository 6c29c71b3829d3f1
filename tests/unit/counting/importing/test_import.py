"""Counts of other tools, made in their own layouts, come back as our three layers."""

import gzip

import anndata as ad
import numpy as np
import pandas as pd
import pytest
from scipy import sparse
from scipy.io import mmwrite

from velocorpus.cells.calling import Called, knee
from velocorpus.counting.counts_file import read_counts, write_counts
from velocorpus.counting.importing.bring_in import bring_in
from velocorpus.counting.importing.imported import bare_barcodes
from velocorpus.errors import UserMistake

BARCODES = ["AAAACCCCGGGG", "CCCCGGGGTTTT", "GGGGTTTTAAAA"]
GENES = ["ENSG00000000003", "ENSG00000000005", "ENSG00000000419", "ENSG00000000457"]
SYMBOLS = ["TSPAN6", "TNMD", "DPM1", "SCYL3"]
LAYERS = {
    layer: np.random.default_rng(i).poisson(2, (3, 4)) for i, layer in enumerate(("spliced", "unspliced", "ambiguous"))
}


@pytest.fixture
def bring(tmp_path):
    def run(path, **options):
        out = tmp_path / "counts.h5ad"
        said = bring_in(path, out, sample="s1", **options)
        return read_counts(out), said

    return run


def assert_layers(adata, expected):
    for layer, matrix in expected.items():
        assert np.array_equal(adata.layers[layer].toarray(), matrix), layer


def write_lines(path, lines):
    path.write_text("".join(f"{line}\n" for line in lines))


def h5ad(tmp_path, obs_names=BARCODES, var_names=GENES, layers=LAYERS, **obs):
    adata = ad.AnnData(
        X=np.full((3, 4), 0.5, dtype=np.float32),
        obs=pd.DataFrame(obs, index=pd.Index(obs_names, dtype=object)),
        var=pd.DataFrame(index=pd.Index(var_names, dtype=object)),
    )
    for layer, matrix in layers.items():
        adata.layers[layer] = sparse.csr_matrix(matrix)
    adata.write_h5ad(tmp_path / "in.h5ad")
    return tmp_path / "in.h5ad"


def kb_folder(tmp_path):
    folder = tmp_path / "kb" / "counts_unfiltered"
    folder.mkdir(parents=True)
    for theirs, ours in (("mature", "spliced"), ("nascent", "unspliced"), ("ambiguous", "ambiguous")):
        mmwrite(folder / f"cells_x_genes.{theirs}.mtx", sparse.coo_matrix(LAYERS[ours]))
    write_lines(folder / "cells_x_genes.barcodes.txt", BARCODES)
    write_lines(folder / "cells_x_genes.genes.txt", [f"{gene}.7" for gene in GENES])
    write_lines(folder / "cells_x_genes.genes.names.txt", SYMBOLS)
    return folder


def starsolo_folder(tmp_path, kind="raw"):
    folder = tmp_path / "Solo.out" / "Velocyto" / kind
    folder.mkdir(parents=True)
    write_lines(folder / "barcodes.tsv", BARCODES)
    rows = zip(GENES, SYMBOLS, strict=True)
    write_lines(folder / "features.tsv", [f"{g}\t{s}\tGene Expression" for g, s in rows])
    return folder


def table(tmp_path, rows):
    path = tmp_path / "features.tsv.gz"
    path.write_bytes(gzip.compress("".join(f"{g}\t{s}\tGene Expression\n" for g, s in rows).encode()))
    return path


def test_velocyto_loom_loses_its_sample_and_suffix(tmp_path, bring):
    import loompy

    path = tmp_path / "in.loom"
    loompy.create(
        str(path),
        {"": LAYERS["spliced"].T, **{layer: matrix.T for layer, matrix in LAYERS.items()}},
        {"Accession": np.array(GENES), "Gene": np.array(SYMBOLS)},
        {"CellID": np.array([f"run7:{barcode}x" for barcode in BARCODES])},
    )
    adata, _ = bring(path)
    assert_layers(adata, LAYERS)
    assert list(adata.obs_names) == [f"s1:{barcode}" for barcode in BARCODES]
    assert adata.var["symbol"].tolist() == SYMBOLS


def test_h5ad_layers_are_taken_and_x_is_not(tmp_path, bring):
    adata, _ = bring(h5ad(tmp_path))
    assert_layers(adata, LAYERS)
    assert np.array_equal(adata.X.toarray(), LAYERS["spliced"])


def test_our_own_counts_come_back_with_the_new_samples_name(tmp_path, bring):
    genes = pd.DataFrame({"symbol": SYMBOLS}, index=GENES)
    write_counts(tmp_path / "in.h5ad", layers=LAYERS, sample="other", barcodes=BARCODES, genes=genes, source={})
    adata, _ = bring(tmp_path / "in.h5ad")
    assert list(adata.obs_names) == [f"s1:{barcode}" for barcode in BARCODES]
    assert adata.uns["velocorpus"]["ambiguous_present"]


def test_our_own_counts_keep_who_made_them_and_that_they_have_no_ambiguous_layer(tmp_path, bring):
    bring(kb_folder(tmp_path), caller=lambda counts: Called(np.array([True, True, False]), 1, "by hand"))
    (tmp_path / "counts.h5ad").rename(tmp_path / "in.h5ad")
    meta = bring(tmp_path / "in.h5ad")[0].uns["velocorpus"]
    assert not meta["ambiguous_present"]
    assert meta["source"]["quantifier"] == "kb"
    assert meta["source"]["cells"]["method"] == "by hand"


def test_cell_types_are_kept_on_request(tmp_path, bring):
    path = h5ad(tmp_path, clusters=["Alpha", "Beta", "Alpha"])
    adata, _ = bring(path, cell_type="clusters")
    assert adata.obs["cell_type"].tolist() == ["Alpha", "Beta", "Alpha"]
    with pytest.raises(UserMistake, match=r"no column 'celltype' for cells \(found: clusters\)"):
        bring(path, cell_type="celltype")


def test_h5ad_without_unspliced_is_refused(tmp_path, bring):
    with pytest.raises(UserMistake, match=r"no layer 'unspliced' \(found: spliced\)"):
        bring(h5ad(tmp_path, layers={"spliced": LAYERS["spliced"]}))


def test_fractions_are_refused(tmp_path, bring):
    with pytest.raises(UserMistake, match="fractional"):
        bring(h5ad(tmp_path, layers={"spliced": LAYERS["spliced"] / 3, "unspliced": LAYERS["unspliced"]}))


def test_missing_ambiguous_layer_is_flagged(tmp_path, bring):
    adata, _ = bring(h5ad(tmp_path, layers={layer: LAYERS[layer] for layer in ("spliced", "unspliced")}))
    assert not adata.uns["velocorpus"]["ambiguous_present"]


def test_kbs_ambiguous_counts_as_spliced(tmp_path, bring):
    adata, _ = bring(kb_folder(tmp_path).parent)
    assert_layers(adata, {"spliced": LAYERS["spliced"] + LAYERS["ambiguous"], "unspliced": LAYERS["unspliced"]})
    assert not adata.uns["velocorpus"]["ambiguous_present"]
    assert "mature + ambiguous" in adata.uns["velocorpus"]["source"]["kb_rule"]
    assert adata.var_names.tolist() == GENES
    assert adata.var["version"].tolist() == ["7"] * 4


def test_kbs_h5ad_is_read_where_it_has_no_matrices(tmp_path, bring):
    folder = tmp_path / "counts_unfiltered"
    folder.mkdir()
    theirs = {"mature": LAYERS["spliced"], "nascent": LAYERS["unspliced"], "ambiguous": LAYERS["ambiguous"]}
    h5ad(tmp_path, layers=theirs).rename(folder / "adata.h5ad")
    adata, _ = bring(folder)
    assert_layers(adata, {"spliced": LAYERS["spliced"] + LAYERS["ambiguous"]})


def test_kb_without_its_ambiguous_matrix_is_refused(tmp_path, bring):
    folder = kb_folder(tmp_path)
    (folder / "cells_x_genes.ambiguous.mtx").unlink()
    with pytest.raises(UserMistake, match="no kb matrix 'ambiguous'"):
        bring(folder)


def test_starsolo_matrices_are_genes_by_cells(tmp_path, bring):
    folder = starsolo_folder(tmp_path)
    for layer, matrix in LAYERS.items():
        mmwrite(folder / f"{layer}.mtx", sparse.coo_matrix(matrix.T))
    adata, _ = bring(tmp_path / "Solo.out")
    assert_layers(adata, LAYERS)


def test_starsolos_old_single_matrix_has_three_values_an_entry(tmp_path, bring):
    folder = starsolo_folder(tmp_path)
    entries = [
        f"{g + 1} {c + 1} " + " ".join(str(LAYERS[layer][c, g]) for layer in LAYERS) for g in range(4) for c in range(3)
    ]
    write_lines(folder / "matrix.mtx", ["%%MatrixMarket matrix coordinate integer general", "%", "4 3 12", *entries])
    adata, _ = bring(tmp_path / "Solo.out")
    assert_layers(adata, LAYERS)


def test_starsolos_filtered_cells_go_before_the_raw(tmp_path, bring):
    for kind, times in (("raw", 1), ("filtered", 2)):
        folder = starsolo_folder(tmp_path, kind)
        for layer, matrix in LAYERS.items():
            mmwrite(folder / f"{layer}.mtx", sparse.coo_matrix(times * matrix.T))
    assert_layers(bring(tmp_path / "Solo.out")[0], {"spliced": 2 * LAYERS["spliced"]})
    assert_layers(bring(tmp_path / "Solo.out" / "Velocyto" / "raw")[0], {"spliced": LAYERS["spliced"]})


@pytest.mark.parametrize("turned", [False, True])
def test_mtx_folder_is_turned_by_its_names(tmp_path, bring, turned):
    folder = tmp_path / "mtx"
    folder.mkdir()
    for layer in ("spliced", "unspliced"):
        mmwrite(folder / f"{layer}.mtx", sparse.coo_matrix(LAYERS[layer].T if turned else LAYERS[layer]))
    write_lines(folder / "barcodes.tsv", BARCODES)
    write_lines(folder / "genes.tsv", GENES)
    assert_layers(bring(folder)[0], {"spliced": LAYERS["spliced"]})


def test_symbols_become_ids_and_what_does_not_map_is_listed(tmp_path, bring):
    path = h5ad(tmp_path, var_names=["DPM1", "TWICE", "NOWHERE", GENES[0]])
    rows = [(GENES[0], "TSPAN6"), (GENES[2], "DPM1"), ("ENSG00000000938", "TWICE"), ("ENSG00000000971", "TWICE")]
    adata, said = bring(path, gene_table=table(tmp_path, rows))
    assert adata.var_names.tolist() == [GENES[2], GENES[0]]
    assert_layers(adata, {"spliced": LAYERS["spliced"][:, [0, 3]]})
    source = adata.uns["velocorpus"]["source"]
    lost = [int(sum(matrix[:, gene].sum() for matrix in LAYERS.values())) for gene in range(4)]
    assert source["genes_unmapped"] == {"n": 1, "molecules": lost[2], "first": ["NOWHERE"]}
    assert source["genes_ambiguous_symbol"] == {"n": 1, "molecules": lost[1], "first": ["TWICE"]}
    assert source["genes_absent"] == 2
    assert len([line for line in said if "dropped" in line]) == 2


def test_two_columns_of_one_gene_are_both_dropped(tmp_path, bring):
    path = h5ad(tmp_path, var_names=["TSPAN6", GENES[0], "DPM1", GENES[1]])
    rows = list(zip(GENES, SYMBOLS, strict=True))
    adata, _ = bring(path, gene_table=table(tmp_path, rows))
    assert adata.var_names.tolist() == [GENES[2], GENES[1]]
    assert adata.uns["velocorpus"]["source"]["genes_mapped_twice"]["n"] == 2


def test_symbols_without_a_table_are_told(tmp_path, bring):
    _, said = bring(h5ad(tmp_path, var_names=SYMBOLS))
    assert any("--genes TABLE" in line for line in said)


def test_listed_cells_are_taken_in_the_lists_order(tmp_path, bring):
    write_lines(tmp_path / "cells.tsv", [f"{BARCODES[2]}-1", f"{BARCODES[0]}-1", "TTTTTTTTTTTT-1"])
    adata, said = bring(h5ad(tmp_path), cell_list=tmp_path / "cells.tsv")
    assert adata.obs["barcode"].tolist() == [BARCODES[2], BARCODES[0]]
    assert "1 listed barcodes are not in the input" in said[0]


def test_another_samples_list_is_refused(tmp_path, bring):
    write_lines(tmp_path / "cells.tsv", ["TTTTTTTTTTTT-1"])
    with pytest.raises(UserMistake, match="None of the 1 barcodes"):
        bring(h5ad(tmp_path), cell_list=tmp_path / "cells.tsv")


def test_cells_are_called_from_the_totals_of_all_layers(tmp_path, bring):
    folder = tmp_path / "mtx"
    folder.mkdir()
    rng = np.random.default_rng(3)
    totals = np.concatenate([rng.integers(2000, 4000, 50), rng.integers(10, 40, 2000)])
    for layer in ("spliced", "unspliced"):
        mmwrite(folder / f"{layer}.mtx", sparse.coo_matrix(np.stack([totals // 2, totals - totals // 2], axis=1)))
    write_lines(folder / "barcodes.tsv", ["".join(rng.choice(list("ACGT"), 16)) for _ in totals])
    write_lines(folder / "genes.tsv", GENES[:2])
    adata, _ = bring(folder, caller=knee)
    assert adata.n_obs == 50
    assert adata.uns["velocorpus"]["source"]["cells"]["barcodes"] == totals.size


def test_what_is_no_counts_is_refused(tmp_path, bring):
    with pytest.raises(UserMistake, match="of no kind that can be imported"):
        bring(tmp_path)


def test_folder_of_two_runs_is_refused(tmp_path, bring):
    folder = kb_folder(tmp_path)
    write_lines(folder / "cells_x_genes.barcodes.txt", BARCODES[:2])
    with pytest.raises(UserMistake, match="not of one run"):
        bring(folder)


def test_suffixes_stay_where_they_tell_libraries_apart():
    assert bare_barcodes(["AAAACCCC-1", "GGGGCCCC-1"]) == ("AAAACCCC", "GGGGCCCC")
    assert bare_barcodes(["AAAACCCC-1", "AAAACCCC-2"]) == ("AAAACCCC-1", "AAAACCCC-2")
    assert bare_barcodes(["cell-1", "cell-2"]) == ("cell-1", "cell-2")


def test_genes_of_another_species_than_the_table_says_are_refused(bring, tmp_path):
    ad.AnnData(LAYERS["spliced"], var=pd.DataFrame(index=GENES), layers=LAYERS).write_h5ad(tmp_path / "x.h5ad")
    assert bring(tmp_path / "x.h5ad", organism="human")[0].n_vars == 4
    with pytest.raises(UserMistake, match="said to be mouse, but 4 of its genes are of human"):
        bring(tmp_path / "x.h5ad", organism="mouse")
