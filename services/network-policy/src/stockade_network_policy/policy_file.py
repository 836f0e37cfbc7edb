"""Policy files: YAML that a person writes, read with the line of every mistake.

x-classes:                      # keys that begin with x- are the file's own, for YAML anchors
  small: &small {requests_per_minute: 30, requests_per_hour: 500, burst_size: 5}
aliases: {accessibility-ally: a11y-ally}
policies:
  test-generator: {<<: *small, allowed_domains: [api.anthropic.com, "*.npmjs.org"]}
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import yaml

from stockade_network_policy.domain.errors import Mistake
from stockade_network_policy.domain.policy import DEFAULT, Policy
from stockade_network_policy.domain.reading import read_policy

_SECTIONS = ("policies", "aliases")


@dataclass(slots=True)
class PolicyFile:
    """What a file says, and every mistake in it, by line."""

    policies: list[Policy] = field(default_factory=list)
    aliases: dict[str, str] = field(default_factory=dict)
    mistakes: list[Mistake] = field(default_factory=list)


class PolicyFileCorrupt(Exception):
    """The file cannot be used; the message is one line with file, line and mend."""

    def __init__(self, path: Path, mistakes: list[Mistake]) -> None:
        first = mistakes[0]
        more = f" ({len(mistakes) - 1} more: `stockade policy lint {path}`)" if len(mistakes) > 1 else ""
        super().__init__(f"policy file {path}, line {first.line}: {first}{more}; nothing was changed")


def load(path: Path) -> PolicyFile:
    """Reads a file to start with: it has to be right and to hold `default`. Raises `PolicyFileCorrupt`."""
    try:
        read = parse(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        mistake = Mistake(field="file", message=f"it cannot be read: {error}", mend="give a readable UTF-8 file")
        raise PolicyFileCorrupt(path, [mistake]) from None
    if not read.mistakes and not any(policy.agent_type == DEFAULT for policy in read.policies):
        mend = f"add `{DEFAULT}:` below `policies:`"
        mistake = Mistake(field="policies", message="no policy holds for types without one", mend=mend, line=1)
        raise PolicyFileCorrupt(path, [mistake])
    if read.mistakes:
        raise PolicyFileCorrupt(path, read.mistakes)
    return read


def parse(text: str) -> PolicyFile:
    """Reads a policy file's text and finds every mistake at once."""
    loader = yaml.CSafeLoader(text)
    try:
        root = loader.get_single_node()
        return _Reading(loader).read(root)
    except yaml.YAMLError as error:
        return PolicyFile(mistakes=[_syntax(error)])
    finally:
        loader.dispose()


def _syntax(error: yaml.YAMLError) -> Mistake:
    mark = getattr(error, "problem_mark", None)
    problem = getattr(error, "problem", None) or str(error)
    mend = "mend the YAML: check indentation, colons, brackets and quotes there"
    return Mistake(field="file", message=f"not YAML: {problem}", mend=mend, line=mark.line + 1 if mark else 1)


class _Reading:
    """One pass over a file's nodes, which still know their lines."""

    def __init__(self, loader: yaml.CSafeLoader) -> None:
        self._loader = loader
        self._file = PolicyFile()

    def read(self, root: yaml.Node | None) -> PolicyFile:
        sections = self._mapping(root, "file", "begin with `policies:`")
        for key, node in sections.items():
            if key == "policies":
                self._policies(node)
            elif key == "aliases":
                self._aliases(node)
            elif not key.startswith("x-"):
                self._unknown(key, node)
        if "policies" not in sections and not self._file.mistakes:
            self._mistake("file", root, "there is no `policies:`", "write `policies:` with agent types below it")
        self._file.mistakes.sort(key=lambda mistake: mistake.line)
        return self._file

    def _policies(self, node: yaml.Node) -> None:
        for agent_type, body in self._mapping(node, "policies", "write agent types below `policies:`").items():
            where = f"policies.{agent_type}"
            fields = self._mapping(body, where, "write the policy's fields below its name")
            if not isinstance(body, yaml.MappingNode):
                continue
            values = {name: self._value(value) for name, value in fields.items()}
            policy, mistakes = read_policy(agent_type, values)
            if policy is not None:
                self._file.policies.append(policy)
            for mistake in mistakes:
                line = _line(_node_of(mistake.field, fields, body))
                self._file.mistakes.append(replace(mistake, field=f"{where}.{mistake.field}", line=line))

    def _aliases(self, node: yaml.Node) -> None:
        for alias, target in self._mapping(node, "aliases", "write `alias: agent type` pairs").items():
            self._file.aliases[alias] = str(self._value(target))

    def _unknown(self, key: str, node: yaml.Node) -> None:
        close = get_close_matches(key, _SECTIONS, n=1)
        mend = f"did you mean {close[0]}?" if close else "the sections are policies and aliases; x-… is free"
        self._mistake(key, node, f"there is no section {key}", mend)

    def _mapping(self, node: yaml.Node | None, where: str, mend: str) -> dict[str, yaml.Node]:
        """A mapping's values by key, `<<` merged in; a key given twice is a mistake."""
        if not isinstance(node, yaml.MappingNode):
            self._mistake(where, node, "this is no mapping", mend)
            return {}
        for key in _twice(node):
            self._mistake(f"{where}.{key.value}", key, f"{key.value} is given twice", "keep one of them")
        self._loader.flatten_mapping(node)
        return {str(key.value): value for key, value in node.value}

    def _value(self, node: yaml.Node) -> Any:
        return self._loader.construct_object(node, deep=True)

    def _mistake(self, where: str, node: yaml.Node | None, message: str, mend: str) -> None:
        self._file.mistakes.append(Mistake(field=where, message=message, mend=mend, line=_line(node)))


def _twice(node: yaml.MappingNode) -> Iterator[yaml.Node]:
    seen: set[str] = set()
    for key, _ in node.value:
        if key.tag != "tag:yaml.org,2002:merge" and key.value in seen:
            yield key
        seen.add(str(key.value))


def _node_of(name: str, fields: dict[str, yaml.Node], body: yaml.Node) -> yaml.Node:
    """The node that a mistake's field names: `allowed_domains[2]` is an item, what is missing is the body."""
    base, _, index = name.removesuffix("]").partition("[")
    node = fields.get(base, body)
    return node.value[int(index)] if index and isinstance(node, yaml.SequenceNode) else node


def _line(node: yaml.Node | None) -> int:
    return node.start_mark.line + 1 if node is not None else 1
