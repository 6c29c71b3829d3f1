"""Stand-ins for sra-tools: they refuse flags that sra-tools 3.0.3 does not have and write what it writes."""

import json
import sys
from pathlib import Path

FASTERQ_DUMP = """
parser.add_argument("--include-technical", action="store_true", required=True)
parser.add_argument("--split-files", action="store_true", required=True)
parser.add_argument("--threads", type=int, required=True)
parser.add_argument("--temp", required=True)
parser.add_argument("--outdir", type=pathlib.Path, required=True)
parser.add_argument("archive", type=pathlib.Path)
args = parser.parse_args()
archive = json.loads(args.archive.read_text().removeprefix("NCBI.sra"))
if "says" in archive:
    sys.exit(archive["says"])
args.outdir.mkdir()
for number, reads in enumerate(archive["reads"], 1):
    name = f"{args.archive.name}_{number}.fastq"
    records = [f"@{args.archive.name}.{i}\\n{r}\\n+\\n{'F' * len(r)}\\n" for i, r in enumerate(reads)]
    (args.outdir / name).write_text("".join(records))
"""
VDB_VALIDATE = """
parser.add_argument("archive", type=pathlib.Path)
archive = parser.parse_args().archive
if not archive.is_absolute() or not archive.read_text().endswith("}"):
    sys.exit("err: file corrupt while reading file within file system module")
"""
PREFETCH = """
parser.add_argument("run")
parser.add_argument("--max-size", choices=["u"], required=True)
parser.add_argument("--verify", choices=["yes"], required=True)
parser.add_argument("--output-file", required=True)
args = parser.parse_args()
if "PREFETCH_GIVES" not in os.environ:
    sys.exit(f"err: name not found while resolving query: {args.run}")
shutil.copy(os.environ["PREFETCH_GIVES"], args.output_file)
"""


def install(folder: Path) -> Path:
    """Write the stand-ins into `folder`, which belongs first in PATH."""
    folder.mkdir()
    for name, body in (("fasterq-dump", FASTERQ_DUMP), ("vdb-validate", VDB_VALIDATE), ("prefetch", PREFETCH)):
        head = (
            f"#!{sys.executable}\nimport argparse, json, os, pathlib, shutil, sys\nparser = argparse.ArgumentParser()\n"
        )
        (folder / name).write_text(head + body)
        (folder / name).chmod(0o755)
    return folder


def archive(*reads: list[str], **more: str) -> bytes:
    """What the stand-ins take for a run's file."""
    return b"NCBI.sra" + json.dumps({"reads": reads} | more).encode()
