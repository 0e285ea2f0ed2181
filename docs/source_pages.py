"""Pages from docstrings, read from the source without importing it: no package of the build needs PyTorch."""

import ast
import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

PACKAGES = ("tightship", "benchmarks", "runtimes", "export", "compress", "zoo", "artifacts")
SKIPPED = ("benchmarks/suites",)
Definition = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef
SECTIONS = re.compile(r"(Args|Arguments|Returns|Yields|Raises|Example|Examples|Source|Notes?|Shapes?|Units?):")


def api_pages(root: Path, public: Sequence[str]) -> dict[str, str]:
    """One page for each package and subpackage, and one for the `public` names of `tightship`: path below docs/ -> Markdown."""
    folders = [f for package in PACKAGES for f in _folders(root / package) if not _skipped(f.relative_to(root))]
    names = [".".join(folder.relative_to(root).parts) for folder in folders]
    made = {f"reference/api/{name}.md": _package(root, folder, name) for name, folder in zip(names, folders, strict=True)}
    face = _face(root, public)
    if face:
        made["reference/api/public.md"] = face
    listed = "\n".join(
        f"- [`{name}`]({name}.md): {_first(folder / '__init__.py')}" for name, folder in zip(names, folders, strict=True)
    )
    first = "- [`import tightship as ts`](public.md): what is meant to be called from outside\n" if face else ""
    tree = "\n".join([*(["public"] if face else []), *names])
    made["reference/api/index.md"] = (
        "# Python packages\n\nPublic names with their docstrings. Imports run one way, from the first to the last package "
        f"([architecture](../../explanation/architecture.md)).\n\n{first}{listed}\n\n```{{toctree}}\n:hidden:\n\n{tree}\n```\n"
    )
    return made


def record_page(root: Path, folder: str, top: str) -> str:
    """The records below `folder` that a record is made of, from `top` down, field by field."""
    classes = {
        node.name: node
        for path in sorted((root / folder).glob("*.py"))
        for node in _public(_tree(path))
        if isinstance(node, ast.ClassDef)
    }
    order, at = [top], 0
    while at < len(order):
        words = [w for field in _fields(classes[order[at]]) for w in re.findall(r"\w+", ast.unparse(field.annotation))]
        order += [name for name in dict.fromkeys(words) if name in classes and name not in order]
        at += 1
    parts = [
        f"## {name}\n\n{prose(ast.get_docstring(classes[name]) or '')}\n\n{_field_table(classes[name], set(order))}"
        for name in order
    ]
    return (
        f"# Schema of the evidence\n\nThe records that `evidence.json` is made of, as the code defines them in `{folder}/`. "
        "How each figure is measured: [the evidence](evidence.md).\n\n" + "\n\n".join(parts) + "\n"
    )


def prose(text: str) -> str:
    """A docstring as Markdown: sections become lists, examples code, papers links."""
    out: list[str] = []
    lines = text.splitlines()
    at = 0
    while at < len(lines):
        line = lines[at]
        if line.lstrip().startswith(">>>"):
            end = next((i for i in range(at, len(lines)) if not lines[i].strip()), len(lines))
            out += [
                "",
                "```python",
                *(each.strip() for each in lines[at:end]),
                "```",
            ]
            at = end
            continue
        section = SECTIONS.fullmatch(line.strip())
        if section:
            end = next((i for i in range(at + 1, len(lines)) if lines[i].strip() and not lines[i].startswith(" ")), len(lines))
            out += ["", f"**{section[1]}**", "", *_section(lines[at + 1 : end]), ""]
            at = end
            continue
        out.append(_escaped(line))
        at += 1
    return "\n".join(out).strip()


def _section(lines: list[str]) -> Iterator[str]:
    """The lines below `Raises:` and its kin: an entry begins where the least indentation is."""
    filled = [line for line in lines if line.strip()]
    if any(line.lstrip().startswith(">>>") for line in filled):
        yield from ["```python", *(line.strip() for line in filled), "```"]
        return
    least = min((len(line) - len(line.lstrip()) for line in filled), default=0)
    for line in filled:
        begins = len(line) - len(line.lstrip()) == least
        name, colon, rest = line.strip().partition(": ")
        if begins and colon and re.fullmatch(r"[\w.*, `]+", name):
            yield f"- `{name.strip('`')}`: {_escaped(rest)}"
        else:
            yield f"- {_escaped(line.strip())}" if begins else f"  {_escaped(line.strip())}"


def _escaped(line: str) -> str:
    """Outside code: no HTML, and papers as links."""
    parts = re.split(r"(`+[^`]*`+)", line)
    for i in range(0, len(parts), 2):
        text = parts[i].replace("<", "&lt;").replace("*", "\\*").replace("](", "]\\(")
        text = re.sub(r"arXiv:(\d{4}\.\d{4,5})", r"[arXiv:\1](https://arxiv.org/abs/\1)", text)
        parts[i] = re.sub(r"(?<![\w(])(https?://[^\s)]+[^\s).,;:])", r"<\1>", text)
    return "".join(parts)


