"""The corpus in Arrow. Here: its format and how it is read (by numpy and pyarrow alone) and checked.

`building` makes one from counts, `changing` changes one that stands, `sharing` brings one to a bucket and back.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from velocorpus.corpus.reader import CSR, Cells, Corpus
    from velocorpus.corpus.vocabulary import Vocabulary

__all__ = ["CSR", "Cells", "Corpus", "Vocabulary"]


def __getattr__(name: str) -> Any:
    """Import what is asked for: the reader brings numba, which costs more than most jobs of a sample have to do."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{'vocabulary' if name == 'Vocabulary' else 'reader'}"), name)
