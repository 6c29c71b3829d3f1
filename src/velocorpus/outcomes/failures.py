"""Why a step of a sample failed, in one sentence out of its log, and whether another try would end the same.

Another try would, where velocorpus itself refuses (exit code 2) and where an external tool finds fault with the reads
themselves. Everything else (a network that is down, memory, a full disk, a defect) may pass, and is tried again.
"""

import os
import re
import signal

LONGEST = 500

# What a tool's log says of reads that it cannot use, and what we say of it. Found by running STAR 2.7.10b and kb 0.30.2
# on such reads; Cell Ranger's is from its documentation.
UNUSABLE = (
    (r"EXITING:? because of fatal (?:ERROR in|INPUT file error:?)\s*(.+)", "STAR: {}; give sound files of reads."),
    (
        r"Solo.out/GeneFull/filtered/barcodes.tsv.*No such file",
        "STARsolo called no cell: too few reads have a barcode of the chemistry's list and lie in a gene; check the "
        "chemistry, the organism and which file is read 1.",
    ),
    (
        r"\[~warn\] no reads pseudoaligned",
        "kallisto found no read in a gene of the reference; check chemistry, organism and which file is read 1.",
    ),
    (r"Error: (barcode length and on-list length differ.*)", "bustools: {}; give the list of the sample's chemistry."),
    (r"(An extremely low rate of correct barcodes .*)", "Cell Ranger: {}"),
)
# What a tool's log says of any failure, best first; the last line of a log is often only a farewell.
SAID = (
    r"(EXITING:? because of .+)",
    r"Log message:\s*(.+)",
    r"^\s*(Error: .+)",
)


def diagnose(log: str, code: int) -> tuple[str, bool]:
    """(reason, whether another try would end the same) of a step that ended with `code` and left the text `log`."""
    own = re.findall(r"^velocorpus: (.+)$", log, re.MULTILINE)
    if own and code in (2, os.EX_TEMPFAIL):
        return own[-1], code == 2
    for pattern, sentence in UNUSABLE:
        if found := re.search(pattern, log, re.IGNORECASE):
            return sentence.format(*(text.strip(" .:") for text in found.groups()))[:LONGEST], True
    if signal_of(code) == signal.SIGKILL:
        return "killed (signal 9), most often for want of memory", False
    for pattern in SAID:
        if found := re.search(pattern, log, re.MULTILINE):
            return found[1][:LONGEST], False
    lines = [line.strip() for line in log.splitlines() if line.strip()]
    return (lines[-1] if lines else f"ended with exit code {code} and no word")[:LONGEST], False


def signal_of(code: int) -> int:
    """The signal that ended a process, told by itself (negative) or by its shell (128 and more); 0 for none."""
    return -code if code < 0 else max(code - 128, 0)
