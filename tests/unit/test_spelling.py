"""Names that several processes know are spelt once, so that a change of one cannot leave its reader behind.

What emu.conformance sends and expects is left out: those are the bytes themselves, whatever emu calls them.
"""

from __future__ import annotations

import ast
import asyncio
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from emu import messages
from tests.unit.test_layout import modules, tree

HEADER = re.compile(r"\b(?:K|Knative|X-Emu|X-Forwarded)-[A-Z][A-Za-z-]*[A-Za-z]\b")
LOG_WORDS = {
    messages.STARTED,
    messages.LISTENING,
    messages.PAUSED,
    messages.RESUMED,
    messages.NO_MORE_FREEZES,
    messages.REQUESTS_ENDED,
    messages.REQUESTS_WAITED,
}


def sources() -> Iterator[ast.Module]:
    """Every module that is held to this."""
    return (tree(name) for name in modules() if not name.startswith("emu.conformance."))


def texts() -> Iterator[str]:
    """Every piece of text in the code that is no docstring; bytes too."""
    for module in sources():
        prose = {id(node.value) for node in ast.walk(module) if isinstance(node, ast.Expr)}
        for node in ast.walk(module):
            if isinstance(node, ast.Constant) and id(node) not in prose:
                if isinstance(node.value, str):
                    yield node.value
                elif isinstance(node.value, bytes):
                    yield node.value.decode("latin-1")


def test_each_header_of_knative_and_of_emu_is_spelt_once() -> None:
    """A header that one process sets and another reads comes from one constant."""
    found = Counter(name for text in texts() for name in HEADER.findall(text))
    assert {messages.START_HEADER, messages.NETWORK_PROBE_HEADER} <= {*found}
    assert {name: count for name, count in found.items() if count > 1} == {}


def test_each_container_is_named_once() -> None:
    """`app` is also a key of the scenario: there it is what containers are compared with that counts."""
    found = Counter(texts())
    assert (found[messages.QUEUE_PROXY], found[messages.USER_CONTAINER]) == (1, 1)
    compared = [
        side.value
        for module in sources()
        for node in ast.walk(module)
        if isinstance(node, ast.Compare) and "container" in ast.unparse(node)
        for side in ast.walk(node)
        if isinstance(side, ast.Constant) and side.value in (messages.APP, messages.SANDBOX)
    ]
    assert compared == []


def test_log_words_that_are_read_are_spelt_once() -> None:
    """Whoever writes such a line and whoever reads it use the same constant."""
    spelt = [
        ast.unparse(node)
        for module in sources()
        for node in ast.walk(module)
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute | ast.Name)
        and (node.func.attr if isinstance(node.func, ast.Attribute) else node.func.id)
        in ("event", "seldom", "logged_events")
        and any(isinstance(one, ast.Constant) and one.value in LOG_WORDS for one in node.args)
    ]
    assert spelt == []
    read = [
        one
        for module in sources()
        for node in ast.walk(module)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "logged_events"
        for one in node.args[1:]
        if isinstance(one, ast.Constant)
    ]
    assert read == []


NOT_USED = {
    "told, tell": "reported, logged, shown, sent, listed, distinguished",
    "anew": "again, restarted",
    "corpse": "zombie",
    "of ours, of our own": "emu's",
}
"""Words that only a translation uses, and what this field says instead."""
_NOT_USED = re.compile(
    r"(?<![^\W_])((un|fore)?told|tells?|telling|anew|corpses?|of ours|of our own)(?![^\W_])", re.IGNORECASE
)
_SEARCHED = ("emu", "cgroups", "docs", "tests", "scripts", "bench", "scenarios", "profiles", "images")
_READ = {".py", ".md", ".yaml", ".sh", ".svg", ".js", ".css"}


def test_the_words_are_the_fields() -> None:
    """Code, names, tests and pages: reported, logged or shown, never told; again, never anew; emu's, not of ours."""
    top = Path(__file__).parents[2]
    files = [path for folder in _SEARCHED for path in (top / folder).rglob("*") if path.suffix in _READ]
    files += [*top.glob("*.md"), top / "pyproject.toml", *(top / "scripts").glob("[a-z]*-[a-z]*")]
    found = [
        f"{path.relative_to(top)}:{number}: {line.strip()}"
        for path in files
        if path != Path(__file__) and "fixtures" not in path.parts and ".min." not in path.name
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if _NOT_USED.search(line) and "file.tell()" not in line
    ]
    assert found == [], f"say instead: {NOT_USED}"


def test_a_public_method_is_described_once() -> None:
    """Where it is declared: one that overrides another, or that a protocol asks for, needs none."""
    described = {
        name for kind in (asyncio.BufferedProtocol, asyncio.Protocol, asyncio.Transport) for name in dir(kind)
    }
    silent = []
    for module in modules():
        for kind in tree(module).body:
            for method in kind.body if isinstance(kind, ast.ClassDef) else ():
                if not isinstance(method, ast.FunctionDef | ast.AsyncFunctionDef) or method.name.startswith("_"):
                    continue
                if ast.get_docstring(method):
                    described.add(method.name)
                elif not kind.name.startswith("_"):
                    silent.append((f"{module}.{kind.name}", method.name))
    assert [f"{where}.{name}" for where, name in silent if name not in described] == []


_SMALL = re.compile(
    r"a(ll|nd?|re|s|t)?|be|by|each|f(or|rom)|ha(s|ve)|how|i[fnst]|its|not|o[fnr]|one|th(at|e|ere|ese|is)|to"
    r"|wh(at|en|ere|ether|ich|ose|o)|with"
)


def _stems(text: str) -> set[str]:
    """The words of a name or a sentence, less their endings and what binds them."""
    found = re.findall("[a-z]+", re.sub("([A-Z])", r" \1", text).lower())
    return {re.sub("(?<=...)(ies|ing|ed|es|s|e)$", "", word) for word in found if not _SMALL.fullmatch(word)}


def test_a_docstring_says_more_than_its_name() -> None:
    """Whatever only repeats the name is noise: say what the thing is to its reader, or nothing where that may be."""
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
    assert [
        f"{module}.{node.name}: {text}"
        for module in modules()
        for node in ast.walk(tree(module))
        if isinstance(node, kinds) and (text := ast.get_docstring(node)) and _stems(text) <= _stems(node.name)
    ] == []
