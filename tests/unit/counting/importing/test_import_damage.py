"""Damaged, mixed-up and odd counts: each is refused in one sentence, and nothing is repaired in silence."""

import gzip
import shutil

import anndata as ad
import numpy as np
import pandas as pd
import pytest
from scipy import sparse
from scipy.io import mmwrite

from velocorpus.counting.counts_file import read_counts
from velocorpus.counting.importing.bring_in import bring_in
from velocorpus.errors import UserMistake

BARCODES = ["AAAACCCCGGGG", "CCCCGGGGTTTT", "GGGGTTTTAAAA"]
GENES = ["ENSG00000000003", "ENSG00000000005", "ENSG00000000419", "ENSG00000000457"]
THEIRS = {"mature": "spliced", "nascent": "unspliced", "ambiguous": "ambiguous"}
LAYERS = {layer: np.random.default_rng(i).poisson(2, (3, 4)) + 10 for i, layer in enumerate(THEIRS.values())}


def write_lines(path, lines):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{line}\n" for line in lines))


def kb(root):
    for theirs, ours in THEIRS.items():
        write_lines(root / "kb" / "counts_unfiltered" / "cells_x_genes.genes.txt", GENES)
        mmwrite(root / f"kb/counts_unfiltered/cells_x_genes.{theirs}.mtx", sparse.coo_matrix(LAYERS[ours]))
    write_lines(root / "kb" / "counts_unfiltered" / "cells_x_genes.barcodes.txt", BARCODES)
    return root / "kb"


def starsolo(root, kind="raw"):
    folder = root / "Solo.out" / "Velocyto" / kind
    write_lines(folder / "barcodes.tsv", BARCODES)
    write_lines(folder / "features.tsv", [f"{gene}\t{gene}\tGene Expression" for gene in GENES])
    for layer, matrix in LAYERS.items():
        mmwrite(folder / f"{layer}.mtx", sparse.coo_matrix(matrix.T))
    return root / "Solo.out"


def old_starsolo(root):
    folder = starsolo(root) / "Velocyto" / "raw"
    entries = [
        f"{g + 1} {c + 1} " + " ".join(str(m[c, g]) for m in LAYERS.values()) for g in range(4) for c in range(3)
    ]
    for layer in LAYERS:
        (folder / f"{layer}.mtx").unlink()
    write_lines(folder / "matrix.mtx", ["%%MatrixMarket matrix coordinate integer general", "%", "4 3 12", *entries])
    return root / "Solo.out"


def fry(root):
    folder = root / "af" / "alevin"
    columns = [*GENES, *(f"{gene}-U" for gene in GENES), *(f"{gene}-A" for gene in GENES)]
    write_lines(folder / "quants_mat_cols.txt", columns)
    write_lines(folder / "quants_mat_rows.txt", BARCODES)
    mmwrite(folder / "quants_mat.mtx", sparse.coo_matrix(np.concatenate(list(LAYERS.values()), axis=1)))
    return root / "af"


def mtx(root):
    for layer, matrix in LAYERS.items():
        folder = root / "mtx" / layer
        write_lines(folder / "barcodes.tsv", BARCODES)
        write_lines(folder / "features.tsv", GENES)
        mmwrite(folder / "matrix.mtx", sparse.coo_matrix(matrix.T))
    return root / "mtx"


def loom(root, without=""):
    import loompy

    root.mkdir(exist_ok=True)
    cells = {"CellID": np.array([f"run:{barcode}x" for barcode in BARCODES])}
    layers = {"": LAYERS["spliced"].T, **{layer: matrix.T for layer, matrix in LAYERS.items() if layer != without}}
    loompy.create(str(root / "in.loom"), layers, {"Accession": np.array(GENES)}, cells)
    return root / "in.loom"


def h5ad(root, genes=GENES, layers=LAYERS):
    root.mkdir(exist_ok=True)
    obs, var = pd.DataFrame(index=BARCODES), pd.DataFrame(index=pd.Index(genes, dtype=object))
    ad.AnnData(obs=obs, var=var, layers=dict(layers)).write_h5ad(root / "in.h5ad")
    return root / "in.h5ad"


MAKERS = [kb, starsolo, old_starsolo, fry, mtx, loom, h5ad]


@pytest.fixture
def bring(tmp_path):
    def run(path, **options):
        said = bring_in(path, tmp_path / "counts.h5ad", sample="s1", **options)
        return read_counts(tmp_path / "counts.h5ad"), said

    return run


