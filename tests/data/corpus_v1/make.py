"""Writes the corpus of schema version 1 that `corpus convert` is tested on, by the code of commit 7442843.

Check that commit out in a folder of its own; there: `PYTHONPATH=src:tests/unit/corpus python make.py FOLDER`. Two human
samples, of which one is taken out again, and a mouse one that is held out; counts on both sides of 255 and of 65,535.
"""

import sys
import tempfile

import pandas as pd
from corpus_makers import HUMAN, MOUSE, make_corpus, make_counts
from velocorpus.corpus.build import remove

from velocorpus.corpus.plan import Splits

corpus = sys.argv[1]
with tempfile.TemporaryDirectory() as folder:
    labels = pd.DataFrame({"cell_type": ["T"] * 10 + [None] * 10}, index=range(20))
    inputs = [
        make_counts(folder, "a", seed=1, n_cells=20, genes=HUMAN[:60], obs=labels),
        make_counts(folder, "b", seed=2, n_cells=20, genes=HUMAN[:60]),
        make_counts(folder, "c", seed=3, n_cells=20, genes=MOUSE[:60]),
    ]
    make_corpus(corpus, inputs, group_samples=3, splits=Splits(validation=("study_c",)), min_gene_counts=30)
    remove(corpus, ["b"], because="its donor withdrew")
