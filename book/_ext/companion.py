"""Sphinx extension of this book: links to the code, and drawings that follow the page's colours.

``{src}`` turns ``anml/adapt.py:adapt_head`` into a link to that very line of the repository. The
repository's address is `repository.url` of `_config.yml`, written nowhere else. A file or name that
does not exist is a warning, and so an error in a build with ``-W``: prose cannot outlive its code.
"""

from __future__ import annotations

import ast
import re
from html import escape
from pathlib import Path
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.transforms.post_transforms import SphinxPostTransform
from sphinx.util import logging
from sphinx.util.docutils import SphinxRole

logger = logging.getLogger(__name__)

DRAWINGS = "book/art/"


def line_of(source: str, name: str) -> int | None:
    """First line (from 1) of the function, class, method or constant `name` ('Class.method')."""
    body: list[ast.stmt] = ast.parse(source).body
    line = None
    for part in name.split("."):
        found = next((node for node in body if part in _names(node)), None)
        if found is None:
            return None
        line, body = found.lineno, getattr(found, "body", [])
    return line


def _names(node: ast.stmt) -> set[str]:
    if isinstance(node, ast.FunctionDef | ast.ClassDef):
        return {node.name}
    targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
    return {target.id for target in targets if isinstance(target, ast.Name)}


class SourceRole(SphinxRole):
    """``{src}`path``` or ``{src}`path:name``` or ``{src}`text <path:name>```."""

    def run(self) -> tuple[list[nodes.Node], list[nodes.system_message]]:
        """The link, or its text alone and a warning where there is nothing to link to."""
        titled = re.fullmatch(r"(?s)(.+?)\s*<([^<>]+)>", self.text)
        text, target = titled.groups() if titled else (None, self.text)
        path, _, name = target.partition(":")
        label = nodes.literal("", text or (f"{name}" if name else path))
        options = self.config.html_theme_options
        url = f"{options['repository_url']}/blob/{options['repository_branch']}/{path}"
        file = Path(self.env.srcdir, path)
        if not file.exists():
            logger.warning("no such file in the repository: %s", path, location=self.get_location())
            return [label], []
        if name:
            line = line_of(file.read_text(encoding="utf8"), name)
            if line is None:
                logger.warning("%s has no %s", path, name, location=self.get_location())
                return [label], []
            url += f"#L{line}"
        inner = nodes.inline("", text) if text else label
        return [nodes.reference("", "", inner, refuri=url, classes=["src"])], []


class InlineDrawings(SphinxPostTransform):
    """Put the drawings of the book into the page itself, so that they take its ink."""

    default_priority = 50
    builders = ("html",)

    def run(self, **_: Any) -> None:
        """Replace image nodes under `DRAWINGS` by their SVG, the alt text as its label."""
        for image in list(self.document.findall(nodes.image)):
            if image["uri"].startswith(DRAWINGS) and image["uri"].endswith(".svg"):
                svg = Path(self.env.srcdir, image["uri"]).read_text(encoding="utf8")
                label = escape(image.get("alt", ""), quote=True)
                svg = svg.replace(
                    "<svg ", f'<svg class="drawing" role="img" aria-label="{label}" ', 1
                )
                image.replace_self(nodes.raw("", svg, format="html"))


def setup(app: Sphinx) -> dict[str, Any]:
    """Register the role and the transform."""
    app.add_role("src", SourceRole())
    app.add_post_transform(InlineDrawings)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
