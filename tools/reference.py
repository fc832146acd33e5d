"""Writes docs/parameters.md from the JSON schema, and docs/command-line.md from typer's commands.

make docs                               python tools/reference.py
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import typer

ROOT = Path(__file__).resolve().parent.parent
SCHEMA = ROOT / "profiles" / "params.schema.json"
PARAMETERS = """# Parameters

Every key of `params.yaml`, written from the JSON schema beside the profiles by `make docs`
(`profiles/params.schema.json`). An editor that reads the schema completes the keys and checks
them while you type. `NAME` stands for a name of yours. A key without a default must be there.
"""
COMMANDS = """# Command line

Every command of `pixelproof`, written from its own help by `make docs`; `--help` shows the same
in the terminal. [Operations](operations.md#exit-codes) lists the exit codes.
"""
_PLURALS = {"integer": "integers", "number": "numbers", "text": "texts"}


def parameters_page(schema: dict[str, Any]) -> str:
    """The page on params.yaml: a heading for each section, a table row for each key."""
    lines = [PARAMETERS]
    for key, node in schema["properties"].items():
        lines += _section(key, node, schema.get("$defs", {}), 2)
    return "\n".join(lines)


def _section(path: str, node: dict[str, Any], types: dict[str, Any], level: int) -> Iterator[str]:
    """A mapping with its keys, then the mappings within it."""
    body, path = _mapping(path, node, types)
    yield f"{'#' * level} {path}\n"
    if text := node.get("description") or body.get("description"):
        yield f"{_one_line(text)}\n"
    required = body.get("required", [])
    yield "| key | value | default | meaning |\n|---|---|---|---|"
    inner = []
    for key, value in body["properties"].items():
        below, _ = _mapping("", value, types)
        default = "" if key in required else f"`{_yaml(value.get('default'))}`"
        meaning = _one_line(value.get("description") or below.get("description", ""))
        yield f"| `{key}` | {_cell(_kind(value, types))} | {default} | {_cell(meaning)} |"
        if below:
            inner.append((f"{path}.{key}", value))
    yield ""
    for below_path, value in inner:
        yield from _section(below_path, value, types, min(level + 1, 4))


def _mapping(path: str, node: dict[str, Any], types: dict[str, Any]) -> tuple[dict[str, Any], str]:
    """The type that lists the keys of a value, if it has any, and how a path leads to them."""
    node = _resolve(node, types)
    if "properties" in node:
        return node, path
    for inner in node.get("patternProperties", {}).values():
        return _mapping(f"{path}.NAME", inner, types)
    for choice in node.get("anyOf", []):
        body, inner_path = _mapping(path, choice, types)
        if body:
            return body, inner_path
    return {}, path


def _resolve(node: dict[str, Any], types: dict[str, Any]) -> dict[str, Any]:
    """The node itself, or the type that it refers to."""
    reference = node.get("$ref")
    return types[reference.removeprefix("#/$defs/")] if reference else node


def _kind(node: dict[str, Any], types: dict[str, Any]) -> str:
    """What a value may be, in words."""
    node = _resolve(node, types)
    if "enum" in node or "const" in node:
        return " · ".join(f"`{one}`" for one in node.get("enum", [node.get("const")]))
    if "anyOf" in node:
        choices = [_resolve(choice, types) for choice in node["anyOf"]]
        of_lists = [choice["items"] for choice in choices if "items" in choice]
        several = [choice for choice in choices if choice not in of_lists]  # a list may be of one
        several.sort(key=lambda choice: choice.get("type") != "null")
        return " or ".join(_kind(choice, types) for choice in several)
    if node.get("type") == "array":
        return _list(node, types)
    words = {"null": "`null`", "object": "mapping", "string": "text", "boolean": "`true` · `false`"}
    kind = str(node.get("type", "any"))
    return f"{words.get(kind, kind)}{_bounds(node)}"


def _list(node: dict[str, Any], types: dict[str, Any]) -> str:
    items = _kind(node.get("items") or node["prefixItems"][0], types)
    kind, comma, bounds = items.partition(", ")
    fixed = node.get("maxItems") is not None and node.get("maxItems") == node.get("minItems")
    words = ["list of", *([str(node["maxItems"])] if fixed else []), _PLURALS.get(kind, kind)]
    return " ".join(words) + (f", each {bounds}" if comma else "")


def _bounds(node: dict[str, Any]) -> str:
    """The range of a number."""
    words = {
        "minimum": "from {}",
        "exclusiveMinimum": "above {}",
        "maximum": "to {}",
        "exclusiveMaximum": "below {}",
    }
    known = {key: text for key, text in words.items() if key in node}
    bounds = [text.format(_number(node[key])) for key, text in known.items()]
    return f", {', '.join(bounds)}" if bounds else ""


def _number(value: float) -> str:
    return "2^63" if value == 2**63 else f"{value:,}" if value >= 10_000 else str(value)


def commands_page(application: typer.Typer) -> str:
    """The page on the command line: the panels of the help, a heading for each command."""
    group: Any = typer.main.get_command(application)
    context = group.make_context("pixelproof", [], resilient_parsing=True)
    lines = [COMMANDS, "```text\npixelproof [OPTIONS] COMMAND [ARGUMENTS]\n```\n"]
    lines += _options(group, context)
    panels: dict[str, list[str]] = {}
    for name, command in group.commands.items():
        panel = command.rich_help_panel
        panels.setdefault(panel if isinstance(panel, str) else "Commands", []).append(name)
    for panel, names in panels.items():
        lines.append(f"## {panel}\n")
        for name in names:
            lines += _command(group.commands[name], f"pixelproof {name}", context)
    return "\n".join(lines)


def _command(command: Any, path: str, parent: Any) -> Iterator[str]:
    """A command with its arguments and options, or each command of a group."""
    name = path.rpartition(" ")[2]
    context = command.make_context(name, [], parent=parent, resilient_parsing=True)
    if commands := getattr(command, "commands", None):
        for inner in commands.values():
            yield from _command(inner, f"{path} {inner.name}", context)
        return
    options, *pieces = command.collect_usage_pieces(context)
    arguments = [piece.strip("{}").replace("}", "").upper() for piece in pieces]
    table = list(_options(command, context))
    usage = [path, *([options] if any("`--" in row for row in table) else []), *arguments]
    yield f"### {path}\n"
    yield f"{(command.help or '').strip()}\n"
    yield f"```text\n{' '.join(usage)}\n```\n"
    yield from table


def _options(command: Any, context: Any) -> Iterator[str]:
    """The table of what a command takes, arguments first; `--help` goes without saying."""
    taken = sorted(command.get_params(context), key=lambda one: one.param_type_name)
    records = filter(None, (one.get_help_record(context) for one in taken))
    rows = [record for record in records if not record[0].startswith("--help")]
    if rows:
        yield "| argument or option | meaning |\n|---|---|"
        yield from (f"| `{_cell(names)}` | {_cell(_one_line(text))} |" for names, text in rows)
        yield ""


def _yaml(value: Any) -> str:
    """A default, as params.yaml holds it."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def _one_line(text: str) -> str:
    return " ".join(text.split())


def pages() -> dict[Path, str]:
    """What each page must hold."""
    from pixelproof.cli.app import app

    schema = json.loads(SCHEMA.read_text(encoding="utf-8"))
    return {
        ROOT / "docs" / "parameters.md": parameters_page(schema),
        ROOT / "docs" / "command-line.md": commands_page(app),
    }


def main() -> None:
    """Write both pages."""
    for path, text in pages().items():
        path.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
