"""The exon lines of a block of GTF text, compiled: where their words stand, and their numbers.

An attribute is a key after a blank or a semicolon (or first), blanks, and a value up to the next quote or semicolon,
with a quote before it or without. What stands first counts.
"""

import numpy as np

from velocorpus.compiled import compiled

# Attributes of which the place is told, in this order, and the one of which the number is.
_KEYS = ("gene_id", "transcript_id", "gene_name", "gene_version", "exon_number")
_TEXT = np.frombuffer("".join(_KEYS).encode(), dtype=np.uint8)
_EDGES = np.cumsum([0, *map(len, _KEYS)])
_EXON = np.frombuffer(b"exon", dtype=np.uint8)
_NEWLINE, _TAB, _HASH, _QUOTE, _SEMICOLON, _ZERO = 10, 9, 35, 34, 59, 48


@compiled
def scan_exons(text):  # type: ignore[no-untyped-def]
    """Scan whole lines (uint8).

    Returns, int64: per exon its run, start, end and number (-1: none); per run of exons that are alike in all of them,
    first and end of chromosome, strand, gene_id, transcript_id, gene_name and gene_version (empty where absent) in
    `text`; how many lines were read; and where the first that is no GTF begins, which is the last one read, or -1.
    """
    n_lines = 0
    for byte in text:
        n_lines += byte == _NEWLINE
    exons, spans = np.empty((n_lines, 4), np.int64), np.empty((n_lines, 12), np.int64)
    tabs, value = np.empty(9, np.int64), np.zeros((5, 2), np.int64)
    n = run = line = at = 0
    while at < text.size:
        begin = at
        line += 1
        n_tabs, blank = 0, True
        while text[at] != _NEWLINE and n_tabs < 9:
            if text[at] == _TAB:
                tabs[n_tabs] = at
                n_tabs += 1
            elif not _is_blank(text[at]):
                blank = False
            at += 1
        end = at
        while text[at] != _NEWLINE:
            at += 1
        at += 1
        if text[begin] == _HASH or blank:
            continue
        if n_tabs < 8:
            return exons[:n], spans[:run], line, begin
        if not _same(text, tabs[1] + 1, tabs[2], _EXON, 0, 4):
            continue
        value[:] = 0
        _find_values(text, tabs[7] + 1, tabs[8] if n_tabs == 9 else end, value)
        start, last = _number(text, tabs[2] + 1, tabs[3]), _number(text, tabs[3] + 1, tabs[4])
        if value[0, 1] == 0 or value[1, 1] == 0 or not 1 <= start <= last < 2**31:
            return exons[:n], spans[:run], line, begin
        spans[run, 0], spans[run, 1] = begin, tabs[0]
        spans[run, 2], spans[run, 3] = tabs[5] + 1, tabs[6]
        spans[run, 4:] = value[:4].ravel()
        alike = run > 0
        for k in range(0, 12, 2):
            a, b = spans[run - 1, k], spans[run - 1, k + 1]
            alike = alike and _same(text, spans[run, k], spans[run, k + 1], text, a, b)
        run += not alike
        first, beyond = value[4]
        while first < beyond and _is_blank(text[first]):
            first += 1
        while first < beyond and _is_blank(text[beyond - 1]):
            beyond -= 1
        exons[n, 0], exons[n, 1], exons[n, 2], exons[n, 3] = run - 1, start, last, _number(text, first, beyond)
        n += 1
    return exons[:n], spans[:run], line, -1


@compiled
def _find_values(text, low, high, value):  # type: ignore[no-untyped-def]
    """Write first and end of each key's value, of those that text[low:high] has."""
    for p in range(low, high):
        if p > low and text[p - 1] != _SEMICOLON and not _is_blank(text[p - 1]):
            continue
        for k in range(5):
            after = p + _EDGES[k + 1] - _EDGES[k]
            if value[k, 1] or after >= high or not _is_blank(text[after]):
                continue
            if not _same(text, p, after, _TEXT, _EDGES[k], _EDGES[k + 1]):
                continue
            while after < high and _is_blank(text[after]):
                after += 1
            if after < high and text[after] == _QUOTE:
                after += 1
            end = after
            while end < high and text[end] != _QUOTE and text[end] != _SEMICOLON:
                end += 1
            if end > after:
                value[k, 0], value[k, 1] = after, end


@compiled
def _same(text, a, b, other, c, d):  # type: ignore[no-untyped-def]
    if b - a != d - c:
        return False
    for i in range(b - a):  # noqa: SIM110 - numba compiles no all()
        if text[a + i] != other[c + i]:
            return False
    return True


@compiled
def _is_blank(byte):  # type: ignore[no-untyped-def]
    return byte == 32 or 9 <= byte <= 13 or 28 <= byte <= 31


@compiled
def _number(text, a, b):  # type: ignore[no-untyped-def]
    """The whole number in text[a:b], or -1 for anything else and for what is beyond ten digits."""
    if a == b or b - a > 10:
        return -1
    number = 0
    for i in range(a, b):
        if not _ZERO <= text[i] <= _ZERO + 9:
            return -1
        number = 10 * number + text[i] - _ZERO
    return number
