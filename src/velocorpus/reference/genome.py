"""A genome's FASTA: read as chromosomes, written plain."""

from collections.abc import Mapping
from pathlib import Path

from velocorpus.errors import UserMistake
from velocorpus.files import open_text

LINE_BASES = 60


def read_genome(path: Path | str) -> dict[str, bytearray]:
    """Chromosome name → upper-case bases, in the file's order; gzip-compressed or plain.

    The name is the header's first word. A human genome takes 3.1 GB of memory. Raises `UserMistake` for a
    file that is not FASTA and for a chromosome that stands twice.
    """
    genome: dict[str, bytearray] = {}
    bases: bytearray | None = None
    with open_text(path) as handle:
        for line in handle:
            if line.startswith(">"):
                name = (line[1:].split() or [""])[0]
                if not name or name in genome:
                    raise UserMistake(f"{path}: chromosome '{name}' has no name or stands twice in the FASTA.")
                bases = genome[name] = bytearray()
            elif bases is None or not line.isascii():
                raise UserMistake(f"{path} is not FASTA: it needs '>' headers with lines of bases under them.")
            else:
                bases += line.strip().upper().encode("ascii")
    if not genome:
        raise UserMistake(f"{path} is empty; give a FASTA with at least one chromosome.")
    return genome


def pad(genome: Mapping[str, bytearray], offsets: Mapping[str, int], where: str) -> dict[str, bytearray]:
    """Put `offsets[chromosome]` N bases before a chromosome whose FASTA holds only a piece of it.

    So the positions of the GTF, which count from the chromosome's start, fit the piece.
    """
    unknown = sorted(set(offsets) - set(genome))
    if unknown:
        raise UserMistake(
            f"The offset names chromosome '{unknown[0]}', which {where} does not have; it has {few(genome)}."
        )
    return {name: bytearray(b"N" * offsets.get(name, 0)) + bases for name, bases in genome.items()}


def write_genome(path: Path, genome: Mapping[str, bytearray]) -> None:
    """Write FASTA with lines of 60 bases and headers of one word, so that equal genomes are equal bytes."""
    with path.open("wb") as out:
        for name, bases in genome.items():
            out.write(b">" + name.encode() + b"\n")
            for start in range(0, len(bases), LINE_BASES):
                out.write(bases[start : start + LINE_BASES] + b"\n")


def few(names: Mapping[str, object] | set[str] | list[str]) -> str:
    """The first names of many, for a message."""
    shown = list(names)[:4]
    return ", ".join(shown) + (f" and {len(names) - len(shown)} more" if len(names) > len(shown) else "")
