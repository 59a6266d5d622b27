"""The Python of the pages under ``docs/`` runs, and the reports' classes are those of the schemas."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
#: Pages with Python that runs, and how many blocks they have at least.
PAGES = {"docs/python.md": 3, "docs/index.md": 1}


def blocks(page: Path) -> list:
    """Blocks that run: those marked ``no-run`` do not, and files (with a title) are run by ``tests/readme.rs``."""
    text = page.read_text(encoding="utf-8")
    for info in re.findall(r"^```python(.*)$", text, re.MULTILINE):
        assert info in ("", " no-run") or info.startswith(' title="'), f"{page}: ```python{info}"
    return re.findall(r"^```python\n(.*?)^```", text, re.DOTALL | re.MULTILINE)


def test_every_page_with_python_is_known():
    found = {page.relative_to(ROOT).as_posix(): len(blocks(page)) for page in sorted(ROOT.glob("docs/**/*.md"))}
    assert {page for page, count in found.items() if count} == set(PAGES)
    assert all(found[page] >= least for page, least in PAGES.items())


@pytest.mark.parametrize("page", PAGES)
def test_the_page_runs(page, monkeypatch):
    pytest.importorskip("onnxruntime")
    monkeypatch.chdir(ROOT)
    names: dict = {}
    for block in blocks(ROOT / page):
        exec(compile(block, page, "exec"), names)  # noqa: S102: the page is ours


def test_the_reports_are_those_of_the_schemas():
    subprocess.run([sys.executable, str(ROOT / "python" / "generate.py"), "--check"], check=True)
