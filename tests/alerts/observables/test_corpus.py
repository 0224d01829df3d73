"""The extractor against texts that people labelled: how much of what is there it finds, and how much else.

``corpus`` is what the extractor was developed on, ``second`` it had never seen: first figures in docs/observables.md.
``*.json`` in them are lists of ``{"name", "origin", "text" or "payload", "expected", "absent"}``. The labels were made by
reading, before the extractor saw the texts: they say what an analyst wants, in the canonical spelling. Whatever is
found and not labelled counts as wrong. A missing or wrong label is mended in the corpus, with the reason in the commit.
"""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass, field
from functools import cache
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import pytest

from alerts.iocs import canonical, extract, parse_text

FOLDERS = ("corpus", "second")
LEAST = 0.97
OWN = "written for this corpus"

type Value = tuple[str, str]


@cache
def corpus(folder: str) -> tuple[dict[str, Any], ...]:
    """All entries, in the order of the files."""
    paths = sorted((Path(__file__).parent / folder).glob("*.json"))
    return tuple(entry for path in paths for entry in json.loads(path.read_text()))


def labels(entry: dict[str, Any], kind: str) -> set[Value]:
    return {(type, value) for type, value in entry[kind]}


def found_in(entry: dict[str, Any]) -> set[Value]:
    """What the extractor finds in an entry's text or payload."""
    found = extract(entry["payload"]) if "payload" in entry else parse_text(entry["text"])
    return {(one.type, one.value) for one in found.observables}


@dataclass
class Score:
    """Counts of one type, or of all."""

    right: int = 0
    missed: int = 0
    wrong: int = 0

    @property
    def precision(self) -> float:
        return self.right / (self.right + self.wrong) if self.right + self.wrong else 1.0

    @property
    def recall(self) -> float:
        return self.right / (self.right + self.missed) if self.right + self.missed else 1.0


@dataclass
class Result:
    """The whole corpus read."""

    all: Score = field(default_factory=Score)
    by_type: dict[str, Score] = field(default_factory=dict)
    remarks: list[str] = field(default_factory=list)

    def add(self, type: str, what: str) -> None:
        for score in (self.all, self.by_type.setdefault(type, Score())):
            setattr(score, what, getattr(score, what) + 1)

    def report(self) -> str:
        rows = [("all", self.all), *sorted(self.by_type.items())]
        lines = [f"{'type':<16}{'right':>6}{'missed':>8}{'wrong':>7}{'precision':>11}{'recall':>8}"]
        lines += [
            f"{name:<16}{one.right:>6}{one.missed:>8}{one.wrong:>7}{one.precision:>11.3f}{one.recall:>8.3f}"
            for name, one in rows
        ]
        return "\n".join([*lines, *self.remarks])


@cache
def result(folder: str) -> Result:
    """What the extractor makes of a corpus."""
    read = Result()
    for entry in corpus(folder):
        expected, found = labels(entry, "expected"), found_in(entry)
        for what, values in (
            ("right", expected & found),
            ("missed", expected - found),
            ("wrong", found - expected),
        ):
            for type, value in sorted(values):
                read.add(type, what)
                if what != "right":
                    read.remarks.append(f"{what:<7}{entry['name']}: {type} {value}")
    return read


@pytest.mark.parametrize("folder", FOLDERS)
def test_precision_and_recall(folder: str) -> None:
    read = result(folder)
    assert read.all.precision >= LEAST, read.report()
    assert read.all.recall >= LEAST, read.report()


def test_nothing_is_found_that_must_not_be() -> None:
    found = {
        entry["name"]: sorted(labels(entry, "absent") & found_in(entry))
        for entry in corpus("corpus")
        if labels(entry, "absent") & found_in(entry)
    }
    assert not found


@pytest.mark.parametrize("folder", FOLDERS)
def test_a_corpus_is_large_and_a_third_of_it_published(folder: str) -> None:
    count = sum(len(entry["expected"]) for entry in corpus(folder))
    published = sum(len(entry["expected"]) for entry in corpus(folder) if entry["origin"] != OWN)
    assert len(corpus(folder)) >= 60
    assert count >= 450
    assert published * 3 >= count


def test_entries_are_whole() -> None:
    entries = [entry for folder in FOLDERS for entry in corpus(folder)]
    names = Counter(entry["name"] for entry in entries)
    assert [name for name, count in names.items() if count > 1] == []
    for entry in entries:
        assert set(entry) in (
            {"name", "origin", "text", "expected", "absent"},
            {"name", "origin", "payload", "expected", "absent"},
        ), entry["name"]
        assert entry["origin"]
        assert len(labels(entry, "expected")) == len(entry["expected"]), f"{entry['name']}: a label twice"
        assert not labels(entry, "expected") & labels(entry, "absent"), entry["name"]


def test_labels_are_canonical() -> None:
    faults = [
        f"{entry['name']}: {type} {value}"
        for folder in FOLDERS
        for entry in corpus(folder)
        for type, value in entry["expected"]
        if not _is_canonical(type, value)
    ]
    assert faults == []


def _is_canonical(type: str, value: str) -> bool:
    try:
        if type == "cidr":
            return str(ip_network(value)) == value
        return canonical(type, value) == (type, value)
    except ValueError:
        return False
