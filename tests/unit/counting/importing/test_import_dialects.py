"""alevin-fry and simpleaf, scBaseCount, 10x folders and one folder a layer: each as its tool leaves it."""

import json

import anndata as ad
import numpy as np
import pandas as pd
import pytest
from scipy import sparse
from scipy.io import mmwrite

from velocorpus.counting.counts_file import read_counts
from velocorpus.counting.importing.bring_in import bring_in
from velocorpus.counting.importing.h5ad import SCBASECOUNT_CELLS
from velocorpus.errors import UserMistake

BARCODES = ["AAAACCCCGGGG", "CCCCGGGGTTTT", "GGGGTTTTAAAA"]
GENES = ["ENSG00000000003", "ENSG00000000005", "ENSG00000000419", "ENSG00000000457"]
SYMBOLS = ["TSPAN6", "TNMD", "DPM1", "SCYL3"]
LAYERS = {
    layer: np.random.default_rng(i).poisson(2, (3, 4)) for i, layer in enumerate(("spliced", "unspliced", "ambiguous"))
}
S_AND_A = LAYERS["spliced"] + LAYERS["ambiguous"]


@pytest.fixture
def bring(tmp_path):
    def run(path, **options):
        bring_in(path, tmp_path / "counts.h5ad", sample="s1", **options)
        return read_counts(tmp_path / "counts.h5ad")

    return run


def source_of(adata):
    return adata.uns["velocorpus"]["source"]


def write_lines(path, lines):
    path.write_text("".join(f"{line}\n" for line in lines))


def fry_folder(root, *, genes=GENES, order=slice(None), usa=True, scale=1.0, resolution="cr-like"):
    """`af_quant` of simpleaf: columns S, U, A as alevin-fry writes them, or permuted by `order`."""
    columns = [*genes, *(f"{gene}-U" for gene in genes), *(f"{gene}-A" for gene in genes)]
    matrix = np.concatenate(list(LAYERS.values()), axis=1)[:, order] * scale
    folder = root / "af_quant" / "alevin"
    folder.mkdir(parents=True)
    mmwrite(folder / "quants_mat.mtx", sparse.coo_matrix(matrix))
    write_lines(folder / "quants_mat_cols.txt", np.array(columns, dtype=object)[order])
    write_lines(folder / "quants_mat_rows.txt", BARCODES)
    meta = {"usa_mode": usa, "num_genes": 12, "resolution_strategy": resolution}
    (folder.parent / "quant.json").write_text(json.dumps(meta))
    permit = {"permit-list-type": "filtered", "version_str": "0.11.2"}
    (folder.parent / "generate_permit_list.json").write_text(json.dumps(permit))
    write_lines(folder.parent / "gene_id_to_name.tsv", [f"{g}\t{s}" for g, s in zip(GENES, SYMBOLS, strict=True)])
    return root


@pytest.mark.parametrize("inside", ["", "af_quant", "af_quant/alevin"])
def test_alevin_fry_is_found_from_any_of_its_folders(tmp_path, bring, inside):
    adata = bring(fry_folder(tmp_path / "run") / inside)
    assert np.array_equal(adata.layers["spliced"].toarray(), S_AND_A)
    assert np.array_equal(adata.layers["unspliced"].toarray(), LAYERS["unspliced"])
    assert adata.var["symbol"].tolist() == SYMBOLS
    source = source_of(adata)
    assert (source["quantifier"], source["quantifier_version"]) == ("alevin-fry", "0.11.2")
    assert source["fry_ambiguous_molecules"] == LAYERS["ambiguous"].sum()
    assert source["cells"]["method"] == "alevin-fry's permit list"


def test_alevin_frys_columns_are_told_by_name_and_no_molecule_is_lost(tmp_path, bring):
    plain = bring(fry_folder(tmp_path / "plain")).to_memory()
    mixed = bring(fry_folder(tmp_path / "mixed", order=np.random.default_rng(4).permutation(12)))
    assert sum(mixed.layers[layer].sum() for layer in mixed.layers) == sum(m.sum() for m in LAYERS.values())
    for layer in ("spliced", "unspliced"):
        assert np.array_equal(mixed[:, plain.var_names].layers[layer].toarray(), plain.layers[layer].toarray())


def test_hla_a_is_a_gene_and_not_the_ambiguous_part_of_hla(tmp_path, bring):
    adata = bring(fry_folder(tmp_path / "run", genes=["HLA-A", "HLA-U", "DPM1", "TNMD"]))
    assert adata.var_names.tolist() == ["HLA-A", "HLA-U", "DPM1", "TNMD"]
    assert np.array_equal(adata.layers["spliced"].toarray(), S_AND_A)


