"""A hook of mkdocs: README, CONTRIBUTING and CHANGELOG are pages of the site, too.

They lie in the root, where people and GitHub look for them, and link to `docs/…`; the pages link
back to `../…`. On the site all of them lie side by side.
"""

import posixpath
import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # mkdocs is there only where the site is built
    from mkdocs.config.defaults import MkDocsConfig
    from mkdocs.structure.files import Files
    from mkdocs.structure.pages import Page

PAGES = {
    "README.md": "index.md",
    "CHANGELOG.md": "changelog.md",
    "CONTRIBUTING.md": "contributing.md",
    "plots/error_rates.svg": "error_rates.svg",
}
LINK = re.compile(r"\]\((?!\w+:|#)(?P<path>[^)#\s]+)(?P<anchor>#[^)\s]*)?\)")


def on_files(files: "Files", config: "MkDocsConfig") -> "Files":
    """Add what lies in the root to the files of the site."""
    from mkdocs.structure.files import File

    for source, target in PAGES.items():
        files.append(File.generated(config, target, abs_src_path=source))
    return files


def on_page_markdown(markdown: str, page: "Page", **_: Any) -> str:
    """Have the links of a page lead to where their targets lie on the site."""
    folder = "" if page.file.src_uri in PAGES.values() else "docs"

    def on_site(link: re.Match[str]) -> str:
        path = posixpath.normpath(posixpath.join(folder, link["path"]))
        return f"]({PAGES.get(path, path.removeprefix('docs/'))}{link['anchor'] or ''})"

    return LINK.sub(on_site, markdown)
