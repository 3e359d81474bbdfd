"""The docs: no link leads nowhere, the reference of keys is that of the code, the README is read in one go."""

import re
from pathlib import Path

import pytest
import yaml

from ae_assets.model.parse import parse_table
from ae_assets.model.reference import reference
from ae_assets_tests.conftest import REPOSITORY

PAGES = [REPOSITORY / "README.md", *sorted((REPOSITORY / "docs").rglob("*.md"))]
LONGEST_README = 150


def anchors(page: Path) -> set[str]:
    """What a link can point at within a page, as GitHub names its headings."""
    headings = re.findall(r"^#+ (.*)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(REPOSITORY)))
def test_every_link_leads_to_a_file_and_a_heading(page: Path) -> None:
    links = [link for link in re.findall(r"\]\(([^)]+)\)", page.read_text()) if "://" not in link]
    for link in links:
        name, _, anchor = link.partition("#")
        target = (page.parent / name).resolve() if name else page
        assert target.exists(), link
        assert not anchor or anchor in anchors(target), link


def test_every_module_that_the_docs_name_is_there() -> None:
    folders = ("ae_assets", "ae_assets_tests", "benchmarks")
    ours = [f"/{path.relative_to(REPOSITORY)}" for name in folders for path in (REPOSITORY / name).rglob("*.py")]
    rooms = {path.name for path in (REPOSITORY / "ae_assets").iterdir() if path.is_dir()}
    named = {name for page in PAGES for name in re.findall(r"`([\w-]+/[\w/-]+\.py)`", page.read_text())}
    of_ours = {name for name in named if name.split("/")[0] in {*rooms, *folders}}
    assert of_ours
    assert [name for name in of_ours if not any(path.endswith(f"/{name}") for path in ours)] == []


def test_the_reference_of_keys_is_that_of_the_model() -> None:
    assert (REPOSITORY / "docs" / "reference.md").read_text() == reference(), (
        "renew it: python -m ae_assets.model.reference > docs/reference.md"
    )


def test_the_reference_has_every_section_and_kind() -> None:
    text = reference()
    for said in ("## `source`", "`type: ordinal`", "`policy: target_far`", "## `decision.episodes`", "`counters`"):
        assert said in text
    assert "type: ordinal_autoencoder`" not in text


def test_the_readme_is_short() -> None:
    assert len((REPOSITORY / "README.md").read_text().splitlines()) <= LONGEST_README


def test_the_yaml_of_the_page_on_a_table_of_ones_own_loads() -> None:
    text = (REPOSITORY / "docs" / "own-table.md").read_text()
    example = yaml.safe_load(text.split("```yaml\n")[1].split("```")[0])
    assert list(parse_table(example["attributes"], "own-table.md").layout.values) == [
        "Druck (bar)",
        "Schwingung",
        "Stunden",
    ]
