"""A policy: packs, lists and snoozes together, under one version that is the digest of their content.

A directory that brings no pack of kind ``common`` is completed with the shipped one (it is then part of the
policy, and of its version), so that a single scenario pack can be checked, tested and published as it is.
"""

from __future__ import annotations

import fnmatch
import hashlib
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Final

from rules.compiled_policy import CompiledPolicy
from rules.list_file import read_lists
from rules.pack import Common, Pack
from rules.pack_reader import read_pack
from rules.pack_schema import Schema
from rules.policy_check import check_policy
from rules.policy_compiler import compile_policy
from rules.problem import PackError, Problem, errors
from rules.unmatchable import unmatchable

PACKS: Final = Path(__file__).parent / "packs"
COMMON_FILE: Final = "common.yaml"
LIST_SUFFIX: Final = ".csv"
SUFFIXES: Final = (".yaml", ".yml", LIST_SUFFIX)
MAX_FILES: Final = 200


class Policy:
    """Packs that were read and found well-formed; names and types are checked against a schema later.

    Made by :meth:`load` and :meth:`from_files`.
    """

    def __init__(self, files: Mapping[str, bytes], packs: tuple[Pack, ...], given: frozenset[str]) -> None:
        self.files: Mapping[str, bytes] = files
        self.packs = packs
        self.given = given
        """Names of the files that were handed in; the shipped common pack may be beside them."""
        self._compiled: tuple[Schema, Callable[[str], int], CompiledPolicy] | None = None
        self.version = _version(files)

    @classmethod
    def load(cls, paths: Sequence[Path]) -> Policy:
        """A policy from files and directories (their ``*.yaml``, ``*.yml`` and ``*.csv``, not of sub-directories).

        Raises
        ------
        PackError
            A file that cannot be read, or anything wrong that can be seen without a schema.
        """
        return cls.from_files(_read_files(paths))

    @classmethod
    def from_files(cls, files: Mapping[str, bytes]) -> Policy:
        """A policy from the contents of its files, by name.

        Raises
        ------
        PackError
            Anything wrong that can be seen without a schema.

        >>> Policy.from_files({"a.yaml": b"pack: a\\nscenario: ecommerce\\nmatch: 'amount >'\\nthresholds: {review: 9}"})
        Traceback (most recent call last):
        rules.problem.PackError: a.yaml:3:17: the condition ends too early; expected a value
        """
        packs, problems = _read_packs(files)
        if errors(problems):
            raise PackError(problems)
        complete = {pack.file: files[pack.file] for pack in packs}
        if not any(pack.kind == "common" for pack in packs):
            complete[COMMON_FILE] = (PACKS / COMMON_FILE).read_bytes()
            packs.append(read_pack(COMMON_FILE, complete[COMMON_FILE], problems))
        return cls(complete, tuple(sorted(packs, key=lambda pack: _order(pack.file))), frozenset(files))

    @property
    def common(self) -> Common:
        """What holds for every scenario."""
        return next(pack.common for pack in self.packs if pack.common is not None)

    @property
    def trusted_actors(self) -> frozenset[str]:
        """Patterns of the feedback actors whose labels train models; ``*`` stands for any characters."""
        return frozenset(self.common.trusted_actors)

    def trusts(self, actor: str) -> bool:
        """Whether feedback of this actor is taken.

        >>> shipped().trusts("reviewer:li.wei"), shipped().trusts("somebody")
        (True, False)
        """
        return any(fnmatch.fnmatchcase(actor, pattern) for pattern in self.common.trusted_actors)

    def check(self, schema: Schema) -> list[Problem]:
        """Everything wrong or doubtful with this policy under a schema, in file order.

        Whoever writes, publishes or approves a policy asks this. A worker asks :meth:`compile`, which takes entries that
        nothing can match: a policy that is in force stays so.
        """
        return sorted({*check_policy(self.packs, schema), *unmatchable(self.packs, schema)})

    def compile(self, schema: Schema, hash_id: Callable[[str], int]) -> CompiledPolicy:
        """Bind the policy to a schema; the result is kept, so that a new model costs no second check.

        Parameters
        ----------
        schema
            The variables of the matrix that will be evaluated.
        hash_id
            The 64-bit hash of an id that ``evaluate`` will be handed.

        Raises
        ------
        PackError
            :meth:`check` found errors other than what can never match.
        """
        if self._compiled is None or self._compiled[0] is not schema or self._compiled[1] is not hash_id:
            found = errors(check_policy(self.packs, schema))
            if found:
                raise PackError(found)
            self._compiled = schema, hash_id, compile_policy(self.version, self.packs, schema, hash_id)
        return self._compiled[2]


def check_files(paths: Sequence[Path], schema: Schema) -> list[Problem]:
    """Everything wrong or doubtful with the packs of these paths, however early it shows, in file order."""
    try:
        return Policy.load(paths).check(schema)
    except PackError as error:
        found = error.problems
    try:
        packs, problems = _read_packs(_read_files(paths))
    except PackError:
        return found
    if not any(pack.kind == "common" for pack in packs):
        packs.append(read_pack(COMMON_FILE, (PACKS / COMMON_FILE).read_bytes(), problems))
    return sorted({*problems, *check_policy(packs, schema), *unmatchable(packs, schema)})


@lru_cache(maxsize=1)
def shipped() -> Policy:
    """The policy that comes with riskstream."""
    return Policy.from_files({file.name: file.read_bytes() for file in _yaml_files(PACKS)})


def _read_files(paths: Sequence[Path]) -> dict[str, bytes]:
    files: dict[str, bytes] = {}
    problems: list[Problem] = []
    for path in paths:
        for file in _yaml_files(path):
            try:
                files[str(file)] = file.read_bytes()
            except OSError as error:
                problems.append(Problem(str(file), 1, 1, f"cannot be read: {error.strerror}"))
    if not files and not problems:
        named = ", ".join(str(path) for path in paths)
        problems.append(Problem(named or ".", 1, 1, "no pack here; a pack is a file that ends in .yaml"))
    if len(files) > MAX_FILES:
        problems.append(Problem(next(iter(files)), 1, 1, f"more than {MAX_FILES} files in one policy"))
    if problems:
        raise PackError(problems)
    return files


def _read_packs(files: Mapping[str, bytes]) -> tuple[list[Pack], list[Problem]]:
    """The packs that could be read, and every problem met on the way."""
    problems: list[Problem] = []
    packs: list[Pack] = []
    for name in sorted(files, key=_order):
        try:
            read = read_lists if Path(name).suffix == LIST_SUFFIX else read_pack
            packs.append(read(name, files[name], problems))
        except PackError as error:
            problems.extend(error.problems)
    return packs, problems


def _yaml_files(path: Path) -> list[Path]:
    if not path.is_dir():
        return [path]
    return sorted(file for file in path.iterdir() if file.suffix in SUFFIXES and file.is_file())


def _order(name: str) -> tuple[str, str]:
    # The folder a policy was read from is no part of it: neither of its version nor of the order of its rules.
    return Path(name).name, name


def _version(files: Mapping[str, bytes]) -> str:
    digest = hashlib.sha256()
    for name in sorted(files, key=_order):
        digest.update(f"{Path(name).name}\0{len(files[name])}\0".encode())
        digest.update(files[name])
    return f"p-{digest.hexdigest()[:12]}"