def source_of(adata):
    return adata.uns["velocorpus"]["source"]


def change_last_value(path, value):
    lines = path.read_text().splitlines()
    write_lines(path, [*lines[:-1], f"{lines[-1].rsplit(' ', 1)[0]} {value}"])


@pytest.mark.parametrize("damage", ["empty", "cut", "cut gzip", "noise"])
@pytest.mark.parametrize("make", MAKERS, ids=lambda make: make.__name__)
def test_a_damaged_file_is_refused_in_one_sentence_and_nothing_is_written(tmp_path, make, damage):
    whole = make(tmp_path / "whole")
    for file in sorted(path for path in (tmp_path / "whole").rglob("*") if path.is_file()):
        if damage == "cut gzip" and file.suffix in (".h5ad", ".loom"):
            continue
        shutil.copytree(tmp_path / "whole", tmp_path / "broken", dirs_exist_ok=True)
        broken = tmp_path / "broken" / file.relative_to(tmp_path / "whole")
        content = file.read_bytes()
        if damage == "cut gzip":
            broken.unlink()
            broken = broken.with_name(f"{broken.name}.gz")
            content = gzip.compress(content, mtime=0)
        noise = np.random.default_rng(0).integers(0, 256, len(content), dtype=np.uint8).tobytes()
        broken.write_bytes({"empty": b"", "noise": noise}.get(damage, content[: len(content) // 2]))
        with pytest.raises(UserMistake) as mistake:
            bring_in(tmp_path / "broken" / whole.relative_to(tmp_path / "whole"), tmp_path / "out.h5ad", sample="s")
        assert "\n" not in str(mistake.value), file.name
        assert not (tmp_path / "out.h5ad").exists()
        shutil.rmtree(tmp_path / "broken")


@pytest.mark.parametrize("make", [kb, starsolo, old_starsolo, fry, mtx], ids=lambda make: make.__name__)
@pytest.mark.parametrize(("value", "why"), [("1.5", "fractional"), ("-3", "negative"), ("1e30", "above")])
def test_a_number_that_is_no_count_is_refused_whatever_the_header_and_the_sum_of_layers_say(
    tmp_path, bring, make, value, why
):
    whole = make(tmp_path)
    for path in sorted(whole.rglob("*.mtx")):
        text = path.read_text()
        change_last_value(path, value)
        with pytest.raises(UserMistake, match=why):
            bring(whole)
        path.write_text(text)


@pytest.mark.parametrize("make", [kb, starsolo, mtx], ids=lambda make: make.__name__)
def test_gzip_files_are_the_plain_ones(tmp_path, bring, make):
    whole = make(tmp_path)
    plain = bring(whole)[0].uns["velocorpus"]["content_digest"]
    for path in [path for path in whole.rglob("*") if path.is_file()]:
        path.with_name(f"{path.name}.gz").write_bytes(gzip.compress(path.read_bytes()))
        path.unlink()
    assert bring(whole)[0].uns["velocorpus"]["content_digest"] == plain


def test_a_barcode_that_stands_twice_is_refused_also_with_a_list(tmp_path, bring):
    whole = kb(tmp_path)
    write_lines(whole / "counts_unfiltered" / "cells_x_genes.barcodes.txt", [*BARCODES[:2], BARCODES[0]])
    write_lines(tmp_path / "cells.tsv", BARCODES[:1])
    with pytest.raises(UserMistake, match=f"barcode {BARCODES[0]} twice"):
        bring(whole, cell_list=tmp_path / "cells.tsv")


def test_a_suffix_in_one_layer_only_makes_no_other_cells(tmp_path, bring):
    whole = mtx(tmp_path)
    write_lines(whole / "unspliced" / "barcodes.tsv", [f"{barcode}-1" for barcode in BARCODES])
    adata, _ = bring(whole)
    assert adata.obs["barcode"].tolist() == BARCODES
    assert np.array_equal(adata.layers["unspliced"].toarray(), LAYERS["unspliced"])


def test_layers_of_different_cells_are_refused(tmp_path, bring):
    whole = mtx(tmp_path)
    write_lines(whole / "unspliced" / "barcodes.tsv", [barcode[::-1] for barcode in BARCODES])
    with pytest.raises(UserMistake, match="spliced and unspliced share no barcode"):
        bring(whole)


def test_counts_without_cells_are_refused(tmp_path, bring):
    whole = kb(tmp_path)
    for path in whole.rglob("*.mtx"):
        write_lines(path, ["%%MatrixMarket matrix coordinate integer general", "0 4 0"])
    write_lines(whole / "counts_unfiltered" / "cells_x_genes.barcodes.txt", [])
    with pytest.raises(UserMistake, match="has no cells to bring in"):
        bring(whole)


def test_counts_without_genes_are_refused(tmp_path, bring):
    layers = {layer: matrix[:, :0] for layer, matrix in LAYERS.items()}
    with pytest.raises(UserMistake, match="has no genes"):
        bring(h5ad(tmp_path / "in", genes=[], layers=layers), organism="human")


def test_what_is_no_count_is_refused_before_cells_are_called(tmp_path, bring):
    layers = dict(LAYERS, spliced=LAYERS["spliced"] * np.nan)
    with pytest.raises(UserMistake, match="layer 'spliced' holds values that are infinite or no numbers"):
        bring(h5ad(tmp_path / "in", layers=layers), caller=lambda counts: pytest.fail("called"))


def test_dense_layers_are_layers(tmp_path, bring):
    adata, _ = bring(h5ad(tmp_path / "in"))
    for layer, matrix in LAYERS.items():
        assert np.array_equal(adata.layers[layer].toarray(), matrix)


def test_a_loom_may_lack_the_ambiguous_layer_and_no_other(tmp_path, bring):
    adata, _ = bring(loom(tmp_path / "in", without="ambiguous"))
    assert not adata.uns["velocorpus"]["ambiguous_present"]
    with pytest.raises(UserMistake, match=r"no layer 'unspliced' \(found: ambiguous, spliced\)"):
        bring(loom(tmp_path / "other", without="unspliced"))


def test_gene_ids_that_stand_twice_are_refused(tmp_path, bring):
    with pytest.raises(UserMistake, match="1 gene ids stand twice"):
        bring(h5ad(tmp_path / "in", genes=[*GENES[:3], f"{GENES[0]}.5"]))


def test_counts_by_symbol_are_refused_where_a_species_is_named(tmp_path, bring):
    path = h5ad(tmp_path / "in", genes=["C3", "F2", "GFP", GENES[0]])
    assert bring(path)[0].n_vars == 4
    with pytest.raises(UserMistake, match=r"25% of its 4 genes are named by Ensembl id .*--genes"):
        bring(path, organism="human")


def test_genes_without_an_id_cannot_meet_those_of_another_species(tmp_path, bring):
    mouse = [gene.replace("ENSG", "ENSMUSG") for gene in GENES]
    kept = {}
    for organism, genes in (("human", GENES), ("mouse", mouse)):
        adata, said = bring(h5ad(tmp_path / organism, genes=[*genes[:3], "GFP"]), organism=organism)
        kept[organism] = set(adata.var_names)
        lost = int(sum(matrix[:, 3].sum() for matrix in LAYERS.values()))
        assert source_of(adata)["genes_unmapped"] == {"n": 1, "molecules": lost, "first": ["GFP"]}
        assert any(f"1 genes with {lost} molecules dropped, unmapped (first: GFP)" in line for line in said)
    assert kept["human"].isdisjoint(kept["mouse"])


def test_what_star_says_of_its_version_and_of_its_cells_is_kept(tmp_path, bring):
    whole = starsolo(tmp_path, kind="filtered")
    figures = "3000 0.99 10 45000 90000 500 0.01 20000 0.01 10000"
    says = f"ParametersSolo: --soloCellFilterType EmptyDrops_CR filtering parameters:  {figures} "
    write_lines(tmp_path / "Log.out", ["STAR version=2.7.10b", says])
    source = source_of(bring(whole)[0])
    assert source["quantifier_version"] == "2.7.10b"
    assert source["cells"]["method"] == f"STARsolo's --soloCellFilter EmptyDrops_CR {figures}, on Gene"


def test_kbs_version_is_kept(tmp_path, bring):
    whole = kb(tmp_path)
    (whole / "kb_info.json").write_text('{"version": "0.30.2"}')
    assert source_of(bring(whole)[0])["quantifier_version"] == "0.30.2"


def test_barcodes_of_which_most_can_be_no_cells_are_told(tmp_path, bring):
    whole = kb(tmp_path)
    for path in whole.rglob("*.mtx"):
        mmwrite(path, sparse.coo_matrix(LAYERS["spliced"] * np.array([[1], [0], [0]])))
    assert any("2 of 3 barcodes have less than 10 molecules" in line for line in bring(whole)[1])
