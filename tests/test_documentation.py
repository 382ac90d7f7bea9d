"""What the documentation names is there: files, links, headings, and the glossary's place."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")])
SOURCES = ("models", "cluster", "pipelines", "serving", "infra", "tests", "benchmarks", "docs", "cli")


def anchors(page: Path) -> set[str]:
    headings = re.findall(r"^#+ (.+)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_leads_to_a_file_or_a_heading(page: Path) -> None:
    lost = []
    for target in re.findall(r"\]\((?!https?:|mailto:)([^)\s]+)\)", page.read_text()):
        name, _, heading = target.partition("#")
        file = (page.parent / name).resolve() if name else page
        if not file.exists() or (heading and heading not in anchors(file)):
            lost.append(target)
    assert lost == []


@pytest.mark.parametrize("page", [page for page in PAGES if page.name != "CHANGELOG.md"], ids=lambda page: page.name)
def test_every_source_file_that_a_page_names_exists(page: Path) -> None:
    named = re.findall(rf"`((?:{'|'.join(SOURCES)})/[\w./-]+)`", page.read_text())
    assert [name for name in named if "NAME" not in name and not (ROOT / name).exists()] == []


def test_the_tables_of_the_architecture_name_files_that_exist() -> None:
    """A file in a table's first column lies somewhere below the sources; its folder may be given by the heading."""
    text = (ROOT / "docs" / "ARCHITECTURE.md").read_text().partition("\n## Decisions")[0]
    lost = []
    for row in re.findall(r"^\| (`[^|]+) \|", text, re.MULTILINE):
        for name in re.findall(r"`([\w./]+)`", row):
            if not any(next((ROOT / top).rglob(name.rstrip("/")), None) for top in SOURCES):
                lost.append(name)
    assert lost == []


def test_every_package_stands_in_the_tree_of_folders() -> None:
    tree = (ROOT / "docs" / "ARCHITECTURE.md").read_text().partition("\n## Folders")[2]
    packages = {
        folder.name
        for top in ("models", "cluster", "pipelines", "serving")
        for folder in (ROOT / top).rglob("*")
        if folder.is_dir() and any(folder.glob("*.py"))
    }
    assert {name for name in packages if f"{name}/" not in tree} == set()
