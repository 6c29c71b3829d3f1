import numpy as np
import pandas as pd
import pytest

from velocorpus.counting.concordance.compare import Compared, agreement
from velocorpus.counting.concordance.genes import differing_genes, draw
from velocorpus.counting.counts_file import write_counts
from velocorpus.errors import UserMistake
from velocorpus.reference.gene_traits import ANTISENSE, ISOFORMS, OVERLAP

GENES = [f"ENSG{i:011d}" for i in range(6)]
TRUE = {
    layer: np.random.default_rng(i).poisson(5, (4, 6)) for i, layer in enumerate(("spliced", "unspliced", "ambiguous"))
}


@pytest.fixture
def write(tmp_path):
    def run(name, layers=TRUE, n_cells=4, sample="s", barcode="ACGT"):
        path = tmp_path / f"{name}.h5ad"
        write_counts(
            path,
            layers={layer: matrix[:n_cells] for layer, matrix in layers.items()},
            sample=sample,
            barcodes=[f"{barcode}{i}" for i in range(n_cells)],
            genes=pd.DataFrame(index=GENES),
            source={},
        )
        return path

    return run


def concord(counts, *, truth=None, genes=None):
    return agreement(Compared.read(counts, truth), genes)


def row(table, layer="spliced", genes="all"):
    found = [dict(zip(table.columns, r, strict=True)) for r in table.rows]
    return next(r for r in found if (r["layer"], r["genes"]) == (layer, genes))


def test_equal_counts_have_no_error(write):
    table = concord({"a": write("a")}, truth=write("truth"))
    assert row(table)["error"] == 0
    assert row(table)["pearson_cells"] == pytest.approx(1)


def test_error_is_the_absolute_difference_over_the_true_total(write):
    more = dict(TRUE, spliced=TRUE["spliced"] + 1)
    table = concord({"a": write("a", more)}, truth=write("truth"))
    assert row(table)["error"] == pytest.approx(24 / TRUE["spliced"].sum())
    assert row(table, "unspliced")["error"] == 0
    assert row(table, "all")["error"] == pytest.approx(24 / sum(m.sum() for m in TRUE.values()))


def test_missing_cells_are_counted_and_left_out(write):
    table = concord({"a": write("a", n_cells=3)}, truth=write("truth"))
    assert (row(table)["cells_missing"], row(table)["n_cells"], row(table)["error"]) == (1, 3, 0)


def test_one_library_under_two_sample_names_is_compared_by_its_barcodes(write):
    table = concord({"a": write("a", sample="x")}, truth=write("truth", sample="y"))
    assert (row(table)["n_cells"], row(table)["error"]) == (4, 0)


def test_kb_is_held_against_spliced_and_ambiguous(write):
    kb = {"spliced": TRUE["spliced"] + TRUE["ambiguous"], "unspliced": TRUE["unspliced"]}
    table = concord({"kb": write("kb", kb)}, truth=write("truth"))
    assert row(table, "spliced + ambiguous")["error"] == 0
    assert row(table)["error"] > 0


def test_absent_layer_is_a_dash_not_a_zero(write):
    two = {layer: TRUE[layer] for layer in ("spliced", "unspliced")}
    assert row(concord({"a": write("a", two)}, truth=write("truth")), "ambiguous")["error"] is None


def test_pearson_equals_numpys(write):
    other = dict(TRUE, spliced=np.random.default_rng(9).poisson(5, (4, 6)))
    table = concord({"a": write("a", other)}, truth=write("truth"))
    expected = np.median([np.corrcoef(other["spliced"][c], TRUE["spliced"][c])[0, 1] for c in range(4)])
    assert row(table)["pearson_cells"] == pytest.approx(expected)


def test_errors_are_broken_down_by_difficulty(write, tmp_path):
    genes = tmp_path / "genes.tsv"
    kinds = ["simple"] * 4 + ["paralog"] * 2
    genes.write_text("gene_id\tdifficulty\n" + "".join(f"{g}\t{k}\n" for g, k in zip(GENES, kinds, strict=True)))
    less = dict(TRUE, spliced=TRUE["spliced"] * (np.arange(6) < 4))
    table = concord({"a": write("a", less)}, truth=write("truth"), genes=genes)
    assert row(table, genes="simple")["error"] == 0
    assert row(table, genes="paralog")["error"] == 1


