"""Damage to valid bytes: of records, of BGZF blocks, of headers and of lines of text."""

import struct
from collections.abc import Callable
from random import Random

from tests.fuzz.material import EOF_BLOCK, HEAD, block

# Place and struct code of a record's fields: size, reference, position, name, MAPQ, operations, flag, bases, mate.
_FIELDS = ((0, "i"), (4, "i"), (8, "i"), (12, "B"), (13, "B"), (16, "H"), (18, "H"), (20, "i"), (24, "i"), (28, "i"))
_WIDTH = {"B": 8, "H": 16, "i": 32, "I": 32}
_PIECES = (b"NH", b"CBZ", b"UBZ", b"CGBI", b"BI\xff\xff\xff\x7f", b"Bd\1\0\0\0", b"d", b"\0", b"\0\0\0\0", b"\xff" * 4)


def put(data: bytes, at: int, code: str, value: int) -> bytes:
    """`data` with a number written over its bytes, cut to the number's width."""
    packed = struct.pack("<" + code.upper(), value % (1 << _WIDTH[code]))
    return data[:at] + packed + data[at + len(packed) :]


def boundary(rng: Random, old: int) -> int:
    """A number at which length checks go wrong."""
    return rng.choice((0, 1, -1, -2, 2**31 - 1, -(2**31), 2**16 - 1, 2**26, 2**26 + 1, 255, old - 1, old + 1, 2 * old,
                       rng.getrandbits(32)))  # fmt: skip


def flip(data: bytes, rng: Random) -> bytes:
    """Some bits flipped."""
    changed = bytearray(data)
    for _ in range(rng.choice((1, 1, 1, 2, 8)) if data else 0):
        changed[rng.randrange(len(changed))] ^= 1 << rng.randrange(8)
    return bytes(changed)


def _field(data: bytes, rng: Random) -> bytes:
    at, code = rng.choice(_FIELDS)
    (old,) = struct.unpack_from("<" + code, data, at)
    return put(data, at, code, rng.choice((boundary(rng, old), len(data), len(data) - 4, len(data) - 36)))


def _number_anywhere(data: bytes, rng: Random) -> bytes:
    at = rng.randrange(32, len(data) - 3) if len(data) > 36 else 0
    (old,) = struct.unpack_from("<i", data, at)
    return put(data, at, "i", rng.choice((boundary(rng, old), len(data) - at - 4)))


def _tag_byte(data: bytes, rng: Random) -> bytes:
    at = rng.randrange(min(36, len(data) - 1), len(data))
    return data[:at] + bytes([rng.choice(b"AcCsSiIfZHBdX\0\xffNCU")]) + data[at + 1 :]


def _operation(data: bytes, rng: Random) -> bytes:
    at, n = 36 + data[12], data[16] | data[17] << 8
    at += 4 * rng.randrange(n) if n else 0
    value = rng.choice((rng.getrandbits(32), boundary(rng, 0) << 4 | rng.randrange(16)))
    return put(data, at, "I", value) if at + 4 <= len(data) else data


def _without_nul(data: bytes, rng: Random) -> bytes:
    nuls = [i for i in range(36, len(data)) if data[i] == 0]
    at = rng.choice(nuls) if nuls else 0
    return data[:at] + bytes([rng.randrange(1, 256)]) + data[at + 1 :]


def _resized(data: bytes, rng: Random) -> bytes:
    """Bytes cut out or put in, the record's own length set right or not."""
    at, n = rng.randrange(4, len(data) + 1), rng.choice((1, 2, 3, 4, 8, 40))
    data = data[:at] + (rng.choice((rng.randbytes(n), rng.choice(_PIECES))) if rng.random() < 0.5 else b"") + data[
        at + rng.choice((0, n)) :
    ]  # fmt: skip
    return put(data, 0, "i", len(data) - 4) if rng.random() < 0.8 and len(data) >= 4 else data


_RECORD: tuple[Callable[[bytes, Random], bytes], ...] = (
    flip, _field, _field, _number_anywhere, _tag_byte, _operation, _without_nul, _resized,
)  # fmt: skip


