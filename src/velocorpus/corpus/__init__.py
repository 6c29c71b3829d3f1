"""The corpus in Arrow: its format, how it is built and grows, and how it is read (reading needs numpy and
pyarrow only).
"""

from velocorpus.corpus.reader import CSR, Cells, Corpus
from velocorpus.corpus.vocabulary import Vocabulary

__all__ = ["CSR", "Cells", "Corpus", "Vocabulary"]
