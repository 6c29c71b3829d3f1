"""Counts of other tools: which reader a path is for. What each tool calls things stays in its reader."""

from collections.abc import Callable
from pathlib import Path

from velocorpus.counting.importing.alevin_fry import fry_folder, read_fry
from velocorpus.counting.importing.h5ad import read_h5ad
from velocorpus.counting.importing.imported import Imported, find_one
from velocorpus.counting.importing.kb import kb_folder, read_kb
from velocorpus.counting.importing.loom import read_loom
from velocorpus.counting.importing.mtx_folder import mtx_folder, read_mtx_folder
from velocorpus.counting.importing.starsolo import read_starsolo, starsolo_folder
from velocorpus.errors import UserMistake
from velocorpus.files import existing


def read_any(path: Path | str) -> Imported:
    """Read counts of a kind that is told from the path: a loom, an h5ad, or a folder of one of the kinds below.

    Refused: a gene-level matrix, such as 10x's own folder or .h5, and what is of no kind.
    """
    path = existing(path, "counts")
    if path.is_dir():
        for fits, read in _FOLDERS:
            inner = fits(path)
            if inner is not None:
                return read(inner)
    elif path.suffix == ".loom":
        return read_loom(path)
    elif path.name.endswith((".h5ad", ".h5ad.gz")):  # scBaseCount's first release named files compressed inside so
        return read_h5ad(path)
    elif path.suffix == ".h5":
        return _refuse_gene_level(path)
    raise UserMistake(
        f"{path} is of no kind that can be imported; allowed: a .loom, an .h5ad with layers, a STARsolo Solo.out"
        " folder, a kb or alevin-fry output folder, or a folder with spliced.mtx and unspliced.mtx."
    )


def _kb_h5ad(path: Path) -> Path | None:
    folder = kb_folder(path, "adata.h5ad")
    return None if folder is None else folder / "adata.h5ad"


def _gene_level_folder(path: Path) -> Path | None:
    inside = (path, path / "filtered_feature_bc_matrix", path / "outs" / "filtered_feature_bc_matrix")
    return next((folder for folder in inside if find_one(folder, "matrix.mtx")), None)


def _refuse_gene_level(path: Path) -> Imported:
    raise UserMistake(
        f"{path} is a gene-level matrix (Cell Ranger's or STARsolo's), in which spliced and unspliced are one number:"
        " velocity needs them apart; count the run's BAM (possorted_genome_bam.bam) as a sample of quantifier 'bam',"
        " or give STARsolo's folder Velocyto."
    )


_FOLDERS: tuple[tuple[Callable[[Path], Path | None], Callable[[Path], Imported]], ...] = (
    (starsolo_folder, read_starsolo),
    (kb_folder, read_kb),
    (_kb_h5ad, read_h5ad),
    (fry_folder, read_fry),
    (mtx_folder, read_mtx_folder),
    (_gene_level_folder, _refuse_gene_level),
)
