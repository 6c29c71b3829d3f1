"""ENA's portal API: one row a run, with its files, sizes and MD5.

`filereport` takes one study; `search` takes lists of runs, experiments or samples. Both answer JSON rows with the
fields asked for (https://www.ebi.ac.uk/ena/portal/api/doc); an accession that ENA does not know has no rows.
"""

import functools
import json
from collections.abc import Iterable

from velocorpus.errors import UserMistake
from velocorpus.reads.resolve.runs import Run, kind_of, run_of
from velocorpus.reads.resolve.web import Refused, Service

NEEDED = ("run_accession", "experiment_accession", "sample_accession", "study_accession", "fastq_ftp", "fastq_md5")
WANTED = (
    *NEEDED,
    *("secondary_sample_accession", "secondary_study_accession", "experiment_alias", "sample_alias", "study_alias"),
    *("library_layout", "library_strategy", "library_source", "library_name", "library_construction_protocol"),
    *("instrument_platform", "read_count", "tax_id", "scientific_name", "tissue_type", "disease"),
    *("experiment_title", "sample_title", "study_title"),
    *("fastq_bytes", "submitted_ftp", "submitted_md5", "submitted_bytes", "sra_ftp", "sra_md5", "sra_bytes"),
)
LISTED = {"run": "run", "experiment": "experiment", "biosample": "sample", "sra_sample": "sample"}
BATCH = 400


def look_up(service: Service, accessions: Iterable[str]) -> dict[str, list[Run]]:
    """The runs that ENA has for each accession (not GEO's), in the order asked."""
    found: dict[str, list[Run]] = {accession: [] for accession in accessions}
    if not found:
        return found
    fields = _fields(service)
    batches: dict[str, list[str]] = {}
    for accession in found:
        if kind_of(accession) in LISTED:
            batches.setdefault(LISTED[kind_of(accession)], []).append(accession)
        else:
            try:
                found[accession] = _ask(service, "filereport", {"accession": accession, "fields": fields, "limit": "0"})
            except Refused as refused:
                # An accession that ENA cannot place is absent; anything else refused is a mistake of the call.
                if refused.status != 404 and not (refused.status == 400 and "accession" in refused.said.lower()):
                    raise
    for kind, members in batches.items():
        for start in range(0, len(members), BATCH):
            listed = ",".join(members[start : start + BATCH])
            values = {"includeAccessionType": kind, "includeAccessions": listed, "fields": fields, "limit": "0"}
            for run in _ask(service, "search", values, post=True):
                for name in run.names & found.keys():
                    found[name].append(run)
    return found


@functools.cache
def _fields(service: Service) -> str:
    """The fields to ask for, of those that ENA has today: one unknown name would have the whole request refused."""
    offered = service.ask("returnFields", {"result": "read_run", "format": "json"}, _rows)
    names = {row["columnId"] for row in offered}
    if lost := [field for field in NEEDED if field not in names]:
        raise UserMistake(
            f"{service.base} has no field {lost[0]} of read_run any more; velocorpus must learn its name."
        )
    return ",".join(field for field in WANTED if field in names)


def _ask(service: Service, path: str, values: dict[str, str], *, post: bool = False) -> list[Run]:
    rows = service.ask(path, values | {"result": "read_run", "format": "json"}, _rows, post=post)
    return [run_of(row) for row in rows]


def _rows(text: str) -> list[dict[str, str]]:
    rows = json.loads(text) if text.strip() else []
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise ValueError("no list of rows")
    return rows
