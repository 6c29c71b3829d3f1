"""The repeat mask against velocyto 0.17.17 itself: its intervals, its answer for each read, its counts."""

from collections.abc import Sequence
from importlib.util import find_spec

import numba
import numpy as np
import pytest
from bam_makers import ReadSpec, padding, transcript_lines, velocyto_counts, write_bam

from velocorpus.counting.count import count_bam
from velocorpus.counting.features import build_features
from velocorpus.counting.mask import masked, read_mask
from velocorpus.counting.rules import LOGICS
from velocorpus.reference.gtf import read_gtf

pytestmark = pytest.mark.skipif(find_spec("velocyto") is None, reason="velocyto is not installed")

NAMES = ("1", "chr1", "2", "chr10", "Chr10", "X", "chrM", "chr1_K_random", "CHR3", "xchr", "chr")
FOLDED = ("1", "2", "10", "X", "M", "1_K_random", "3", "xchr", "")


@pytest.fixture
def velocyto(monkeypatch):
    """velocyto as a module; what it compiles when it is imported is its analysis, which is not used."""
    monkeypatch.setattr(numba.config, "DISABLE_JIT", 1)
    return pytest.importorskip("velocyto")


def repeat_lines(rng: np.random.Generator, names: Sequence[str], n: int, reach: int, longest: int) -> str:
    """Random repeats, unsorted, many of them overlapping, nested or alike."""
    lines = []
    for _ in range(n):
        start = int(rng.integers(1, reach))
        kind, score, strand = (str(rng.choice(list(some))) for some in (("exon", "repeat"), "1.", "++---."))
        end = start + int(rng.integers(0, longest))
        lines.append(f'{rng.choice(names)}\trmsk\t{kind}\t{start}\t{end}\t{score}\t{strand}\t.\tgene_id "R";\n')
    return "".join(lines)


def random_segments(rng: np.random.Generator, reach: int) -> list[tuple[int, int]]:
    at, segments = int(rng.integers(1, reach)), []
    for _ in range(int(rng.choice([1, 1, 1, 2]))):
        length = int(rng.integers(3, 40))
        segments.append((at, at + length))
        at += length + 1 + int(rng.integers(0, 50))
    return segments


@pytest.mark.filterwarnings("ignore::ResourceWarning")  # velocyto leaves the file open
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_random_reads_are_masked_as_velocytos_own_index_masks_them(tmp_path, velocyto):
    n_masked = 0
    for seed in range(150):
        rng = np.random.default_rng(seed)
        reach = int(rng.choice([100, 400, 1500]))
        path = tmp_path / "repeats.gtf"
        names = rng.choice(NAMES, size=int(rng.integers(1, 5)), replace=False)
        path.write_text(repeat_lines(rng, names, int(rng.integers(2, 60)), reach, int(rng.choice([10, 80, 200]))))
        mask = read_mask(path, {name: c for c, name in enumerate(FOLDED)}).arrays
        counter = velocyto.ExInCounter("sample", velocyto.Permissive10X)
        theirs = counter.read_repeats(str(path))
        for group in range(2 * len(FOLDED)):
            intervals = theirs.get(FOLDED[group // 2] + "+-"[group % 2])
            if intervals is None:
                assert mask[0][group] == mask[0][group + 1]
                continue
            index = velocyto.FeatureIndex(intervals)
            for read in sorted(random_segments(rng, reach) for _ in range(60)):
                first, last = np.array(read).T
                asked = velocyto.Read("A", "A", "1", "+", read[0][0], read, 0, 0, len(read) > 1)
                expected = index.has_ivls_enclosing(asked)
                assert masked(group, 0, first, last, 0, first.size, mask) == expected, (seed, group, read)
                n_masked += expected
    assert n_masked > 500


@pytest.mark.slow
def test_reads_masked_on_either_strand_count_as_velocyto_counts_them(tmp_path):
    rng = np.random.default_rng(1)
    text = ""
    for gene in range(16):
        exons, at = [], int(rng.integers(1_000, 12_000))
        for _ in range(4):
            exons.append((at, at + 150))
            at += 150 + int(rng.integers(50, 700))
        text += transcript_lines(f"G{gene}", f"T{gene}", exons, "+-"[gene % 2])
    gtf, repeats = tmp_path / "genes.gtf", tmp_path / "repeats.gtf"
    gtf.write_text(text)
    # Chromosome 3 keeps the last strand of chromosome 1 from being lost.
    repeats.write_text(repeat_lines(rng, ["chr1"], 150, 14_000, 250) + repeat_lines(rng, ["chr3"], 20, 900, 9))
    reads = [
        ReadSpec(
            int(rng.integers(1_000, 15_000)),
            str(rng.choice(["90M", "30M", "40M300N40M", "20S60M", "50M3D40M", "40M9D40M"])),
            umi="".join(rng.choice(list("ACGT"), size=6)),
            minus=bool(rng.random() < 0.5),
        )
        for _ in range(1_500)
    ]
    bam = write_bam(tmp_path / "reads.bam", [*reads, *padding()])
    models = read_gtf(gtf)
    mask = read_mask(repeats, build_features(models).chromosomes)
    theirs = velocyto_counts(
        tmp_path / "velocyto", bam, gtf, ["AAAACCCC"], models.gene_ids, tuple(LOGICS), mask=repeats
    )
    for logic in LOGICS:
        ours = count_bam(bam, models, ["AAAACCCC"], logic=logic, mask=mask)
        for layer, matrix in ours.layers.items():
            assert np.array_equal(matrix.toarray(), theirs[logic][layer]), f"{logic}, {layer}: {ours.qc}"
    unmasked = count_bam(bam, models, ["AAAACCCC"], logic=logic)
    assert sum(m.sum() for m in unmasked.layers.values()) > sum(m.sum() for m in ours.layers.values()) > 20