def damage_records(records: list[bytes], rng: Random) -> bytes:
    """The records' bytes, some damaged, cut, joined, doubled or repeated."""
    records = list(records)
    for _ in range(rng.choice((1, 1, 1, 2, 4))):
        i, other = rng.randrange(len(records)), rng.choice(records)
        one, how = records[i], rng.random()
        if how < 0.8 and len(one) >= HEAD.size:
            records[i] = rng.choice(_RECORD)(one, rng)
        elif how < 0.85:
            joined = one[: rng.randrange(len(one) + 1)] + other[rng.randrange(len(other) + 1) :]
            records[i] = put(joined, 0, "i", len(joined) - 4) if len(joined) >= 36 else joined
        elif how < 0.9:
            records[i] = one * rng.choice((2, 3, 200))
        elif how < 0.95:
            records[-1] = records[-1][: rng.randrange(len(records[-1]) + 1)]
        else:
            records.append(rng.randbytes(rng.choice((1, 3, 4, 35, 36, 200))))
    return b"".join(records)


def damage_blocks(parts: list[bytes], rng: Random) -> bytes:
    """A BGZF file whose blocks are damaged, cut, doubled, left out or followed by something else."""
    parts = [*parts, EOF_BLOCK]
    for _ in range(rng.choice((1, 1, 2))):
        i, how = rng.randrange(len(parts)), rng.randrange(11)
        one = parts[i]
        if how == 0:
            parts[i] = flip(one, rng)
        elif how < 6 and len(one) >= 28:
            # XLEN, length of BC, BSIZE, CRC, ISIZE
            at, code = ((10, "H"), (14, "H"), (16, "H"), (len(one) - 8, "I"), (len(one) - 4, "I"))[how - 1]
            (old,) = struct.unpack_from("<" + code, one, at)
            parts[i] = put(one, at, code, boundary(rng, old))
        elif how == 6:
            parts.insert(i, rng.choice((EOF_BLOCK, one, block(b""), block(rng.randbytes(9)))))
        elif how == 7:
            del parts[i]
        elif how == 8:
            parts.append(rng.choice((rng.randbytes(9), b"\0" * 28, EOF_BLOCK, b"\x1f\x8b\x08\x04", one)))
        elif how == 9:
            parts[i] = one[: rng.randrange(len(one) + 1)]
        else:
            file = b"".join(parts)
            parts = [file[: rng.randrange(len(file) + 1)], rng.choice((b"", EOF_BLOCK))]
        if not parts:
            break
    return b"".join(parts) + (EOF_BLOCK if rng.random() < 0.5 else b"")


def damage_header(data: bytes, rng: Random) -> bytes:
    """A BAM header with wrong bits, lengths or numbers of chromosomes."""
    n_text = struct.unpack_from("<i", data, 4)[0]
    places = (4, 8 + n_text, 12 + n_text, rng.randrange(len(data) - 3))
    how = rng.randrange(4)
    if how == 0:
        return flip(data, rng)
    if how == 1:
        at = rng.randrange(len(data))
        return data[:at] + data[at + rng.choice((1, 4, 20)) :]
    at = rng.choice(places)
    (old,) = struct.unpack_from("<i", data, at)
    return put(data, at, "i", boundary(rng, old))


_WORDS = (
    "", "-1", "0", "1", "2147483647", "2147483648", "9" * 5000, "²", "٣", "nan", "+", "-", ".", "exon", "gene", "chr",
    "gene_id", 'gene_id ""', "exon_number 99999999999", "AAAA", "A-1", "é", "\ufeff", '"', ";", "_", "#", " ", "\t",
    "\n", "\r", "\0",
)  # fmt: skip


def damage_text(text: str, rng: Random) -> bytes:
    """Lines with wrong words, columns and bytes."""
    lines = text.splitlines(keepends=True)
    for _ in range(rng.choice((1, 1, 2, 5))):
        i, how = rng.randrange(len(lines)), rng.randrange(6)
        fields = lines[i].split("\t")
        if how < 3:
            fields[rng.randrange(len(fields))] = rng.choice(_WORDS)
            lines[i] = "\t".join(fields)
        elif how == 3:
            at = rng.randrange(len(lines[i]) + 1)
            lines[i] = lines[i][:at] + rng.choice(_WORDS) + lines[i][at + rng.choice((0, 1, 5)) :]
        elif how == 4:
            lines[i] = "\t".join(fields[: rng.randrange(len(fields) + 1)])
        else:
            lines[i] += rng.choice(lines)
    data = "".join(lines).encode()
    return flip(data, rng) if rng.random() < 0.2 else data
