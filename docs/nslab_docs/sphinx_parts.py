"""Sphinx extension: formulas as MathML, and references in docstrings that are lenient.

MathML needs no script and no fonts from elsewhere, so the site works offline; docutils makes it.
A docstring's single backticks are a link where there is something of that name, else code. In the
pages of ``docs/`` a reference that leads nowhere stays a warning, which ends the build.
"""

import importlib
import re
from typing import Any

from docutils import nodes
from docutils.utils.math import MathError
from docutils.utils.math.latex2mathml import tex2mathml
from sphinx.application import Sphinx
from sphinx.util import logging

logger = logging.getLogger(__name__)
API = ("reference/api/", "_modules/")
TAG = re.compile(r"\\tag\{([^}]*)\}")
# TeX that docutils has by another name.
SPELLINGS = (
    (re.compile(r"\\dots(?![a-z])"), r"\\ldots"),
    (re.compile(r"\\([td]?frac)\s*(\d)\s*(\d)"), r"\\\1{\2}{\3}"),
    (re.compile(r"\\(big|Big|bigg|Bigg)(?=\s*[)\]])"), r"\\\1r"),
    (re.compile(r"\\(big|Big|bigg|Bigg)(?=\s*[(\[|/])"), r"\\\1l"),
)
FIELDS = re.compile(r"^:(?:ivar|param) [\w, ]+:", re.M)
JOINT = "\u200b"  # in "sigma, rho", where a space would make the first a type
LITERAL = re.compile(r"(``.*?``)", re.S)


def mathml(tex: str, block: bool, node: nodes.Node) -> str:
    """A formula; one that docutils cannot set is a warning, and shown as it is written."""
    tags = TAG.findall(tex)
    spelled = TAG.sub("", tex)
    for pattern, spelling in SPELLINGS:
        spelled = pattern.sub(spelling, spelled)
    try:
        made = tex2mathml(spelled, as_block=block)
    except MathError as error:
        logger.warning("formula %r: %s", tex, error, location=node)
        return f"<code>{nodes.unescape(tex)}</code>"
    return made + "".join(f' <span class="equation-tag">({tag})</span>' for tag in tags)


def inline_formula(self: Any, node: nodes.math) -> None:
    """Visitor."""
    self.body.append(mathml(node.astext(), False, node))
    raise nodes.SkipNode


def block_formula(self: Any, node: nodes.math_block) -> None:
    """Visitor."""
    self.body.append(self.starttag(node, "div", CLASS="formula"))
    self.body.append(mathml(node.astext(), True, node) + "</div>\n")
    raise nodes.SkipNode


def resolve(app: Sphinx, env: Any, node: Any, content: Any) -> Any:
    """A name as it is imported, such as ``nslab.NS``, leads to where it is defined."""
    if node.get("refdomain") != "py":
        return None
    home = defined_in(node["reftarget"])
    if home and home != node["reftarget"]:
        domain, builder = env.get_domain("py"), app.builder
        found = domain.resolve_xref(env, node["refdoc"], builder, "obj", home, node, content)
        if found is not None:
            return found
    if node["refdoc"].startswith(API):
        return content
    return content if app.config.nslab_partial and node["reftarget"].startswith("nslab") else None


def defined_in(name: str) -> str:
    """The module and name that a dotted name of nslab is defined under; blank for none."""
    module, _, attribute = name.rpartition(".")
    if not module.startswith("nslab"):
        return ""
    try:
        value = getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError):
        return ""
    if isinstance(value, type) or callable(value):
        return f"{getattr(value, '__module__', '')}.{getattr(value, '__qualname__', '')}"
    return ""


def escape(app: Sphinx, what: str, name: str, obj: Any, options: Any, lines: list[str]) -> None:
    """Bars of absolute values in the prose of a docstring are bars, and no substitutions."""
    blocks = "\n".join(lines).split("\n\n")
    for i, block in enumerate(blocks):
        if not block.lstrip().startswith(">>>"):
            parts = LITERAL.split(block)
            parts[::2] = [part.replace("|", "\\|") for part in parts[::2]]
            blocks[i] = "".join(parts)
    text = "\n\n".join(blocks)
    lines[:] = FIELDS.sub(lambda match: match[0].replace(", ", f",{JOINT}"), text).split("\n")


def signature(
    app: Sphinx, what: str, name: str, obj: Any, options: Any, args: str | None, result: str | None
) -> tuple[str | None, str | None]:
    """Defaults that a dataclass makes anew each time, as Python can be read."""
    return (args.replace("<factory>", "...") if args else args), result


def setup(app: Sphinx) -> dict[str, bool]:
    """What Sphinx calls."""
    app.add_config_value("nslab_partial", False, "env")
    app.add_html_math_renderer("mathml", (inline_formula, None), (block_formula, None))
    app.connect("missing-reference", resolve)
    app.connect("autodoc-process-docstring", escape)
    app.connect("autodoc-process-signature", signature)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
