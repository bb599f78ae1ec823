# SPDX-License-Identifier: Apache-2.0
"""The pages of the project name what there is: every variable in the README's table, every page by its link."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from spancost import _env

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
TABLE = README.partition("## Environment variables")[2].partition("\n## ")[0]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
NAMES = {
    value
    for value in vars(_env).values()
    if isinstance(value, str) and re.fullmatch(r"SPA[A-Z]+_[A-Z_]+", value)
}
# Nobody sets it: `spancost run` does, for the program that it runs.
INTERNAL = {_env.JOURNAL}


def named(text):
    """Return the variables of ours that a text names; one with ``_FILE`` at the end is the one without."""
    return {name.removesuffix("_FILE") for name in re.findall(r"\bSPA(?:NCOST|RK)_[A-Z_]*[A-Z]\b", text)}


@pytest.mark.parametrize("name", sorted(NAMES - INTERNAL))
def test_a_variable_is_in_the_table_of_the_readme_once(name):
    firsts = [line.split("|")[1] for line in TABLE.splitlines() if line.startswith("|")]
    rows = [first for first in firsts if f"`{name}`" in first]

    assert len(rows) == 1


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_a_page_names_no_variable_that_nothing_reads(page):
    assert named(page.read_text(encoding="utf-8")) <= NAMES


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_a_link_leads_somewhere(page):
    """A file that is there, and in it the heading that is named."""
    links = re.findall(r"\]\(((?!https?:)[^)\s]+)\)", page.read_text(encoding="utf-8"))

    for link in links:
        path, _, anchor = link.partition("#")
        target = page.parent / path if path else page
        assert target.is_file(), link
        assert not anchor or anchor in anchors(target.read_text(encoding="utf-8")), link


def anchors(text):
    """Return how the headings of a page are linked to."""
    headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}
