"""The chemistry of a sample's reads, with the evidence; or why it is unclear.

A verdict is `confident` only when every test that bears on it is decided by bounds of three standard errors; all else
is `unclear`, and names what it could be. What the tests see: the share of listed barcodes (at which base, in which
direction), what one list explains and another does not, where the tract of T begins, strand and organism of the cDNA
by exact 31-base matches, and whether the "cDNA" is a panel of tags or guides instead.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np

from velocorpus.reads.chemistries import CHEMISTRIES, list_name
from velocorpus.reads.chemistry.barcode_lists import OTHER_ASSAYS, BarcodeList, Place, listed
from velocorpus.reads.chemistry.kmers import KmerIndex
from velocorpus.reads.chemistry.roles import FITS, MIN_CDNA, MISFIT, Lane, Look, Share, lanes_of, pooled, strand_shares
from velocorpus.reads.chemistry.sampling import sample_reads

NOT_10X = "not_10x"
# Barcode and UMI of the chemistry whose UMI is in a file of its own.
V1_LENGTHS = (14, 10)
# One list must explain this many times more reads that another does not than the other way round.
TIMES = 5
SENSE, ANTISENSE = 0.7, 0.3
PANEL, NO_PANEL = 0.6, 0.4
# A sample whose only reference fewer reads match than this may be of another species: exons agree in part.
OWN_SPECIES = 0.25
# A read of barcode and cDNA has so many bases beyond the barcode's; a read of barcodes only has fewer than a cDNA's.
MIN_JOINED, SHORT_CDNA = 25, 45
# After the UMI of a 5' bead: its template switch oligo.
TSO_5P = np.array([3, 3, 3, 1, 3, 3, 0, 3, 0, 3, 2, 2, 2], np.uint8)
FETCH_INSTEAD = (
    "the technical reads were not deposited or not fetched: take the submitted files (ENA 'submitted_ftp', SRA "
    "'original format', often a 10x BAM), or run fasterq-dump --split-files --include-technical"
)


@dataclass(frozen=True)
class Verdict:
    """What the reads are. `chemistry`: a name of ours, or `not_10x`, or None; `candidates`: what it still could be."""

    state: Literal["confident", "unclear"]
    chemistry: str | None
    library: str
    reasons: tuple[str, ...]
    candidates: tuple[str, ...] = ()
    organism: str | None = None
    strand: str | None = None
    lanes: tuple[Lane, ...] = ()
    evidence: dict[str, Any] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        """The verdict with its evidence, files without their folders."""
        shown = {key: value for key, value in vars(self).items() if key != "lanes"}
        files = {look.name: look.as_json() for lane in self.lanes for look in lane.files}
        return shown | {
            "lanes": [lane.as_json() for lane in self.lanes],
            "evidence": self.evidence | {"files": files},
        }


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


def detect(looks: Sequence[Look]) -> Verdict:
    """The verdict on all files of one sample."""
    lanes = lanes_of(looks)
    with_barcodes = [lane for lane in lanes if lane.barcode]
    if len(with_barcodes) == len(lanes):
        verdict = _by_list(lanes)
    elif with_barcodes:
        bare = next(lane for lane in lanes if not lane.barcode)
        verdict = _unclear(
            f"the lane of {bare.files[0].name} has no barcode read, though others have; give all files of each lane"
        )
    else:
        verdict = _without_list(lanes)
    return _with(verdict, lanes=tuple(lanes))


def _unclear(reason: str, **more: Any) -> Verdict:
    return Verdict("unclear", None, "", (reason,), **more)


def _with(verdict: Verdict, **more: Any) -> Verdict:
    return Verdict(**(vars(verdict) | more))


def _by_list(lanes: Sequence[Lane]) -> Verdict:
    """A verdict where every lane has a file whose barcodes are listed."""
    barcodes = pooled([lane.barcode for lane in lanes if lane.barcode])
    best = barcodes.best
    names = {lane.barcode.best.name for lane in lanes if lane.barcode and lane.barcode.best}
    if best is None or names != {best.name}:
        return _unclear(
            f"lanes disagree about the list of barcodes ({', '.join(sorted(names))})", candidates=tuple(names)
        )
    place = barcodes.places[best.name]
    evidence: dict[str, Any] = {"list": best.name, **asdict(place), "rivals": _rivals(barcodes, best, place)}
    for name, (mine, theirs) in evidence["rivals"].items():
        if mine["low"] <= TIMES * theirs["high"]:
            return _unclear(
                f"barcodes fit {best.name} and {name} alike", candidates=(best.name, name), evidence=evidence
            )
    if best.name in OTHER_ASSAYS:
        reason = f"{barcodes.fits[best.name].value:.0%} of the barcodes are on the list of {best.name}"
        return Verdict("confident", NOT_10X, best.name, (reason,), evidence=evidence)
    if place != Place():
        where = f"base {place.offset + 1}" + (", reverse-complemented" if place.turned else "")
        return _unclear(
            f"barcodes of {best.name} begin at {where}, where no quantifier here looks; cut or turn the reads",
            candidates=(best.name,),
            evidence=evidence,
        )
    problem = _lane_problem(lanes, best)
    if problem:
        return _unclear(problem, candidates=(best.name,), evidence=evidence)
    return _with_cdna(lanes, barcodes, best, evidence)


def _rivals(barcodes: Look, best: BarcodeList, place: Place) -> dict[str, tuple[dict[str, Any], dict[str, Any]]]:
    """Per other list: reads that only the best explains, and reads that only the other one does."""
    mine, found = listed(barcodes.sample, best, place), {}
    for other in barcodes.lists:
        if other.name != best.name and barcodes.places[other.name] == place:
            theirs = listed(barcodes.sample, other, place)
            shares = [Share(int(x.sum()), len(x)) for x in (mine & ~theirs, theirs & ~mine)]
            found[other.name] = (shares[0].as_json(), shares[1].as_json())
    return found


def _lane_problem(lanes: Sequence[Lane], best: BarcodeList) -> str | None:
    """Why a lane whose barcodes are known cannot be quantified as it is."""
    barcode_len, umi_len = V1_LENGTHS if best.name == "10xv1" else _lengths(best.name)
    for lane in lanes:
        assert lane.barcode is not None
        name, length = lane.barcode.name, lane.barcode.sample.length
        if len(lane.cdna) > 1:
            return f"two files beside {name} could be cDNA ({', '.join(x.name for x in lane.cdna)}); leave one out"
        if best.name == "10xv1" and lane.umi is None:
            return f"{name} has barcodes of 10xv1, but no file of its lane has the UMIs (10 bases)"
        if not lane.cdna and length >= barcode_len + umi_len + MIN_JOINED:
            return f"{name} has barcode and cDNA in one read of {length} bases; fetch with --split-files"
        if not lane.cdna:
            return f"no file beside {name} is cDNA: only barcode reads are here; fetch the other read of each spot"
        if best.name != "10xv1" and length < barcode_len + umi_len:
            return (
                f"{name} has {length} bases, {best.name} needs {barcode_len + umi_len} of barcode and UMI: the reads "
                "were cut; fetch the submitted files"
            )
    return None


def _lengths(name: str) -> tuple[int, int]:
    chemistry = CHEMISTRIES[name]
    return chemistry.barcode_len, chemistry.umi_len


def _with_cdna(lanes: Sequence[Lane], barcodes: Look, best: BarcodeList, evidence: dict[str, Any]) -> Verdict:
    """The list is known: is the other read cDNA, of which strand and species?"""
    cdna = pooled([lane.cdna[0] for lane in lanes])
    organism, mapped, sense = _organism(cdna)
    evidence |= {"panel": cdna.panel.as_json(), "mapped": mapped.as_json(), "sense": sense.as_json()}
    strand = "forward" if sense.low >= SENSE else "reverse" if sense.high <= ANTISENSE else None
    found = listed(barcodes.sample, best, barcodes.places[best.name])
    listing = f"{found.mean():.0%} of the barcodes are on the list of {best.name}"
    if cdna.panel.high >= NO_PANEL and not (cdna.references and mapped.low > NO_PANEL):
        if cdna.panel.low >= PANEL and (not cdna.references or mapped.high < 0.05):
            reason = f"{cdna.panel.value:.0%} of the other reads hold one of few sequences at one place: tags or guides"
            library = f"antibody or CRISPR feature library of {best.name}"
            return Verdict("confident", NOT_10X, library, (listing, reason), evidence=evidence)
        return _unclear(
            f"{listing}, but {cdna.panel.value:.0%} of the other reads repeat few sequences: cDNA or features?",
            candidates=(best.name, NOT_10X),
            evidence=evidence,
        )
    options = [name for name in CHEMISTRIES if list_name(name) == best.name] or [best.name]
    reasons, end = [listing], _end_by_read1(barcodes, best)
    evidence |= {"umi_and_tail": end}
    if strand:
        fitting = [name for name in options if name == "10xv1" or CHEMISTRIES[name].strand == strand]
        reasons.append(f"{sense.value:.0%} of {sense.n} matching cDNA reads are in sense")
    else:
        fitting = [name for name in options if end["strand"] in (None, _strand(name))] if len(options) > 1 else options
        if len(options) > 1 and end["strand"]:
            reasons.append(f"read 1 goes on with {'a tract of T' if end['strand'] == 'forward' else '10x 5p TSO'}")
    contradicts = strand and end["strand"] and strand != end["strand"]
    if end["shifted"]:
        return _unclear(
            f"{listing}, but {end['poly_t_start']} bases of read 1 stand before its tract of T: another UMI length?",
            candidates=tuple(options),
            evidence=evidence,
        )
    if len(fitting) != 1 or contradicts:
        missing = "give --reference to tell the strand" if not cdna.references else "too few reads tell the strand"
        said = "strand and barcode list contradict each other" if not fitting or contradicts else missing
        return _unclear(f"{listing}; {said}", candidates=tuple(fitting or options), evidence=evidence)
    return Verdict(
        "confident",
        fitting[0],
        "10x gene expression",
        tuple(reasons),
        organism=organism,
        strand=strand or _strand(fitting[0]),
        evidence=evidence,
    )


def _strand(name: str) -> str:
    return "forward" if name == "10xv1" else CHEMISTRIES[name].strand


def _end_by_read1(barcodes: Look, best: BarcodeList) -> dict[str, Any]:
    """What follows the UMI in read 1, where the read is long enough: a tract of T (3') or the oligo (5')."""
    start = barcodes.poly_t_start
    found: dict[str, Any] = {"poly_t_start": start, "shifted": False, "tso": None, "strand": None}
    if best.name == "10xv1":
        return found
    end = sum(_lengths(best.name))
    found["shifted"] = start is not None and abs(start - end) > 1
    after = barcodes.sample.codes[:, end : end + len(TSO_5P)]
    if after.shape[1] < len(TSO_5P):
        return found
    tso = Share(int(((after == TSO_5P).sum(axis=1) >= len(TSO_5P) - 2).sum()), len(after))
    found["tso"] = tso.as_json()
    if tso.low >= 0.3:
        found["strand"] = "reverse"
    elif start is not None and not found["shifted"] and tso.high < 0.1:
        found["strand"] = "forward"
    return found


def _organism(cdna: Look) -> tuple[str | None, Share, Share]:
    """The species with confidence or None; then of its best reference the share that matches, and that in sense."""
    shares: Mapping[str, tuple[Share, Share]] = strand_shares(cdna)
    if not shares:
        return None, Share(0, 0), Share(0, 0)
    organism_of = {reference.name: reference.organism for reference in cdna.references}
    name = max(shares, key=lambda one: shares[one][0].hits)
    mapped, sense = shares[name]
    rivals = [shares[one][0].hits for one in shares if organism_of[one] != organism_of[name]]
    if rivals:
        # Exons of related species agree in part, so the reads of one match the other too, but far fewer.
        sure = Share(mapped.hits, mapped.hits + max(rivals)).low >= SENSE
    else:
        sure = mapped.low >= OWN_SPECIES
    return organism_of[name] if sure else None, mapped, sense


def _without_list(lanes: Sequence[Lane]) -> Verdict:
    """A verdict where no file's barcodes are listed."""
    looks = [look for lane in lanes for look in lane.files]
    closest = max((share for look in looks for share in look.fits.values()), key=lambda share: share.value)
    evidence: dict[str, Any] = {"closest_list": closest.as_json()}
    if any(look.alternating for look in looks):
        return _unclear(
            "long and short reads take turns in one file (Cell Ranger 1's read-RA); part them into two files"
        )
    if closest.low >= FITS:
        return _unclear(
            f"{closest.value:.0%} of a file's reads have listed barcodes, but of too few different ones to tell by",
            evidence=evidence,
        )
    if any(share.high >= MISFIT for look in looks for share in look.fits.values()):
        return _unclear(
            f"at most {closest.value:.0%} of a file's reads begin with a listed barcode: too few for 10x, too many for "
            "chance; give the chemistry's list by --whitelist",
            evidence=evidence,
        )
    long = [
        pooled([lane.cdna[i] for lane in lanes if len(lane.cdna) > i]) for i in range(max(len(x.cdna) for x in lanes))
    ]
    for look in looks:
        start = look.poly_t_start
        beads = [sum(_lengths(name)) for name in CHEMISTRIES]
        if start is not None and start < min(beads) - 2 and len(long) >= 1:
            reason = f"a tract of T begins at base {start + 1} of {look.name}, after {start} bases of barcode and UMI"
            return Verdict("confident", NOT_10X, "CEL-Seq2-like or Drop-seq-like", (reason,), evidence=evidence)
    shares = [strand_shares(look) for look in long]
    senses = [max(one.values(), key=lambda x: x[0].hits)[1] for one in shares if one]
    evidence["senses"] = [sense.as_json() for sense in senses]
    others = [look for lane in lanes for look in lane.others]
    if senses and not others and all(s.low >= 0.35 and s.high <= 0.65 for s in senses):
        reason = "no read has a listed barcode, and the reads match both strands of exons alike: full-length cDNA"
        return Verdict("confident", NOT_10X, "Smart-seq2-like", (reason,), evidence=evidence)
    others += [look for look in looks if MIN_CDNA <= look.sample.length < SHORT_CDNA and len(looks) > len(lanes)]
    if others:
        return _unclear(
            f"{others[0].name} ({others[0].sample.length} bases) may hold barcodes, but of no list at hand (closest "
            f"{closest.value:.1%}); give the chemistry's list by --whitelist",
            evidence=evidence,
        )
    return _unclear(
        f"no file holds listed barcodes, only {_what(lanes)}: unless this is no 10x library, {FETCH_INSTEAD}",
        evidence=evidence,
    )


