"""The corpus in Arrow: its format, how it is built and grows, and how it is read (reading needs numpy and
pyarrow only).
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
