"""Valid material for the fuzz target: raw BAM records of every tag dialect, BGZF blocks, a GTF, barcodes."""

import struct
import zlib
from collections.abc import Sequence
from random import Random

CHROMOSOMES = ("1", "2", "chr3")
BARCODES = ("AAAACCCCGGGGTTTT", "ACGTACGTACGTACGT", "TTTTGGGGCCCCAAAA", "ACGNACGTACGTACGT", "A" * 40)
EOF_BLOCK = bytes.fromhex("1f8b08040000000000ff0600424302001b0003000000000000000000")
HEAD = struct.Struct("<iiiBBHHHiiii")  # a record's own length first
TAKES_QUERY, TAKES_REFERENCE = 0b110010011, 0b110001101  # bit o: CIGAR operation o of MIDNSHP=X
GTF = "".join(
    f'{chromosome}\tx\texon\t{start}\t{end}\t.\t{strand}\t.\tgene_id "{gene}"; transcript_id "{gene}{t}";'
    f' exon_number "{number}"; gene_name "n{gene}";\n'
    for gene, chromosome, strand in (("G", "1", "+"), ("H", "1", "-"), ("I", "2", "+"), ("J", "chr3", "-"))
    for t, exons in (("a", ((100, 200), (400, 500), (900, 1000))), ("b", ((150, 200), (900, 1200))))
    for number, (start, end) in enumerate(exons if strand == "+" else exons[::-1], start=1)
)
_B_WIDTH = {"c": 1, "C": 1, "s": 2, "S": 2, "i": 4, "I": 4, "f": 4}


def header(text: str = "@HD\tVN:1.6\n", chromosomes: Sequence[str] = CHROMOSOMES) -> bytes:
    """The bytes of a BAM before its first record."""
    text += "".join(f"@SQ\tSN:{name}\tLN:100000000\n" for name in chromosomes)
    references = b"".join(
        struct.pack("<i", len(name) + 1) + name.encode() + b"\0" + struct.pack("<i", 100_000_000)
        for name in chromosomes
    )
    return b"BAM\1" + struct.pack("<i", len(text)) + text.encode() + struct.pack("<i", len(chromosomes)) + references


def tag(name: str, kind: str, value: bytes | str | int | float | Sequence[int]) -> bytes:
    """One tag as in a BAM; for arrays `kind` is B and the type of their elements."""
    if kind in "ZH":
        raw = str(value).encode() + b"\0"
    elif kind == "A":
        raw = str(value).encode()
    elif kind[0] == "B":
        raw = kind[1].encode() + struct.pack(f"<i{len(value)}{_STRUCT[kind[1]]}", len(value), *value)  # type: ignore[arg-type]
    else:
        raw = struct.pack("<" + _STRUCT[kind], value)
    return name.encode() + kind[0].encode() + raw


_STRUCT = {"c": "b", "C": "B", "s": "h", "S": "H", "i": "i", "I": "I", "f": "f"}


