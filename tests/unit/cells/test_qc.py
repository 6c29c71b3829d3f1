import numpy as np
from scipy import sparse

from velocorpus.cells.qc import cell_figures, is_mitochondrial

SYMBOLS = ["ACTB", "MT-ND1", "MTOR"]
LAYERS = {
    "spliced": sparse.csr_matrix([[2, 1, 1], [0, 0, 0]]),
    "unspliced": sparse.csr_matrix([[0, 0, 4], [0, 0, 0]]),
    "ambiguous": sparse.csr_matrix([[0, 1, 1], [0, 0, 0]]),
}


def test_mitochondrial_genes_are_known_by_their_symbol_in_both_species():
    assert is_mitochondrial(["MT-CO1", "mt-Co1", "MTOR", "Mt1"]).tolist() == [True, True, False, False]


def test_totals_and_genes_are_counted_per_layer():
    figures = cell_figures(LAYERS, SYMBOLS)
    assert figures["n_spliced"].tolist() == [4, 0]
    assert figures["n_genes_unspliced"].tolist() == [1, 0]


def test_fractions_are_of_the_stated_denominators():
    figures = cell_figures(LAYERS, SYMBOLS)
    assert figures["unspliced_fraction"][0] == 4 / 8
    assert figures["mitochondrial_fraction"][0] == 2 / 10


def test_fractions_of_an_empty_cell_are_undefined():
    figures = cell_figures(LAYERS, SYMBOLS)
    assert np.isnan(figures["unspliced_fraction"][1])
    assert np.isnan(figures["mitochondrial_fraction"][1])