def test_without_truth_every_pair_is_compared(write):
    table = concord({name: write(name) for name in "abc"})
    assert {(r[0], r[1]) for r in table.rows} == {("b", "a"), ("c", "a"), ("c", "b")}


def test_other_cells_are_refused(write):
    with pytest.raises(UserMistake, match="share no cells"):
        concord({"a": write("a", barcode="TTTT")}, truth=write("truth"))


def test_one_file_alone_is_refused(write):
    with pytest.raises(UserMistake, match="nothing to compare"):
        concord({"a": write("a")})


def test_unspliced_fraction_is_the_layers_share(write):
    more = dict(TRUE, unspliced=TRUE["unspliced"] * 2)
    found = row(concord({"a": write("a", more)}, truth=write("truth")), "unspliced")
    total = {layer: matrix.sum() for layer, matrix in TRUE.items()}
    assert found["true_share"] == pytest.approx(total["unspliced"] / sum(total.values()))
    assert found["share"] == pytest.approx(2 * total["unspliced"] / (sum(total.values()) + total["unspliced"]))


TRAITS = {GENES[0]: (OVERLAP,), GENES[1]: (OVERLAP, ISOFORMS), GENES[2]: (), GENES[3]: (ANTISENSE,), GENES[4]: ()}


def differing(write, lost, **options):
    """Both tables as dictionaries, where `lost` maps genes to the spliced molecules that every cell has too many."""
    spliced = TRUE["spliced"] + np.array([lost.get(g, 0) for g in range(6)])
    compared = Compared.read({"a": write("a", dict(TRUE, spliced=spliced))}, write("truth"))
    return [
        [dict(zip(table.columns, r, strict=True)) for r in table.rows]
        for table in differing_genes(compared, TRAITS, **options)
    ]


def test_genes_that_differ_most_come_first_with_their_reasons(write):
    _, genes = differing(write, {1: 2, 3: 5, 2: 1})
    assert [(g["gene_id"], g["difference"], g["reasons"]) for g in genes] == [
        (GENES[3], 20, ANTISENSE), (GENES[1], 8, f"{OVERLAP}, {ISOFORMS}"), (GENES[2], 4, "none of these"),
    ]  # fmt: skip
    mature = int((TRUE["spliced"] + TRUE["ambiguous"])[:, 3].sum())
    assert (genes[0]["mature"], genes[0]["true_mature"]) == (mature + 20, mature)
    assert len(differing(write, {1: 2, 3: 5, 2: 1}, top=2)[1]) == 2


def test_what_cancels_out_over_the_cells_differs_all_the_same(write):
    swapped = TRUE["unspliced"].copy()
    swapped[:2, 0] += [1, -1]
    compared = Compared.read({"a": write("a", dict(TRUE, unspliced=swapped))}, write("truth"))
    _, genes = differing_genes(compared, TRAITS)
    assert dict(zip(genes.columns, genes.rows[0], strict=True))["difference"] == 2


def test_reasons_share_what_differs(write):
    reasons, _ = differing(write, {0: 1, 1: 2, 5: 1})
    share = {r["reason"]: r["of difference"] for r in reasons}
    assert share == {
        OVERLAP: pytest.approx(12 / 16), ISOFORMS: pytest.approx(8 / 16), ANTISENSE: 0, "none of these": 0,
        "not annotated": pytest.approx(4 / 16),
    }  # fmt: skip
    of_molecules = {r["reason"]: r["of molecules"] for r in reasons}
    true = sum(TRUE.values()).sum(axis=0)
    assert of_molecules[ANTISENSE] == pytest.approx(true[3] / true.sum())


def test_ambiguous_molecules_counted_as_spliced_are_no_difference_of_a_gene(write):
    kb = {"spliced": TRUE["spliced"] + TRUE["ambiguous"], "unspliced": TRUE["unspliced"]}
    assert not differing_genes(Compared.read({"kb": write("kb", kb)}, write("truth")), TRAITS)[1].rows


@pytest.mark.parametrize("traits", [None, TRAITS])
def test_figure_is_drawn_and_the_same_twice(write, tmp_path, traits):
    for name in ("one.png", "two.png"):
        draw(Compared.read({"a": write("a")}, write("truth")), tmp_path / name, traits)
    assert (tmp_path / "one.png").read_bytes() == (tmp_path / "two.png").read_bytes()
