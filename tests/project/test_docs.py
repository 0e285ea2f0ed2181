"""The documentation holds together: every section and verb has a page, links lead somewhere, files that are named exist."""

import importlib
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
WRITTEN = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted(ROOT.glob("examples/*/README.md"))]
FENCE = re.compile(r"^```.*?^```", re.M | re.S)
LINK = re.compile(r"\]\(([^)\s]+)\)")
NAMED = re.compile(r"`((?:[\w.-]+/)+[\w.-]+\.(?:py|yaml|yml|md|toml|jsonl|j2|css))`")


@pytest.fixture(scope="module")
def generate():
    """The generator of the reference, as the site's build imports it."""
    sys.path.insert(0, str(DOCS))
    try:
        yield importlib.import_module("generate")
    finally:
        sys.path.remove(str(DOCS))


@pytest.fixture(scope="module")
def pages(generate):
    """Every page of the site: path below docs/ -> Markdown."""
    made = generate.pages()
    generated = tuple(generate.GENERATED)
    names = {p.relative_to(DOCS).as_posix(): p for p in DOCS.rglob("*.md") if "_build" not in p.parts}
    return made | {name: path.read_text() for name, path in names.items() if not name.startswith(generated)}


def test_every_section_of_a_recipe_and_every_method_has_a_page_with_all_its_keys(pages):
    from tightship.recipe.recipe import STAGES, Recipe
    from tightship.recipe.sections import DimConfig, ExportConfig, GatesConfig, OnnxExportConfig

    kinds = {**STAGES, "gates": GatesConfig, "export": ExportConfig}
    for section in [*STAGES, "model", "data", "train", "export", "targets", "gates", "measure"]:
        page = pages[f"reference/keys/{section}.md"]
        keys = kinds[section].model_fields if section in kinds else ()
        assert [key for key in keys if not re.search(rf"^##+ {key}$", page, re.M)] == [], section
    for inner in (DimConfig, OnnxExportConfig):
        assert all(f"### {key}\n" in pages["reference/keys/export.md"] for key in inner.model_fields)
    assert all(f"## {key}\n" in pages["reference/keys/index.md"] for key in Recipe.model_fields)


def test_a_key_shows_type_default_meaning_and_example(pages):
    page = pages["reference/keys/prune.md"]
    assert "## macs\n\nnumber, above 0, at most 1 · optional\n\nStructured: the share of the incoming" in page
    assert "```yaml\nmacs: 0.5\n```" in page
    assert "integer, at least 1, at most 50 · default `1`" in page
    assert "`global` \\| `local` · default `global`" in page


@pytest.mark.slow
def test_every_verb_has_a_page_with_all_its_options(pages, cli):
    from tightship.cli.main import app

    for command in app.registered_commands:
        verb = command.name or command.callback.__name__
        page = pages[f"reference/cli/{verb}.md"]
        shown = re.findall(r"^  (--[\w-]+)", cli(verb, "--help").stdout, re.M)
        assert [option for option in shown if option != "--help" and f"`{option}`" not in page] == [], verb


def test_every_record_of_the_evidence_and_every_package_has_its_place(pages):
    schema = pages["reference/evidence-schema.md"]
    assert all(f"\n## {name}\n" in schema for name in ("Evidence", "ArtifactRecord", "NoiseRecord", "GateRecord"))
    assert "Largest resident" not in schema
    assert "`p50`" in schema
    folders = [
        path.parent for package in ("compress", "runtimes", "tightship") for path in (ROOT / package).rglob("__init__.py")
    ]
    names = {".".join(folder.relative_to(ROOT).parts) for folder in folders}
    assert {name for name in names if f"reference/api/{name}.md" not in pages} == set()


@pytest.mark.slow
def test_public_names_have_a_page_of_their_own(generate):
    page = generate.source_pages.api_pages(ROOT, ["load_recipe", "Evidence", "no_such_name"])["reference/api/public.md"]
    assert "## load_recipe\n\n```python\ndef load_recipe(\n    recipe: 'RecipeLike',\n" in page
    assert ") -> 'Recipe'\n```" in page
    assert "- `RecipeError`: one sentence" in page
    assert "## Evidence" in page
    assert "no_such_name" not in page


