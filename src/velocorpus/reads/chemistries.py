"""What each 10x chemistry looks like in the reads, and how each quantifier must be told."""

import shutil
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from velocorpus.errors import UserMistake
from velocorpus.files import open_text, replacing


@dataclass(frozen=True)
class Chemistry:
    """Geometry of the barcode read and strand of the cDNA read.

    `barcode_len`, `umi_len`: bases, in this order from read 1's first base. `strand`: of the cDNA read
    relative to the transcript, as kb says it (`forward` for 3', `reverse` for 5'). `technology`: kb's `-x`.
    `barcode_list`: the file of allowed barcodes among those that kb-python's dependency ngs-tools carries, or empty.
    `umi_apart`: UMIs are in a file of their own, for which units.tsv has no column: recognised, not quantified.
    """

    barcode_len: int
    umi_len: int
    strand: str
    technology: str
    cellranger: str
    barcode_list: str
    umi_apart: bool = False

    @property
    def barcode_read_len(self) -> int:
        """Bases that the barcode read must have."""
        return self.barcode_len + (0 if self.umi_apart else self.umi_len)

    @property
    def kb_knows(self) -> bool:
        """Whether kb's `-x` brings this chemistry's list of barcodes along; it names v3's geometry for multiome's."""
        return self.barcode_list == f"10x_version{self.technology[-1]}_whitelist.txt.gz"

    @property
    def star_strand(self) -> str:
        """STARsolo's `--soloStrand`."""
        return self.strand.capitalize()


CHEMISTRIES = {
    "10xv1": Chemistry(14, 10, "forward", "10XV1", "SC3Pv1", "10x_version1_whitelist.txt.gz", umi_apart=True),
    "10xv2": Chemistry(16, 10, "forward", "10XV2", "SC3Pv2", "10x_version2_whitelist.txt.gz"),
    "10xv3": Chemistry(16, 12, "forward", "10XV3", "SC3Pv3", "10x_version3_whitelist.txt.gz"),
    "10xv4": Chemistry(16, 12, "forward", "10XV4", "SC3Pv4", "10x_version4_whitelist.txt.gz"),
    "10xv2_5p": Chemistry(16, 10, "reverse", "10XV2", "SC5P-R2", "10x_version2_whitelist.txt.gz"),
    # GEM-X 5' v3 has a list of its own, which ngs-tools does not carry: the sample must give one.
    "10xv3_5p": Chemistry(16, 12, "reverse", "10XV3", "SC5P-R2-v3", ""),
    # kb has no name for it: v3's geometry with the list given.
    "10xmultiome": Chemistry(16, 12, "forward", "10XV3", "ARC-v1", "10x_multiome_gex_whitelist.txt.gz"),
}
# Those whose reads can be quantified; `velocorpus.tables` refuses the others before anything runs.
QUANTIFIED = tuple(name for name, chemistry in CHEMISTRIES.items() if not chemistry.umi_apart)


def chemistry_of(name: str) -> Chemistry:
    """The chemistry of this name, or a `UserMistake` that lists those that can be quantified."""
    if name not in QUANTIFIED:
        raise UserMistake(f"Reads of chemistry '{name}' cannot be quantified here; known are {', '.join(QUANTIFIED)}.")
    return CHEMISTRIES[name]


def list_name(name: str) -> str:
    """The first chemistry with the list of barcodes of this one: 5' and 3' v2 beads carry the same barcodes."""
    carried = CHEMISTRIES[name].barcode_list if name in CHEMISTRIES else ""
    return next((first for first, c in CHEMISTRIES.items() if carried and c.barcode_list == carried), name)


def carried_lists() -> Path | None:
    """The folder of the lists that ngs-tools carries; None where kb-python is not installed."""
    spec = find_spec("ngs_tools")
    return Path(spec.origin).parent / "chemistry" / "whitelists" if spec and spec.origin else None


def whitelist_path(name: str, given: Path | str | None = None) -> Path:
    """The file of a chemistry's allowed barcodes: the sample's own, or the one that ngs-tools carries."""
    return Path(given) if given is not None else _carried(name, chemistry_of(name))


def write_whitelist(name: str, out: Path | str, given: Path | str | None = None) -> None:
    """Write the allowed barcodes of a chemistry as plain text, one a line: what STAR wants.

    `given` is the sample's own list (plain or gzip) and then copied. Raises `UserMistake` for a chemistry
    without a list at hand, and for a list whose first line is not a barcode of the chemistry's length.
    """
    chemistry = chemistry_of(name)
    source = whitelist_path(name, given)
    if not source.is_file():
        raise UserMistake(f"The whitelist {source} does not exist; check the column 'whitelist'.")
    with open_text(source) as lines, replacing(out) as aside:
        first = lines.readline().strip()
        if len(first) != chemistry.barcode_len or set(first) - set("ACGT"):
            raise UserMistake(
                f"{source} begins with '{first[:40]}', a whitelist of {name} has one barcode of "
                f"{chemistry.barcode_len} letters A, C, G, T a line (no '-1'); give a plain list."
            )
        with aside.open("w", encoding="ascii") as plain:
            plain.write(first + "\n")
            shutil.copyfileobj(lines, plain, length=1 << 20)


def _carried(name: str, chemistry: Chemistry) -> Path:
    if not chemistry.barcode_list:
        raise UserMistake(f"No whitelist of {name} is at hand; give the sample's own in the column 'whitelist'.")
    folder = carried_lists()
    if folder is None:
        raise UserMistake(
            "kb-python, whose dependency ngs-tools carries 10x's barcode lists, is not installed; install "
            "velocorpus[counts], or give a list in the column 'whitelist'."
        )
    return folder / chemistry.barcode_list
