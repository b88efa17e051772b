"""A SNAP graph: what it does, which ``${parameters}`` it asks for, and the same with values in their place."""

from __future__ import annotations

import copy
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sensetrack.errors import ConfigError, InputError
from sensetrack.files.safe import check_file
from sensetrack.graphs import GRAPHS_WD
from sensetrack.ot.parameters import brief
from sensetrack.snap_gpt.xml import each_text, parse, require_characters, write

if TYPE_CHECKING:
    from collections.abc import Mapping
    from xml.etree.ElementTree import Element

_PARAMETER = re.compile(r"\$\{([^{}]*)\}")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.]*\Z")


def graph_names() -> tuple[str, ...]:
    """Names of the graphs that come with sensetrack."""
    return tuple(sorted(path.stem for path in GRAPHS_WD.glob("*.xml")))


@dataclass(frozen=True)
class Node:
    """One step of a graph."""

    id: str
    operator: str
    sources: tuple[str, ...]
    """Ids of the steps it takes its images from."""
    parameters: dict[str, str]
    """What it is told, with ``${parameters}`` as they stand; nested ones joined with a dot and numbered."""


class Graph:
    """A processing graph of SNAP with ``${parameters}``.

    Read one with `Graph.named` or `Graph.read`. A graph never changes: `fill` and `without` return something new.

    Attributes
    ----------
    name : str
    path : Path
        Where it was read from.
    about : str
        What its header says.
    """

    def __init__(self, root: Element, *, path: Path, header: str = "") -> None:
        self._root, self._header = root, header
        self.path, self.name = path, path.stem
        self.about = "\n".join(line.strip() for line in header.strip().splitlines())
        self._nodes = _ordered(_read_nodes(root, path), path)

    @classmethod
    def named(cls, name: str) -> Graph:
        """Return one of the graphs that come with sensetrack.

        Raises
        ------
        ConfigError
            There is none of this name; those there are are named.
        """
        if name not in graph_names():
            message = f"there is no graph {brief(name)}; there are {', '.join(graph_names())}"
            raise ConfigError(message, advice="or give the path of a graph of your own")
        return cls.read(GRAPHS_WD / f"{name}.xml")

    @classmethod
    def read(cls, path: str | os.PathLike[str]) -> Graph:
        """Read a graph of your own.

        Raises
        ------
        InputError
            It is no SNAP graph, or (`MetadataError`) not well-formed.
        UnsafeInputError
            It declares a document type or entities.
        """
        checked = check_file(path)
        root, header = parse(checked.read_bytes(), path)
        if root.tag != "graph":
            raise InputError(f"is not a SNAP graph: its first element is <{brief(root.tag)}>, not <graph>", path=path)
        return cls(root, path=checked, header=header)

    @classmethod
    def of(cls, name: str | os.PathLike[str]) -> Graph:
        """Return the graph of a name, of a `SARPreprocessing` name, or of a file."""
        from sensetrack.snap_gpt.recipes import SARPreprocessing

        text = os.fspath(name)
        if isinstance(name, Path) or text.casefold().endswith(".xml") or "/" in text or "\\" in text:
            return cls.read(name)
        return cls.read(SARPreprocessing.validate(text))

    @property
    def parameters(self) -> tuple[str, ...]:
        """Names of the parameters, in the order in which they first stand in the graph."""
        found: dict[str, None] = {}

        def note(text: str) -> str:
            found.update((match, None) for match in _PARAMETER.findall(text))
            return text

        each_text(self._root, note)
        for name in found:
            if not _NAME.match(name):
                message = f"has a parameter ${{{brief(name)}}}; a name has letters, digits and _"
                raise InputError(message, path=self.path)
        return tuple(found)

    @property
    def nodes(self) -> tuple[Node, ...]:
        """The steps, in an order in which they can be done."""
        return self._nodes

    @property
    def operators(self) -> tuple[str, ...]:
        """Names of the operators, in the order of the steps."""
        return tuple(node.operator for node in self._nodes)

    def fill(self, values: Mapping[str, Any]) -> str:
        """Return the graph as text, every parameter replaced by its value.

        Values are text, numbers, truth values or paths. Whatever they hold (quotes, ``<``, ``;``, ``$( )``, line
        breaks, ``${...}``) stands in the graph as that text and nothing else.

        Raises
        ------
        ConfigError
            A parameter is missing, or a value is given that the graph does not ask for.
        """
        asked = self.parameters
        if strangers := sorted(values.keys() - set(asked)):
            message = f"graph {self.name} has no parameter {brief(strangers[0])}; it has {', '.join(asked)}"
            raise ConfigError(message)
        if missing := [name for name in asked if values.get(name) is None]:
            raise ConfigError(f"graph {self.name} needs {', '.join(missing)}")
        texts = {name: require_characters(_text(values[name], name), name) for name in asked}
        root = copy.deepcopy(self._root)
        each_text(root, lambda text: _PARAMETER.sub(lambda match: texts[match[1]], text))
        return write(root, self._header)

    def without(self, operator: str) -> Graph:
        """Return the graph less every step of an operator; what took its images from one takes them from its source.

        Raises
        ------
        ConfigError
            There is no such step, or it has not exactly one source.
        """
        gone = [node for node in self._nodes if node.operator == operator]
        if not gone:
            message = f"graph {self.name} has no {brief(operator)}; it has {', '.join(self.operators)}"
            raise ConfigError(message)
        root = copy.deepcopy(self._root)
        for node in gone:
            if len(node.sources) != 1:
                raise ConfigError(
                    f"{node.id} of graph {self.name} cannot be left out: it has {len(node.sources)} sources"
                )
            for element in root.findall("node"):
                if element.get("id") == node.id:
                    root.remove(element)
            for source in root.iterfind("node/sources/*"):
                if source.get("refid") == node.id:
                    source.set("refid", node.sources[0])
        return Graph(root, path=self.path, header=self._header)

    def require_ends(self) -> None:
        """Check that the graph reads the product it is given and writes where it is told, and nowhere else.

        Raises
        ------
        InputError
            A Read step has another file than ``${input}``, a Write step another than ``${output}``, or one is missing.
        """
        for operator, wanted in (("Read", "${input}"), ("Write", "${output}")):
            ends = [node for node in self._nodes if node.operator == operator]
            if not ends:
                raise InputError(f"has no {operator} step", path=self.path)
            for node in ends:
                if (found := node.parameters.get("file", "").strip()) != wanted:
                    message = f"the file of its step {node.id} must be {wanted}, instead got {brief(found)}"
                    raise InputError(message, path=self.path, advice=f"replace it by {wanted}")
            if operator == "Write" and len(ends) > 1:
                raise InputError(f"must have one Write step, instead got {len(ends)}", path=self.path)

    def __repr__(self) -> str:
        return f"Graph({self.name}: {' > '.join(self.operators)})"


