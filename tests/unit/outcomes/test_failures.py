"""What tools said of reads that they could not use: recorded from STAR 2.7.10b, kb 0.30.2 and bustools 0.45."""

import pytest

from velocorpus.outcomes.failures import diagnose

STAR_CUT = """Nov 22 18:25:23 ..... started mapping

gzip: t2.fastq.gz: unexpected end of file

EXITING because of FATAL ERROR in reads input: quality string length is not equal to sequence length
@SIM:1:VELO:1:000001169
SOLUTION: fix your fastq file

Nov 22 18:25:23 ...... FATAL ERROR, exiting
"""
STAR_FOREIGN = """ReadAlignChunk_processChunks.cpp:204:processChunks EXITING because of FATAL ERROR in input reads: \
wrong read ID line format: the read ID lines should start with @ or >
"""
STAR_ABSENT = """EXITING: because of fatal INPUT file error: could not open read file: absent.fastq.gz
SOLUTION: check that this file exists and has read permision.
"""
STAR_LIST = """EXITING because of FATAL ERROR in input CB whitelist file: bad.txt the total length of barcode sequence \
is 10 not equal to expected 0
"""
STAR_NO_CELL = """Nov 22 18:25:27 ..... finished successfully
cp: cannot stat 'Solo.out/GeneFull/filtered/barcodes.tsv': No such file or directory
"""
KB_NOTHING = """[quant] processed 2,000 reads, 0 reads pseudoaligned
[~warn] no reads pseudoaligned.

[2026-11-22 18:28:33,461]   ERROR [main] An exception occurred
Traceback (most recent call last):
subprocess.CalledProcessError: Command 'kallisto bus' returned non-zero exit status 1.
"""
KB_LIST = """[2026-11-22 18:28:25,560]   ERROR [count_nac] Found 1 barcodes in the on-list
Error: barcode length and on-list length differ, barcodes = 16, on-list = 10
check that your on-list matches the technology used
"""
CELLRANGER = """[error] Pipestance failed. Error log at:
run/SC_RNA_COUNTER_CS/_errors

Log message:
An extremely low rate of correct barcodes was observed for all the candidate chemistry choices for the input.
"""
STAR_MEMORY = """EXITING because of fatal ERROR: not enough memory for BAM sorting:
SOLUTION: re-run STAR with at least --limitBAMsortRAM 1000676358
Nov 22 18:25:35 ...... FATAL ERROR, exiting
"""
DEFECT = """a.bam: 3 reads
Traceback (most recent call last):
ZeroDivisionError: division by zero
"""


@pytest.mark.parametrize(
    ("log", "code", "said"),
    [
        (STAR_CUT, 104, "STAR: reads input: quality string length is not equal to sequence length; give sound"),
        (STAR_FOREIGN, 104, "STAR: input reads: wrong read ID line format"),
        (STAR_ABSENT, 102, "STAR: could not open read file: absent.fastq.gz"),
        (STAR_LIST, 104, "STAR: input CB whitelist file: bad.txt"),
        (STAR_NO_CELL, 1, "STARsolo called no cell"),
        (KB_NOTHING, 1, "kallisto found no read in a gene"),
        (KB_LIST, 1, "bustools: barcode length and on-list length differ, barcodes = 16, on-list = 10; give"),
        (CELLRANGER, 1, "Cell Ranger: An extremely low rate of correct barcodes"),
        ("velocorpus: note\nvelocorpus: The BAM has no CB tags.\n", 2, "The BAM has no CB tags."),
    ],
)
def test_faults_of_the_reads_refuse_the_sample(log, code, said):
    reason, forever = diagnose(log, code)
    assert forever
    assert reason.startswith(said)
    assert "\n" not in reason


@pytest.mark.parametrize(
    ("log", "code", "said"),
    [
        (STAR_MEMORY, 102, "EXITING because of fatal ERROR: not enough memory for BAM sorting:"),
        ("velocorpus: host.org did not answer.\n", 75, "host.org did not answer."),
        ("Killed\n", 137, "killed (signal 9), most often for want of memory"),
        ("", -9, "killed (signal 9), most often for want of memory"),
        (DEFECT, 1, "ZeroDivisionError: division by zero"),
        ("usage: kb [-h]\nkb: error: unrecognized arguments\n", 2, "kb: error: unrecognized arguments"),
        ("", 3, "ended with exit code 3 and no word"),
    ],
)
def test_everything_else_may_pass(log, code, said):
    assert diagnose(log, code) == (said, False)