def _package(root: Path, folder: Path, name: str) -> str:
    parts = [f"# {name}\n\n{prose(_doc(folder / '__init__.py'))}\n"]
    for path in sorted(folder.glob("*.py")):
        defined = list(_public(_tree(path)))
        if not defined:
            continue
        inside = path.name != "__init__.py"
        parts += [f"## {name}.{path.stem}\n\n{prose(_doc(path))}\n"] if inside else []
        parts += [_entry(node, "###" if inside else "##") for node in defined]
    return "\n".join(parts)


def _face(root: Path, names: Sequence[str]) -> str:
    """The public names with their docstrings, wherever each is defined; empty if there are none."""
    defined: dict[str, Definition] = {}
    # a name of `tightship.api` is the one that is exported; then those of the higher packages come first
    for folder in ("tightship/api", *PACKAGES):
        for path in sorted((root / folder).rglob("*.py")):
            for node in _public(_tree(path)):
                defined.setdefault(node.name, node)
    parts = [_entry(defined[name], "##") for name in names if name in defined]
    about = prose(_doc(root / "tightship" / "__init__.py"))
    return f"# import tightship as ts\n\n{about}\n\n" + "\n".join(parts) if parts else ""


def _entry(node: Definition, level: str = "###") -> str:
    doc = prose(ast.get_docstring(node) or "")
    if not isinstance(node, ast.ClassDef):
        return f"{level} {node.name}\n\n```python\n{_signature(node)}\n```\n\n{doc}\n"
    bases = ", ".join(ast.unparse(base) for base in node.bases)
    table = _field_table(node, set())
    methods = [
        f"- `{_short(m)}`: {_escaped((ast.get_docstring(m) or '').partition(chr(10))[0])}"
        for m in _public(node)
        if ast.get_docstring(m)
    ]
    body = "\n\n".join(part for part in (doc, table, "\n".join(methods)) if part)
    return f"{level} {node.name}\n\n```python\nclass {node.name}{f'({bases})' if bases else ''}\n```\n\n{body}\n"


def _field_table(node: ast.ClassDef, linked: set[str]) -> str:
    rows = []
    for field in _fields(node):
        kind = f"`{ast.unparse(field.annotation)}`".replace("|", "\\|")
        known = next((w for w in re.findall(r"\w+", ast.unparse(field.annotation)) if w in linked), None)
        said = " ".join(prose(_attribute_doc(node, field)).split()).replace("|", "\\|")
        rows.append(f"| `{ast.unparse(field.target)}` | {f'[{kind}](#{known.lower()})' if known else kind} | {said} |")
    return "| field | type | meaning |\n| --- | --- | --- |\n" + "\n".join(rows) if rows else ""


def _fields(node: ast.ClassDef) -> list[ast.AnnAssign]:
    return [
        n
        for n in node.body
        if isinstance(n, ast.AnnAssign)
        and not ast.unparse(n.target).startswith("_")
        and "ClassVar" not in ast.unparse(n.annotation)
    ]


def _attribute_doc(node: ast.ClassDef, field: ast.AnnAssign) -> str:
    after = node.body[node.body.index(field) + 1 :][:1]
    if after and isinstance(after[0], ast.Expr) and isinstance(after[0].value, ast.Constant):
        return str(after[0].value.value)
    return ""


def _signature(node: ast.FunctionDef | ast.AsyncFunctionDef) -> str:
    returns = f" -> {ast.unparse(node.returns)}" if node.returns else ""
    line = f"def {node.name}({ast.unparse(node.args)}){returns}"
    if len(line) <= 76:
        return line
    arguments = re.split(r", (?![^\[(]*[\])])", ast.unparse(node.args))
    return f"def {node.name}(\n" + "".join(f"    {each},\n" for each in arguments) + f"){returns}"


def _short(node: Definition) -> str:
    if isinstance(node, ast.ClassDef) or any(ast.unparse(d).endswith("property") for d in node.decorator_list):
        return node.name
    return f"{node.name}({', '.join(a.arg for a in [*node.args.args, *node.args.kwonlyargs] if a.arg not in ('self', 'cls'))})"


def _public(tree: ast.Module | ast.ClassDef) -> Iterator[Definition]:
    return (
        n
        for n in tree.body
        if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) and not n.name.startswith("_")
    )


def _folders(package: Path) -> Iterable[Path]:
    return sorted({path.parent for path in package.rglob("__init__.py")})


def _skipped(path: Path) -> bool:
    return any(path.is_relative_to(one) for one in SKIPPED)


def _tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text())


def _doc(path: Path) -> str:
    return ast.get_docstring(_tree(path)) or ""


def _first(path: Path) -> str:
    return _escaped(_doc(path).partition("\n")[0])