def test_alevin_fry_without_splicing_status_is_refused(tmp_path, bring):
    with pytest.raises(UserMistake, match="not quantified in USA mode"):
        bring(fry_folder(tmp_path / "run", usa=False))


def test_alevin_frys_fractions_are_refused_with_the_resolution(tmp_path, bring):
    with pytest.raises(UserMistake, match="fractional counts \\(resolution 'cr-like-em'\\)"):
        bring(fry_folder(tmp_path / "run", scale=0.5, resolution="cr-like-em"))


def test_alevin_fry_with_a_gene_without_its_unspliced_column_is_refused(tmp_path, bring):
    root = fry_folder(tmp_path / "run")
    path = root / "af_quant" / "alevin" / "quants_mat_cols.txt"
    path.write_text(path.read_text().replace(f"{GENES[1]}-U", "ENSG00000099999-U"))
    with pytest.raises(UserMistake, match="every gene stands once as itself, once with -U"):
        bring(root)


def h5ad(path, *, var, layers=LAYERS, uns=None, **obs):
    adata = ad.AnnData(
        X=np.zeros((3, 4), dtype=np.float32), obs=pd.DataFrame(obs, index=pd.Index(BARCODES, dtype=object)), var=var
    )
    for layer, matrix in layers.items():
        adata.layers[layer] = sparse.csr_matrix(matrix.astype(np.float64))
    adata.uns |= uns or {}
    adata.write_h5ad(path, compression="gzip")
    return path


def test_simpleafs_h5ad_follows_the_same_rule(tmp_path, bring):
    uns = {"quant_info": json.dumps({"usa_mode": True}), "gpl_info": json.dumps({"version_str": "0.11.2"})}
    var = pd.DataFrame({"gene_id": GENES, "gene_symbol": SYMBOLS}, index=GENES)
    adata = bring(h5ad(tmp_path / "quants.h5ad", var=var, uns=uns))
    assert np.array_equal(adata.layers["spliced"].toarray(), S_AND_A)
    assert adata.var["symbol"].tolist() == SYMBOLS


NAMED_BY_SYMBOL = pd.DataFrame({"gene_ids": GENES}, index=SYMBOLS)
NAMED_BY_ID = pd.DataFrame({"gene_symbols": SYMBOLS}, index=GENES)


def scbasecount(path, var=NAMED_BY_ID, srx=("SRX1",) * 3, **options):
    return h5ad(path, var=var, gene_count=[1, 2, 3], umi_count=[1.0, 2.0, 3.0], SRX_accession=list(srx), **options)


@pytest.mark.parametrize("var", [NAMED_BY_SYMBOL, NAMED_BY_ID], ids=["by symbol", "by id"])
@pytest.mark.parametrize("name", ["SRX1.h5ad", "SRX1.h5ad.gz"])
def test_scbasecounts_genes_are_named_by_their_ids(tmp_path, bring, var, name):
    adata = bring(scbasecount(tmp_path / name, var))
    assert adata.var_names.tolist() == GENES
    assert adata.var["symbol"].tolist() == SYMBOLS
    for layer, matrix in LAYERS.items():
        assert np.array_equal(adata.layers[layer].toarray(), matrix)
    source = source_of(adata)
    assert (source["quantifier"], source["experiment"]) == ("STARsolo (scBaseCount)", "SRX1")
    assert source["cells"]["method"] == SCBASECOUNT_CELLS


def test_what_scbasecount_has_beyond_the_vocabulary_is_counted(tmp_path, bring):
    table = tmp_path / "genes.tsv"
    write_lines(table, ["gene_id\tsymbol", f"{GENES[3]}\tSCYL3", f"{GENES[0]}\tTSPAN6", "ENSG00000000938\tFGR"])
    adata = bring(scbasecount(tmp_path / "SRX1.h5ad", NAMED_BY_SYMBOL), gene_table=table)
    source = source_of(adata)
    lost = sum(int(matrix[:, [1, 2]].sum()) for matrix in LAYERS.values())
    assert source["genes_unmapped"] == {"n": 2, "molecules": lost, "first": GENES[1:3]}
    assert source["genes_absent"] == 1
    assert sum(adata.layers[layer].sum() for layer in LAYERS) + lost == sum(m.sum() for m in LAYERS.values())


def test_the_order_of_genes_does_not_matter(tmp_path, bring):
    order = np.random.default_rng(3).permutation(4)
    plain = bring(scbasecount(tmp_path / "SRX1.h5ad"))
    turned = bring(
        scbasecount(
            tmp_path / "turned.h5ad", NAMED_BY_ID.iloc[order], layers={k: m[:, order] for k, m in LAYERS.items()}
        )
    )
    for layer in LAYERS:
        assert np.array_equal(turned[:, plain.var_names].layers[layer].toarray(), plain.layers[layer].toarray())


