"""The chemistry of a sample's reads, with the evidence; or why it is unclear.

A verdict is `confident` only when every test that bears on it is decided by bounds of three standard errors; all else
is `unclear`, and names what it could be. What the tests see: the share of listed barcodes (at which base, in which
direction), what one list explains and another does not, where the tract of T begins, strand and organism of the cDNA
by exact 31-base matches, and whether the "cDNA" is a panel of tags or guides instead.
"""

from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from velocorpus.reads.chemistries import CHEMISTRIES, Chemistry
from velocorpus.reads.chemistry.barcode_lists import OTHER_ASSAYS, BarcodeList, Place, listed
from velocorpus.reads.chemistry.cdna import cdna_verdict
from velocorpus.reads.chemistry.kmers import KmerIndex
from velocorpus.reads.chemistry.look import Look, Share, pooled
from velocorpus.reads.chemistry.roles import Lane, lanes_of
from velocorpus.reads.chemistry.sampling import sample_reads
from velocorpus.reads.chemistry.verdict import NOT_10X, Verdict, unclear
from velocorpus.reads.chemistry.without_list import verdict_without_list

# One list must explain this many times more reads that another does not than the other way round.
TIMES = 5
# A read of barcode and cDNA has so many bases beyond the barcode's.
MIN_JOINED = 25


def look_at(
    paths: Sequence[Path | str],
    lists: Sequence[BarcodeList],
    references: Sequence[KmerIndex],
    *,
    n_reads: int,
    window: int,
    seed: int,
) -> list[Look]:
    """Sample every file; `n_reads` are shared out between them, 2,000 a file at least."""
    each = max(2000, 2 * n_reads // max(len(paths), 1))
    return [Look(sample_reads(path, n=each, window=window, seed=seed), lists, references) for path in paths]


def detect(looks: Sequence[Look], lanes: Sequence[Lane] | None = None) -> Verdict:
    """The verdict on all files of one sample; `lanes` where it is known which files are of one lane."""
    lanes = lanes_of(looks) if lanes is None else lanes
    bare = next((lane for lane in lanes if not lane.barcode), None)
    if bare is None:
        verdict = _by_list(lanes)
    elif any(lane.barcode for lane in lanes):
        verdict = unclear(
            f"the lane of {bare.files[0].name} has no barcode read, though others have; give all files of each lane"
        )
    else:
        verdict = verdict_without_list(lanes)
    return replace(verdict, lanes=tuple(lanes))


def _by_list(lanes: Sequence[Lane]) -> Verdict:
    """A verdict where every lane has a file whose barcodes are listed."""
    barcodes = pooled([lane.barcode for lane in lanes if lane.barcode])
    best = barcodes.best
    names = {lane.barcode.best.name for lane in lanes if lane.barcode and lane.barcode.best}
    if best is None or names != {best.name}:
        return unclear(
            f"lanes disagree about the list of barcodes ({', '.join(sorted(names))})", candidates=tuple(names)
        )
    place = barcodes.places[best.name]
    evidence: dict[str, Any] = {"list": best.name, **asdict(place), "rivals": _rivals(barcodes, best, place)}
    for name, (mine, theirs) in evidence["rivals"].items():
        if mine["low"] <= TIMES * theirs["high"]:
            return unclear(
                f"barcodes fit {best.name} and {name} alike", candidates=(best.name, name), evidence=evidence
            )
    if best.name in OTHER_ASSAYS:
        reason = f"{barcodes.fits[best.name].value:.0%} of the barcodes are on the list of {best.name}"
        return Verdict("confident", NOT_10X, best.name, (reason,), evidence=evidence)
    if place != Place():
        where = f"base {place.offset + 1}" + (", reverse-complemented" if place.turned else "")
        return unclear(
            f"barcodes of {best.name} begin at {where}, where no quantifier here looks; cut or turn the reads",
            candidates=(best.name,),
            unusable=True,
            evidence=evidence,
        )
    problem = _lane_problem(lanes, CHEMISTRIES[best.name], best.name)
    if problem:
        return unclear(problem, candidates=(best.name,), unusable=True, evidence=evidence)
    return cdna_verdict(lanes, barcodes, best, evidence)


def _rivals(barcodes: Look, best: BarcodeList, place: Place) -> dict[str, tuple[dict[str, Any], dict[str, Any]]]:
    """Per other list: reads that only the best explains, and reads that only the other one does."""
    mine, found = listed(barcodes.sample, best, place), {}
    for other in barcodes.lists:
        if other.name != best.name and barcodes.places[other.name] == place:
            theirs = listed(barcodes.sample, other, place)
            shares = [Share(int(x.sum()), len(x)) for x in (mine & ~theirs, theirs & ~mine)]
            found[other.name] = (shares[0].as_json(), shares[1].as_json())
    return found


def _lane_problem(lanes: Sequence[Lane], chemistry: Chemistry, called: str) -> str | None:
    """Why a lane whose barcodes are known cannot be quantified as it is."""
    for lane in lanes:
        assert lane.barcode is not None
        name, length = lane.barcode.name, lane.barcode.sample.length
        if len(lane.cdna) > 1:
            return f"two files beside {name} could be cDNA ({', '.join(x.name for x in lane.cdna)}); leave one out"
        if chemistry.umi_apart and lane.umi is None:
            return f"{name} has barcodes of {called}, but no file of its lane has the UMIs ({chemistry.umi_len} bases)"
        if not lane.cdna and length >= chemistry.barcode_len + chemistry.umi_len + MIN_JOINED:
            return f"{name} has barcode and cDNA in one read of {length} bases; fetch with --split-files"
        if not lane.cdna:
            return f"no file beside {name} is cDNA: only barcode reads are here; fetch the other read of each spot"
        if length < chemistry.barcode_read_len:
            return (
                f"{name} has {length} bases, {called} needs {chemistry.barcode_read_len} of barcode and UMI: the reads "
                "were cut; fetch the submitted files"
            )
    return None
