"""A BAM several times as long, for its reads repeated: blocks are copied as they are, nothing is compressed again."""

import struct
import zlib
from pathlib import Path

from velocorpus.errors import UserMistake
from velocorpus.files import replacing

_END = bytes.fromhex("1f8b08040000000000ff0600424302001b0003000000000000000000")
_CHUNK = 1 << 24


def repeat_bam(source: Path | str, target: Path | str, times: int) -> None:
    """Write `source` with its records `times` over: one header, one end. The result is not sorted by position.

    Refuses a BAM whose header does not end with a BGZF block (htslib and our simulator end it there).
    """
    source = Path(source)
    with source.open("rb") as whole, replacing(target) as aside, aside.open("wb") as out:
        begin = _end_of_header(source)
        end = source.stat().st_size
        whole.seek(end - len(_END))
        end -= len(_END) if whole.read() == _END else 0
        whole.seek(0)
        out.write(whole.read(begin))
        for _ in range(times):
            whole.seek(begin)
            while piece := whole.read(min(_CHUNK, end - whole.tell())):
                out.write(piece)
        out.write(_END)


def _end_of_header(path: Path) -> int:
    """The offset of the first block of records."""
    text = b""
    with path.open("rb") as file:
        while (size := _header_size(text)) is None or len(text) < size:
            head = file.read(18)
            if len(head) < 18 or head[12:16] != b"BC\2\0":
                raise UserMistake(f"{path} has no BAM header in blocks of BGZF; give a BAM as htslib writes it.")
            block = head + file.read(struct.unpack("<H", head[16:])[0] + 1 - len(head))
            text += zlib.decompress(block, wbits=31)
        if len(text) > size:
            raise UserMistake(
                f"{path}: records share a block with the header; write the BAM again with samtools view -b."
            )
        return file.tell()


def _header_size(text: bytes) -> int | None:
    """Bytes of a BAM's header as far as `text` tells; None where it does not yet."""
    if len(text) < 8:
        return None
    at = 8 + struct.unpack_from("<i", text, 4)[0]
    if len(text) < at + 4:
        return None
    (n_chromosomes,) = struct.unpack_from("<i", text, at)
    at += 4
    for _ in range(n_chromosomes):
        if len(text) < at + 4:
            return None
        at += 8 + struct.unpack_from("<i", text, at)[0]
    return at