@pytest.mark.slow
def test_pages_that_are_no_longer_made_are_removed(generate, tmp_path):
    old = tmp_path / "reference" / "keys" / "gone.md"
    old.parent.mkdir(parents=True)
    old.write_text("# gone")
    written = generate.write(tmp_path)
    assert not old.exists()
    assert len(written) == len(generate.pages())


def slugs(text):
    """The anchors of a page's headings, as GitHub and the site make them."""
    found = []
    for heading in re.findall(r"^#+ (.*)$", FENCE.sub("", text), re.M):
        plain = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading)
        found.append(re.sub(r"[^\w\- ]", "", plain.lower()).strip().replace(" ", "-"))
    return found


def test_every_link_inside_the_pages_leads_somewhere(pages):
    broken = []
    for name, text in pages.items():
        for link in LINK.findall(FENCE.sub("", text)):
            if re.match(r"[a-z]+:", link):
                continue
            target, _, anchor = link.partition("#")
            place = (DOCS / name).parent / target if target else DOCS / name
            found = place.resolve().relative_to(DOCS).as_posix() if place.resolve().is_relative_to(DOCS) else None
            page = pages.get(found) if found else None
            if page is None and not place.is_file():
                broken.append(f"{name}: {link}")
            elif page is not None and anchor and anchor not in slugs(page):
                broken.append(f"{name}: {link} (no such heading)")
    assert broken == []


def test_every_link_in_the_other_documents_leads_to_a_file(pages):
    broken = []
    for path in WRITTEN:
        for link in LINK.findall(FENCE.sub("", path.read_text())):
            target, _, anchor = link.partition("#")
            if re.match(r"[a-z]+:", link):
                continue
            place = path.parent / target
            page = (
                pages.get(place.resolve().relative_to(DOCS).as_posix())
                if place.suffix == ".md" and place.is_relative_to(DOCS)
                else None
            )
            if not place.exists() or (page and anchor and anchor not in slugs(page)):
                broken.append(f"{path.name}: {link}")
    assert broken == []


def test_every_file_that_is_named_is_there(pages):
    texts = {name: text for name, text in pages.items() if not name.startswith(("reference/api", "changelog"))}
    texts |= {path.relative_to(ROOT).as_posix(): path.read_text() for path in WRITTEN if path.name != "CHANGELOG.md"}
    # what a run writes, and what a reader would write
    made = re.compile(
        r"^(runs|out|ci|selftest|OUT|artifacts/onnxruntime|own_runtime)/|^FOLDER|NAME|FAMILY|^\.github/workflows/models\.yml$|^\w+/.*\*"
    )
    missing = [
        f"{name}: {path}"
        for name, text in texts.items()
        for path in NAMED.findall(text)
        if not made.search(path) and not any((base / path).exists() for base in (ROOT, (DOCS / name).parent, DOCS))
    ]
    assert missing == []


def test_the_spelling_is_american_and_the_words_are_the_fields(pages):
    wrong = re.compile(
        r"\b(\w*(?:quanti|regulari|equali|normali|initiali|generali|optimi|studenti)s(?:e[sd]?|ing|ation)|"
        r"behaviour|colour|honoured|neighbour\w*|favour\w*|yardsticks?|regate|spreads of)\b"
    )  # fmt: skip
    texts = pages | {path.relative_to(ROOT).as_posix(): path.read_text() for path in WRITTEN}
    found = [f"{name}: {w}" for name, text in texts.items() if "reference/api" not in name for w in wrong.findall(text)]
    assert found == []


def test_the_readme_is_short_and_narrow():
    lines = (ROOT / "README.md").read_text().splitlines()
    assert 60 <= len(lines) <= 80
    assert [line for line in lines if len(line) > 100] == []


@pytest.mark.slow
def test_the_site_builds_without_a_warning(tmp_path):
    build = ROOT / ".venv-docs" / "bin" / "sphinx-build"
    if not build.is_file():
        pytest.skip("no .venv-docs here: `make docs` sets it up")
    strict = ["--fail-on-warning", "--keep-going", "--quiet", "--builder", "html", "--doctree-dir", tmp_path / "trees"]
    done = subprocess.run([build, *strict, DOCS, tmp_path / "html"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    page = (tmp_path / "html" / "index.html").read_text()
    assert not re.findall(r'(?:src|href)="https?://[^"]*\.(?:js|css|woff2?)"', page), "the site loads nothing from elsewhere"