def test_scbasecounts_gene_level_file_is_refused_with_where_to_look(tmp_path, bring):
    with pytest.raises(UserMistake, match=r"gene-level file of scBaseCount .* from the folder Velocyto"):
        bring(scbasecount(tmp_path / "SRX1.h5ad", layers={"UniqueAndMult-EM": LAYERS["spliced"]}))


def test_a_file_of_several_experiments_is_refused(tmp_path, bring):
    with pytest.raises(UserMistake, match="cells of 2 experiments \\(first: SRX1, SRX2\\)"):
        bring(scbasecount(tmp_path / "merged.h5ad", srx=("SRX1", "SRX2", "SRX1")))


def tenx_folder(folder, matrix, barcodes=BARCODES):
    folder.mkdir(parents=True)
    mmwrite(folder / "matrix.mtx", sparse.coo_matrix(matrix.T))
    write_lines(folder / "barcodes.tsv", [f"{barcode}-1" for barcode in barcodes])
    rows = zip(GENES, SYMBOLS, strict=True)
    write_lines(folder / "features.tsv", [f"{gene}\t{symbol}\tGene Expression" for gene, symbol in rows])


@pytest.mark.parametrize("inside", [".", "filtered_feature_bc_matrix", "outs/filtered_feature_bc_matrix"])
def test_cell_rangers_gene_level_folder_is_refused_with_the_reason(tmp_path, bring, inside):
    tenx_folder(tmp_path / "run" / inside, LAYERS["spliced"])
    with pytest.raises(UserMistake, match=r"gene-level matrix .* count the run's BAM"):
        bring(tmp_path / "run")


def test_cell_rangers_h5_is_refused_with_the_reason(tmp_path, bring):
    (tmp_path / "filtered_feature_bc_matrix.h5").write_bytes(b"")
    with pytest.raises(UserMistake, match="gene-level matrix"):
        bring(tmp_path / "filtered_feature_bc_matrix.h5")


def test_one_10x_folder_a_layer_is_joined_by_barcode(tmp_path, bring):
    tenx_folder(tmp_path / "run" / "spliced", LAYERS["spliced"][[2, 0]], [BARCODES[2], BARCODES[0]])
    tenx_folder(tmp_path / "run" / "unspliced", LAYERS["unspliced"])
    adata = bring(tmp_path / "run")
    assert adata.obs["barcode"].tolist() == [BARCODES[2], BARCODES[0], BARCODES[1]]
    assert np.array_equal(adata.layers["unspliced"].toarray(), LAYERS["unspliced"][[2, 0, 1]])
    assert np.array_equal(adata.layers["spliced"].toarray(), np.vstack([LAYERS["spliced"][[2, 0]], np.zeros((1, 4))]))


def test_kbs_older_workflow_has_names_a_layer(tmp_path, bring):
    folder = tmp_path / "counts_unfiltered"
    folder.mkdir()
    for layer in ("spliced", "unspliced"):
        mmwrite(folder / f"{layer}.mtx", sparse.coo_matrix(LAYERS[layer]))
        write_lines(folder / f"{layer}.barcodes.txt", BARCODES)
        write_lines(folder / f"{layer}.genes.txt", GENES)
    assert np.array_equal(bring(folder).layers["unspliced"].toarray(), LAYERS["unspliced"])


def test_layers_of_different_genes_are_refused(tmp_path, bring):
    tenx_folder(tmp_path / "run" / "spliced", LAYERS["spliced"])
    tenx_folder(tmp_path / "run" / "unspliced", LAYERS["unspliced"])
    path = tmp_path / "run" / "unspliced" / "features.tsv"
    path.write_text(path.read_text().replace(GENES[0], GENES[0] + "1"))
    with pytest.raises(UserMistake, match="spliced and unspliced are not of the same genes"):
        bring(tmp_path / "run")


def test_totals_that_are_told_are_those_that_are_kept_also_of_stored_zeros(tmp_path):
    layers = {layer: sparse.csr_matrix(matrix) for layer, matrix in LAYERS.items()}
    layers["spliced"].data[::2] = 0
    adata = ad.AnnData(obs=pd.DataFrame(index=BARCODES), var=pd.DataFrame(index=GENES), layers=layers)
    adata.write_h5ad(tmp_path / "in.h5ad")
    said = bring_in(tmp_path / "in.h5ad", tmp_path / "counts.h5ad", sample="s1")
    kept = read_counts(tmp_path / "counts.h5ad").layers["spliced"].sum()
    assert f"{int(kept)} spliced" in said[-1]