def record(
    reference: int, position: int, flag: int, cigar: Sequence[int], n_bases: int, tags: bytes,
    mapq: int = 255, name: bytes = b"r",
) -> bytes:  # fmt: skip
    """One record as in a BAM, its length first; `cigar` as uint32, the sequence is As of quality 255."""
    body = name + b"\0" + struct.pack(f"<{len(cigar)}I", *cigar) + b"\x11" * ((n_bases + 1) // 2) + b"\xff" * n_bases
    size = HEAD.size - 4 + len(body) + len(tags)
    return HEAD.pack(
        size, reference, position, len(name) + 1, mapq, 4680, len(cigar), flag, n_bases, -1, -1, 0
    ) + body + tags  # fmt: skip


def random_record(rng: Random) -> bytes:
    """A valid record: any flag, CIGAR and tags; names and sequences may be stripped, the CIGAR long (CG) or absent."""
    cigar = [rng.choice((1, 3, 10, 50, 98, 400)) << 4 | rng.choice((0, 0, 0, 1, 2, 3, 4, 7, 8, rng.randrange(9)))
             for _ in range(rng.choice((0, 1, 1, 1, 2, 3, 3, 5, 20)))]  # fmt: skip
    query = sum(o >> 4 for o in cigar if TAKES_QUERY >> (o & 15) & 1)
    n_bases = rng.choice((query, query, 0))
    tags = _tags(rng)
    if n_bases and rng.random() < 0.1:
        span = sum(o >> 4 for o in cigar if TAKES_REFERENCE >> (o & 15) & 1)
        tags.insert(rng.randrange(len(tags) + 1), tag("CG", "BI", cigar))
        cigar = [n_bases << 4 | 4, span << 4 | 3][: len(cigar)]
    return record(
        reference=rng.choice((0, 0, 0, 0, 1, 2, -1)),
        position=rng.choice((rng.randrange(1300), rng.randrange(1300), rng.randrange(1300), -1, 90_000_000)),
        flag=rng.choice((0, 0, 16, 16, 4, 256, 272, 1024, 2048, 512, rng.randrange(1 << 12))),
        cigar=cigar,
        n_bases=n_bases,
        tags=b"".join(tags),
        mapq=rng.choice((255, 255, 3, 0)),
        name=rng.choice((b"*", b"r", b"A00:1:HX", b"n" * 253)),
    )


def _tags(rng: Random) -> list[bytes]:
    barcode = rng.choice(BARCODES) + rng.choice(("", "-1", "-1", "-2-3"))
    umi = "".join(rng.choice("ACGT") for _ in range(rng.choice((10, 12, 12, 31, 32, 60))))
    odd_barcode, odd_umi = rng.choice(("", "-1", "GGGG-1", "acgt")), rng.choice(("", "-", "ACGTNACGTN"))
    cell = [tag("CB", "Z", odd_barcode), tag("CB", "A", "A"), tag("CB", "i", 7), tag("CB", "H", "AAFF"), b""]
    molecule = [tag("UB", "Z", odd_umi), tag("UB", "A", "C"), tag("UB", "C", 1), b""]
    hits = [tag("NH", "C", 2), tag("NH", "f", 1.0), tag("NH", "Z", "1"), tag("NH", "BC", (1, 1)), b"", b"", b""]
    tags = [
        rng.choice([tag("CB", "Z", barcode)] * 7 + cell),
        rng.choice([tag("UB", "Z", umi)] * 7 + molecule),
        rng.choice([tag("NH", kind, 1) for kind in "cCsSiICCC"] + hits),
    ]
    for _ in range(rng.choice((0, 0, 1, 3, 6))):
        kind = rng.choice("BBZAHcCsSiIf")
        name = (
            rng.choice(("xf", "GX", "CR", "RE", "HI", "li")) if rng.random() < 0.95 else rng.choice(("CB", "UB", "NH"))
        )
        if kind == "B":
            kind += rng.choice("cCsSiIf")
            tags.append(tag(name, kind, [1] * rng.choice((0, 1, 2, 9, 100))))
        else:
            tags.append(tag(name, kind, {"Z": "ENSG1;ENSG2", "A": "N", "H": "1A"}.get(kind, 1)))
    rng.shuffle(tags)
    return tags


def block(data: bytes, before: bytes = b"", after: bytes = b"", level: int = 1) -> bytes:
    """One BGZF block, with gzip subfields before and after its own."""
    deflate = zlib.compressobj(level, wbits=-15)
    packed = deflate.compress(data) + deflate.flush()
    n_extra = len(before) + 6 + len(after)
    return (
        b"\x1f\x8b\x08\x04\0\0\0\0\0\xff" + struct.pack("<H", n_extra) + before
        + b"BC\2\0" + struct.pack("<H", 12 + n_extra + len(packed) + 7) + after + packed
        + struct.pack("<II", zlib.crc32(data), len(data))
    )  # fmt: skip


def blocks(data: bytes, rng: Random) -> list[bytes]:
    """Blocks of a file, cut anywhere: records lie across blocks, some blocks are tiny, some empty."""
    largest = rng.choice((60, 300, 300, 5_000, 5_000, 65_280, 65_280, 65_280))
    odd = largest > 1_000 and rng.random() < 0.5
    made, at = [], 0
    while at < len(data):
        size = largest if rng.random() < 0.7 else rng.randint(1, largest)
        subfield = b"XY\3\0abc" if odd and rng.random() < 0.3 else b""
        made.append(block(data[at : at + size], after=subfield, level=rng.choice((0, 1))))
        at += size
        if odd and rng.random() < 0.05:
            made.append(EOF_BLOCK)
    return made
