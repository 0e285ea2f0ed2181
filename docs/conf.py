"""How Sphinx builds the site: strictly (`make docs`), from Markdown, without the network."""

import sys
from pathlib import Path

from sphinx.application import Sphinx

sys.path.insert(0, str(Path(__file__).resolve().parent))

import generate  # beside this file, found by the line above

project = "tightship"
extensions = ["myst_parser"]
exclude_patterns = ["_build"]
myst_heading_anchors = 4
html_theme = "pydata_sphinx_theme"
html_title = "tightship"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_show_sourcelink = False
html_copy_source = False
html_theme_options = {
    "logo": {"text": "tightship"},
    "navbar_align": "left",
    "navbar_persistent": ["search-button"],
    "header_links_before_dropdown": 7,
    "secondary_sidebar_items": ["page-toc"],
    "footer_start": [],
    "footer_end": [],
    "show_prev_next": True,
    "navigation_with_keys": False,
}
pygments_style = "default"
# a code block without a language is what a terminal printed
highlight_language = "text"


def setup(app: Sphinx) -> None:
    """Write the pages that come from the code before any page is read."""
    app.connect("builder-inited", lambda _: generate.write())
