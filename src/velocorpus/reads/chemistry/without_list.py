"""No file's barcodes are on a list: what is no 10x library, and what lacks its technical reads."""

from collections.abc import Sequence
from typing import Any

from velocorpus.reads.chemistries import CHEMISTRIES, QUANTIFIED
from velocorpus.reads.chemistry.look import FITS, MIN_CDNA, MISFIT, OWN_SPECIES, pooled, strand_shares
from velocorpus.reads.chemistry.roles import Lane
from velocorpus.reads.chemistry.verdict import FETCH_INSTEAD, NOT_10X, Verdict, unclear

# A read of barcodes only has fewer bases than a cDNA's.
SHORT_CDNA = 45
# Bases before the tract of T of the 10x bead that has the fewest.
SHORTEST_HEAD = min(CHEMISTRIES[name].barcode_read_len for name in QUANTIFIED)


def verdict_without_list(lanes: Sequence[Lane]) -> Verdict:
    """A verdict where no file's barcodes are listed."""
    looks = [look for lane in lanes for look in lane.files]
    closest = max((share for look in looks for share in look.fits.values()), key=lambda share: share.value)
    evidence: dict[str, Any] = {"closest_list": closest.as_json()}
    if any(look.alternating for look in looks):
        return unclear(
            "long and short reads take turns in one file (Cell Ranger 1's read-RA); part them into two files",
            unusable=True,
            evidence=evidence,
        )
    if closest.low >= FITS:
        return unclear(
            f"{closest.value:.0%} of a file's reads have listed barcodes, but of too few different ones to tell by",
            evidence=evidence,
        )
    if any(share.high >= MISFIT for look in looks for share in look.fits.values()):
        return unclear(
            f"at most {closest.value:.0%} of a file's reads begin with a listed barcode: too few for 10x, too many for "
            "chance; give the chemistry's list by --whitelist",
            evidence=evidence,
        )
    long = [
        pooled([lane.cdna[i] for lane in lanes if len(lane.cdna) > i]) for i in range(max(len(x.cdna) for x in lanes))
    ]
    for look in looks:
        start = look.poly_t_start
        if start is not None and start < SHORTEST_HEAD - 2 and long:
            reason = f"a tract of T begins at base {start + 1} of {look.name}, after {start} bases of barcode and UMI"
            return Verdict("confident", NOT_10X, "CEL-Seq2-like or Drop-seq-like", (reason,), evidence=evidence)
    shares = [max(one.values(), key=lambda x: x[0].hits) for one in map(strand_shares, long) if one]
    evidence["senses"] = [sense.as_json() for _, sense in shares]
    others = [look for lane in lanes for look in lane.others]
    # Few matches are of introns and repeats, on either strand in any library.
    both_strands = [m.low >= OWN_SPECIES and s.low >= 0.35 and s.high <= 0.65 for m, s in shares]
    if both_strands and all(both_strands) and not others:
        reason = "no read has a listed barcode, and the reads match both strands of exons alike: full-length cDNA"
        return Verdict("confident", NOT_10X, "Smart-seq2-like", (reason,), evidence=evidence)
    others += [look for look in looks if MIN_CDNA <= look.sample.length < SHORT_CDNA and len(looks) > len(lanes)]
    if others:
        return unclear(
            f"{others[0].name} ({others[0].sample.length} bases) may hold barcodes, but of no list at hand (closest "
            f"{closest.value:.1%}); give the chemistry's list by --whitelist",
            evidence=evidence,
        )
    return unclear(
        f"no file holds listed barcodes, only {_what(lanes)}: unless this is no 10x library, {FETCH_INSTEAD}",
        evidence=evidence,
    )


def _what(lanes: Sequence[Lane]) -> str:
    kinds = [kind for kind, there in (("cDNA", lanes[0].cdna), ("an index", lanes[0].index)) if there]
    return " and ".join(kinds) or "short reads"