def _what(lanes: Sequence[Lane]) -> str:
    kinds = [kind for kind, there in (("cDNA", lanes[0].cdna), ("an index", lanes[0].index)) if there]
    return " and ".join(kinds) or "short reads"


def contradiction(
    verdict: Verdict,
    pairs: Sequence[tuple[str, str]],
    *,
    chemistry: str,
    organism: str | None,
    min_mapped: float,
) -> str | None:
    """Why a sample that the tables call `chemistry` of `organism` must not be aligned; None while nothing says so.

    `pairs`: the names of each lane's read 1 and read 2 by the tables. Only what the reads show with confidence counts:
    an unclear verdict contradicts nothing, except that the declared list fits no file.
    """
    for lane in verdict.lanes:
        for read1, read2 in pairs:
            if lane.barcode and lane.barcode.name == read2 and read1 in [look.name for look in lane.cdna]:
                return (
                    f"{read1} holds cDNA and {read2} the barcodes: read 1 and read 2 are swapped in the table of units"
                )
    if verdict.state == "confident" and verdict.chemistry != chemistry:
        found = f"{verdict.chemistry} ({verdict.library})"
        return f"the table says {chemistry}, the reads are {found}: {'; '.join(verdict.reasons)}"
    if verdict.organism and organism and verdict.organism != organism:
        return f"the table says {organism}, but the cDNA is of {verdict.organism}"
    looks = [look for lane in verdict.lanes for look in lane.files]
    shares = [look.fits[name] for look in looks for name in look.fits if name == list_name(chemistry)]
    if shares and max(share.high for share in shares) < MISFIT:
        return (
            f"no file holds barcodes of {chemistry} (at most {max(share.value for share in shares):.1%} are on its "
            f"list): {verdict.reasons[0]}"
        )
    mapped = verdict.evidence.get("mapped")
    if mapped and mapped["n"] and mapped["high"] < min_mapped:
        return f"only {mapped['share']:.1%} of the cDNA reads match exons of the references, not {min_mapped:.1%}"
    return None
