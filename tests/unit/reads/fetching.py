"""A file of reads, and how tests fetch it."""

import gzip
import hashlib

from velocorpus.config import FetchConfig
from velocorpus.reads.fetch.file import fetch

RECORD = b"@read\nACGTACGTAC\n+\nFFFFFFFFFF\n"
CONTENT = gzip.compress(RECORD * 3000, mtime=0, compresslevel=0)
MD5 = hashlib.md5(CONTENT).hexdigest()
PART = 20_000


def get(source, out, *, md5=None, size=None, **how):
    fetch(str(source), out, md5=md5, size=size, how=FetchConfig(**how), wait_s=0.001, part_bytes=PART)
    return out.read_bytes()


def files_in(folder):
    return sorted(file.name for file in folder.iterdir())


def ranges(site):
    return [asked.get("range") for asked in site.asked]