def _text(value: Any, name: str) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (str, int, Path)):
        return str(value)
    if isinstance(value, float):
        return repr(value)
    raise ConfigError(f"{name} must be text or a number, instead got {brief(value)}")


def _read_nodes(root: Element, path: Path) -> list[Node]:
    nodes: list[Node] = []
    for element in root.findall("node"):
        name, operator = element.get("id") or "", (element.findtext("operator") or "").strip()
        if not name or not operator:
            raise InputError(f"its step {len(nodes) + 1} has no id or no operator", path=path)
        if any(name == node.id for node in nodes):
            raise InputError(f"has two steps called {brief(name)}", path=path)
        sources = element.find("sources")
        ids = tuple(part.get("refid") or "" for part in ([] if sources is None else sources) if part.get("refid"))
        told: dict[str, str] = {}
        parameters = element.find("parameters")
        if parameters is not None:
            _flatten(parameters, "", told)
        nodes.append(Node(name, operator, ids, told))
    if not nodes:
        raise InputError("has no steps", path=path)
    return nodes


def _flatten(element: Element, prefix: str, told: dict[str, str]) -> None:
    for child in element:
        key = prefix + child.tag
        number = 2
        while key in told or any(name.startswith(f"{key}.") for name in told):
            key, number = f"{prefix}{child.tag}{number}", number + 1
        if len(child):
            _flatten(child, f"{key}.", told)
        else:
            told[key] = child.text or ""


def _ordered(nodes: list[Node], path: Path) -> tuple[Node, ...]:
    """Put sources before those who use them; else all stand as in the file."""
    left, done = list(nodes), dict[str, Node]()
    known = {node.id for node in nodes}
    for node in nodes:
        for source in node.sources:
            if source not in known:
                message = f"its step {node.id} takes its images from {brief(source)}, which is none of its steps"
                raise InputError(message, path=path)
    while left:
        ready = next((node for node in left if all(source in done for source in node.sources)), None)
        if ready is None:
            raise InputError(f"its steps {', '.join(node.id for node in left)} wait for each other", path=path)
        left.remove(ready)
        done[ready.id] = ready
    return tuple(done.values())
