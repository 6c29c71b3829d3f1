"""Accessions looked up once, in both archives; the tables that come of it are committed.

ENA says which files there are, NCBI how long reads are and which originals are public. Which of them are taken is
decided in `choice`, libraries and rows are made in `rows`.
"""

import os
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from velocorpus.errors import UserMistake
from velocorpus.reads.resolve import ena as ena_portal
from velocorpus.reads.resolve import ncbi as e_utilities
from velocorpus.reads.resolve.runs import Run, kind_of, merge, natural
from velocorpus.reads.resolve.web import Service


@dataclass
class Found:
    """What the archives answered.

    `siblings`: all runs of each experiment, asked for or not. `absent`: a sentence for each accession without a run.
    """

    runs: list[Run]
    siblings: dict[str, set[str]]
    absent: dict[str, str]


def services(ena_url: str, ncbi_url: str, proxy: str | None = None, *, wait_s: float = 2.0) -> tuple[Service, Service]:
    """ENA and NCBI, each at the pace that it asks for; a key in NCBI_API_KEY allows NCBI's faster one."""
    key = os.environ.get("NCBI_API_KEY", "")
    always = {"tool": "velocorpus"} | ({"api_key": key} if key else {})
    return (
        Service(ena_url, per_second=20, proxy=proxy, wait_s=wait_s),
        Service(ncbi_url, per_second=9 if key else 2.9, always=always, proxy=proxy, wait_s=wait_s),
    )


def look_up(accessions: Iterable[str], ena: Service, ncbi: Service | None) -> Found:
    """Ask ENA for files and NCBI for read lengths and originals. Without NCBI, GEO's accessions are refused."""
    asked = list(dict.fromkeys(accessions))
    geo = [name for name in asked if kind_of(name) in ("gse", "gsm")]
    if geo and ncbi is None:
        raise UserMistake(f"{geo[0]} is GEO's, which only NCBI can resolve; leave out --no-ncbi.")
    series = e_utilities.samples_of_series(ncbi, (n for n in geo if kind_of(n) == "gse")) if ncbi else {}
    stands_for = {name: set(series.get(name, [name])) for name in asked}
    wanted = set().union(*stands_for.values())

    by_asked = ena_portal.look_up(ena, (name for name in asked if name not in geo))
    at_ena = {run.run: run for runs in by_asked.values() for run in runs}
    packages: dict[str, Run] = {}
    if ncbi is not None:
        packages = e_utilities.look_up(ncbi, natural(wanted))
        packages |= e_utilities.look_up(ncbi, natural(at_ena.keys() - packages.keys()))
    at_ncbi = {run.run: run for run in packages.values() if run.run in at_ena or run.names & wanted}
    for runs in ena_portal.look_up(ena, natural(at_ncbi.keys() - at_ena.keys())).values():
        at_ena |= {run.run: run for run in runs}

    runs = [
        merge(at_ena[name], at_ncbi[name]) if name in at_ena and name in at_ncbi else (at_ena | at_ncbi)[name]
        for name in natural(at_ena.keys() | at_ncbi.keys())
    ]
    siblings: dict[str, set[str]] = defaultdict(set)
    for run in (*at_ena.values(), *packages.values()):
        siblings[run.experiment].add(run.run)
    answered = set().union(*(run.names for run in runs)) | {name for name, found in by_asked.items() if found}
    absent = {name: _absent(name, series) for name in asked if not stands_for[name] & answered}
    return Found(runs, siblings, absent)


def _absent(name: str, series: Mapping[str, list[str]]) -> str:
    if name in series:
        had = f"its {len(series[name])} samples have no reads in SRA" if series[name] else "GEO does not know it"
        return f"{name}: {had}; check the number, or it is not public yet or its reads are controlled."
    return f"{name}: neither archive has a run of it; check the number, or it was withdrawn or is not public yet."
