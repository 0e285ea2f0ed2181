"""No link between our pages leads nowhere: the file is there, and so is the heading."""

import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
CODE = re.compile(r"^(```|~~~).*?^\1\s*$|`[^`\n]*`", re.MULTILINE | re.DOTALL)


def pages():
    """Every Markdown file of the repository, outside environments and runs."""
    if not (ROOT / ".git").exists():
        return sorted(p for p in ROOT.rglob("*.md") if not {"runs", "dist"} & set(p.parts) and ".venv" not in str(p))
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", "*.md"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.split("\0")
    return sorted(ROOT / name for name in listed if name and (ROOT / name).is_file())


def anchors(text):
    """The headings of a page as links name them."""
    headings = re.findall(r"^#+\s+(.*?)\s*$", CODE.sub(lambda m: m[0] if m[0].count("`") == 2 else "", text), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def broken(page):
    """The links of a page that lead nowhere in the repository."""
    for link in LINK.findall(CODE.sub("", page.read_text("utf-8"))):
        target, _, anchor = link.partition("#")
        if re.match(r"[a-z]+:", link):
            continue
        path = (page.parent / target) if target else page
        if not path.resolve().exists() or (anchor and path.suffix == ".md" and anchor not in anchors(path.read_text("utf-8"))):
            yield link


@pytest.mark.parametrize("page", pages(), ids=lambda path: path.relative_to(ROOT).as_posix())
def test_every_link_leads_somewhere(page):
    assert not list(broken(page))


@pytest.mark.parametrize("link", ["gone.md", "#gone", "there.md#gone", "folder/gone.png"])
def test_a_link_that_leads_nowhere_is_found(tmp_path, link):
    (tmp_path / "there.md").write_text("# What there is (here)\n")
    (tmp_path / "page.md").write_text(
        f"# Here\n[a]({link}) [b](there.md#what-there-is-here) [c](#here) [d](https://x.y) `[e](z.md)`\n"
    )
    assert list(broken(tmp_path / "page.md")) == [link]
