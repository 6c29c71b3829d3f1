"""Any h5ad as an AnnData: what cannot be read is the user's mistake, named by its path."""

import warnings
from collections.abc import Callable
from pathlib import Path

import anndata as ad

from velocorpus.errors import UserMistake
from velocorpus.files import existing


def read_anndata(
    path: Path | str, what: str = "h5ad file", read: Callable[[Path], ad.AnnData] = ad.read_h5ad
) -> ad.AnnData:
    """Read an h5ad by `read`; `what` says in a refusal which file is meant.

    Refused: a path that is absent or a folder, a file that is no HDF5, is cut short or holds no AnnData, and cells
    that share a name (AnnData itself only warns). Genes that share a name are left to the caller.
    """
    path = existing(path, what)
    if path.is_dir():
        raise UserMistake(f"The {what} {path} is a folder; give the file.")
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=".* names are not unique")
            adata = read(path)
    except (MemoryError, UserMistake):
        raise
    except Exception as error:
        # Damaged and foreign files end in whatever h5py, anndata or pandas meet first.
        reason = " ".join(str(error).split())[:200]
        raise UserMistake(f"The {what} {path} cannot be read as h5ad ({reason}); copy it or make it again.") from None
    if not adata.obs_names.is_unique:
        twice = adata.obs_names[adata.obs_names.duplicated()][0]
        raise UserMistake(f"The {what} {path} names the cell {twice} twice; give every cell a name of its own.")
    return adata
