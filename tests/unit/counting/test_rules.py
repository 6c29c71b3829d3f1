from dataclasses import replace

import pytest

from velocorpus.counting.rules import (
    AMBIGUOUS,
    DISCARD,
    LOGICS,
    SPLICED,
    UNSPLICED,
    Evidence,
    decide,
    decision_table,
)

NOTHING = Evidence(False, False, False, False, False, False, False)
EXONS = replace(NOTHING, exons_only=True)
INTRONS = replace(NOTHING, introns_only=True)
VALIDATED = replace(INTRONS, introns_only_validated=True)


@pytest.mark.parametrize("logic", LOGICS)
def test_every_logic_agrees_on_exons_spans_and_contradictions(logic):
    rules = LOGICS[logic]
    assert decide(EXONS, rules) == SPLICED
    assert decide(replace(NOTHING, all_span=True), rules) == UNSPLICED
    assert decide(replace(VALIDATED, exons_only=True), rules) == AMBIGUOUS
    assert decide(replace(EXONS, mixed_validated=True), rules) == AMBIGUOUS


@pytest.mark.parametrize(
    ("logic", "validated_one", "validated_two", "unvalidated_one", "unvalidated_two"),
    [
        ("permissive10x", UNSPLICED, UNSPLICED, UNSPLICED, UNSPLICED),
        ("intermediate10x", UNSPLICED, UNSPLICED, DISCARD, UNSPLICED),
        ("validatedintrons10x", UNSPLICED, UNSPLICED, DISCARD, DISCARD),
        ("stricter10x", DISCARD, UNSPLICED, DISCARD, DISCARD),
        ("observedspanning10x", DISCARD, DISCARD, DISCARD, DISCARD),
    ],
)
def test_logics_differ_in_introns(logic, validated_one, validated_two, unvalidated_one, unvalidated_two):
    cases = (replace(VALIDATED, single_match=True), VALIDATED, replace(INTRONS, single_match=True), INTRONS)
    assert [decide(case, LOGICS[logic]) for case in cases] == [
        validated_one, validated_two, unvalidated_one, unvalidated_two
    ]  # fmt: skip


def test_table_holds_every_decision():
    table = decision_table(LOGICS["stricter10x"])
    assert table.shape == (128,)
    assert table[0b0000001] == SPLICED
    assert table[0b1000110] == DISCARD
    assert table[0b0000110] == UNSPLICED
