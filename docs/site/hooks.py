"""What MkDocs needs to build the site from pages that are written for GitHub: pages outside of ``docs/``, formulas in
GitHub's marks, the classes of the Python reports, the crate's documentation."""

from __future__ import annotations

import ast
import json
import os
import re
import subprocess
from pathlib import Path

from markdown.extensions import Extension
from markdown.preprocessors import Preprocessor
from mkdocs.structure.files import File
from mkdocs.structure.nav import Link, Section

ROOT = Path(__file__).resolve().parents[2]
#: Pages of the repository that the site has too.
OUTSIDE = {"ARCHITECTURE.md": "architecture.md", "CONTRIBUTING.md": "contributing.md", "CHANGELOG.md": "changelog.md"}
#: The folder of KaTeX. Without it formulas stay as they are written.
KATEX = os.environ.get("KATEX")

FENCED = re.compile(r"^```math\n(.*?)^```$", re.MULTILINE | re.DOTALL)
INLINE = re.compile(r"\$`(.+?)`\$", re.DOTALL)
#: The formulas of every page by its path, as HTML.
formulas: dict = {}


class Prompts(Preprocessor):
    """Lines behind ``>>>`` in docstrings are code, not quotations."""

    def run(self, lines):
        found = []
        for line in lines:
            inside = bool(found) and found[-1] == "```"
            if not line.startswith((">>> ", "... ") if inside else ">>> "):
                found.append(line)
                continue
            found[-1 if inside else len(found) :] = [] if inside else ["", "```python"]
            found += [re.sub(r"\s*# doctest:.*", "", line[4:]), "```"]
        return found


class Doctests(Extension):
    def extendMarkdown(self, md):  # noqa: N802: Markdown's name
        md.preprocessors.register(Prompts(md), "prompts", 40)


def on_config(config):
    config.markdown_extensions.append(Doctests())
    return config


def on_files(files, config):
    for name, own in OUTSIDE.items():
        files.append(File.generated(config, own, content=(ROOT / name).read_text(encoding="utf-8")))
    files.append(File.generated(config, "python-reports.md", content=reports()))
    if KATEX:
        dist = Path(KATEX) / "dist"
        for path in [dist / "katex.min.css", *sorted((dist / "fonts").glob("*.woff2"))]:
            files.append(File.generated(config, f"katex/{path.relative_to(dist)}", abs_src_path=str(path)))
        config.extra_css.insert(0, "katex/katex.min.css")
    return files


def reports():
    """The dataclasses of the reports, a table for each."""
    tree = ast.parse((ROOT / "python/onnx_prune/_report.py").read_text(encoding="utf-8"))
    classes = [own for own in tree.body if isinstance(own, ast.ClassDef)]
    names = {own.name for own in classes}

    def linked(kind):
        return re.sub(r"\w+", lambda word: f"[{word[0]}](#{word[0].lower()})" if word[0] in names else word[0], kind)

    page = (
        "# Python reports\n\nWhat `result.report` holds, and what `check` and `sweep` return: the documents of [the JSON"
        " schemas](formats.md#schemas) as dataclasses. A run of `prune` has a [Summary](#summary), `quantize` a"
        " [QuantizeSummary](#quantizesummary), `check` a [Checked](#checked), `sweep` a [Swept](#swept).\n"
    )
    for own in classes:
        page += f"\n## {own.name}\n\n{ast.get_docstring(own) or ''}\n\n| attribute | type | |\n| --- | --- | --- |\n"
        for item, after in zip(own.body, [*own.body[1:], None]):
            if isinstance(item, ast.AnnAssign):
                told = after.value.value if isinstance(after, ast.Expr) else ""
                kind = linked(ast.unparse(item.annotation))
                page += f"| `{item.target.id}` | {kind} | {' '.join(told.split())} |\n"
    return page


def on_nav(nav, config, files):
    """The crate's documentation is written by another tool, where the site is put together."""
    for item in nav.items:
        if isinstance(item, Section) and item.title == "Reference":
            link = Link("Rust crate", "rust/onnx_prune/index.html")
            link.parent = item
            item.children.append(link)
    return nav


def on_page_markdown(markdown, page, config, files):
    markdown = one_title(links(markdown, page.file.src_uri))
    # Words behind the language are for the tests of the pages.
    markdown = re.sub(r"^```(\w+) no-run$", r"```\1", markdown, flags=re.MULTILINE)
    if not KATEX:
        return markdown
    found = []

    def mark(display):
        def place(match):
            found.append({"tex": match[1], "display": display})
            return f"FORMULA{len(found) - 1}X"

        return place

    # Marks are replaced when the page is HTML: Markdown would read what is between the signs of a formula.
    markdown = INLINE.sub(mark(False), FENCED.sub(mark(True), markdown))
    if found:
        run = ["node", str(Path(__file__).with_name("formulas.js")), KATEX]
        done = subprocess.run(run, input=json.dumps(found), capture_output=True, text=True, check=False)
        if done.returncode:
            raise SystemExit(f"{page.file.src_uri}: {done.stderr}")
        formulas[page.file.src_uri] = json.loads(done.stdout)
    return markdown


def links(markdown, page):
    """Links between pages in ``docs/`` and outside of it, as they lead in the site."""
    out = "../" * (page.count("/") + 1)

    def lead(match):
        target, part = match[1], match[2] or ""
        if page in OUTSIDE.values():
            target = target.removeprefix("docs/")
        elif target.startswith(out):
            name = target.removeprefix(out)
            target = out.removeprefix("../") + ("index.md" if name == "README.md" else OUTSIDE.get(name, name))
        return f"]({target}{part})"

    return re.sub(r"\]\(([\w./-]+\.md)(#[\w-]+)?\)", lead, markdown)


def one_title(markdown):
    """The first heading is the page's; where it has several of the first level, all others go down by one."""
    if len(re.findall(r"^# ", markdown, re.MULTILINE)) < 2:
        return markdown
    first, rest = markdown.split("\n", 1)
    return first + "\n" + re.sub(r"^#", "##", rest, flags=re.MULTILINE)


COMMANDS = re.compile(r"<pre>(<span></span>)?<code>((?:onnx-prune|cargo|pip) [^<]*)</code>")
FLAGS = re.compile(r"<code>(--[^<]*)</code>")


def whole_words(text):
    """Words that are not broken at their hyphens."""
    return re.sub(r"\S+", r'<span class="word">\g<0></span>', text)


def commands(match):
    lines = [f'<span class="command">{whole_words(line)}</span>' for line in match[2].rstrip("\n").split("\n")]
    return f"<pre>{match[1] or ''}<code>" + "\n".join(lines) + "\n</code>"


def on_page_content(html, page, config, files):
    html = FLAGS.sub(lambda match: f"<code>{whole_words(match[1])}</code>", COMMANDS.sub(commands, html))
    own = formulas.get(page.file.src_uri, [])
    html = re.sub(r"FORMULA(\d+)X", lambda match: own[int(match[1])], html)
    # Roles of reStructuredText in the docstrings.
    return re.sub(r":(?:func|class|meth):(?=<code)", "", html)
