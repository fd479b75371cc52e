"""Commands: a reference of ``nslab ...`` from what ``--help`` says."""

import re
from typing import Any

import typer

from nslab.cli import app


def every_command() -> dict[str, Any]:
    """The commands by name."""
    group: Any = typer.main.get_command(app)
    return dict(sorted(group.commands.items()))


def reference() -> str:
    """All commands in Markdown."""
    commands = every_command()
    rows = [f"| [`nslab {name}`](#nslab-{name}) | {summary(c)} |" for name, c in commands.items()]
    table = "\n".join(["| command | |", "|---|---|", *rows])
    return "\n\n".join([table, *(section(name, c) for name, c in commands.items())])


def summary(command: Any) -> str:
    """The first paragraph of a command's help."""
    return prose((command.help or "").partition("\n\n")[0])


def prose(text: str) -> str:
    """Help in Markdown: words in capitals that stand for values are code."""
    text = " ".join(text.split()).replace("|", "\\|").replace("<", "&lt;")
    text = re.sub(r"(?<![`\w])((?:figures|data)/[\w<>&;/.]*\w)", r"`\1`", text)
    return re.sub(r"(?<![`\w-])(--[a-z][a-z-]+|NSLAB_[A-Z_]+)", r"`\1`", text)


def section(name: str, command: Any) -> str:
    """A command: usage, help, arguments and options, its example."""
    arguments = [p for p in command.params if p.param_type_name == "argument"]
    options = [p for p in command.params if p.param_type_name == "option" and p.name != "help"]
    words = " ".join(metavar(argument) for argument in arguments)
    paragraphs = [prose(p) for p in (command.help or "").split("\n\n")]
    parts = [f"## nslab {name}", f"```sh\nnslab {name} [OPTIONS] {words}".rstrip() + "\n```"]
    parts += paragraphs
    if arguments:
        rows = [f"| `{metavar(a)}` | {prose(getattr(a, 'help', '') or '')} |" for a in arguments]
        parts.append("\n".join(["| argument | |", "|---|---|", *rows]))
    panels: dict[str, list[Any]] = {}
    for option in options:
        panel = getattr(option, "rich_help_panel", None) or "option"
        panels.setdefault(panel, []).append(option)
    for panel, some in panels.items():
        rows = [option_row(option) for option in some]
        parts.append("\n".join([f"| {panel} | | default |", "|---|---|---|", *rows]))
    if command.epilog:
        examples = re.sub(r"^Example: ", "", command.epilog)
        parts.append(f"Example: `{' '.join(examples.split())}`")
    return "\n\n".join(parts)


def metavar(argument: Any) -> str:
    """How an argument is written."""
    name = (argument.metavar or argument.name or "").strip("[]{}").upper()
    many = "..." if argument.nargs == -1 else ""
    return f"{name}{many}" if argument.required else f"[{name}{many}]"


def option_row(option: Any) -> str:
    """A line of the table of options."""
    names = ", ".join(f"`{name}`" for name in (*option.opts, *option.secondary_opts))
    default = option.default
    shown = "" if default in (None, False, "", ()) or callable(default) else f"`{default}`"
    required = " (required)" if option.required else ""
    return f"| {names}{required} | {prose(option.help or '')} | {shown} |"
