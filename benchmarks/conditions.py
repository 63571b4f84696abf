"""What rules cost: 30 rules of 3 conditions and the shipped policy, against a CEL library and plain numpy.

Run: .venv/bin/python -m benchmarks.conditions

Thread CPU time per event, median of several runs, all in one process. Every engine answers the same rules over the
same payments, and the verdicts are compared before anything is timed.
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable

import numpy as np
from cel_expr_python import cel
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from rules.bytecode import TRUE, assemble
from rules.condition import Term, check
from rules.pack_schema import Schema, Variable
from rules.policy import shipped
from stream.core.columns import hash_id
from stream.core.features import SCHEMA

RULES, CONDITIONS, VARIABLES = 30, 3, 20
BATCHES = (1, 16, 256, 500)
SMALL = Schema(tuple(Variable(f"v{k}", "double", "", "") for k in range(VARIABLES)))
_COMPARE: dict[str, Callable[..., NDArray[np.bool_]]] = {">": np.greater, "<": np.less}


def texts(generator: np.random.Generator) -> list[str]:
    """30 rules of 3 conditions each, over 20 doubles."""
    return [
        " && ".join(
            f"v{generator.integers(VARIABLES)} {generator.choice(['>', '<'])} {generator.normal(0, 0.5):.3f}"
            for _ in range(CONDITIONS)
        )
        for _ in range(RULES)
    ]


def by_numpy(term: Term) -> Callable[[NDArray[np.float64]], NDArray[np.bool_]]:
    """The same condition as whole numpy columns."""
    if term.operator == "&&":
        left, right = (by_numpy(operand) for operand in term.operands)
        return lambda matrix: left(matrix) & right(matrix)
    column, limit = term.operands[0].column, term.operands[1].values[0]
    compare = _COMPARE[term.operator]
    return lambda matrix: compare(matrix[:, column], limit)


def cpu_us(work: Callable[[], object], events: int, budget_s: float = 0.25) -> float:
    """Median thread CPU per event in µs over at least 5 rounds."""
    work()
    rounds, start = [], time.thread_time()
    while len(rounds) < 5 or time.thread_time() - start < budget_s:
        before = time.thread_time_ns()
        work()
        rounds.append((time.thread_time_ns() - before) / 1000 / events)
    return statistics.median(rounds)


def conditions_table(generator: np.random.Generator) -> Table:
    """30 rules of 3 conditions by every engine."""
    rules = texts(generator)
    terms = [check(text, SMALL) for text in rules]
    program, columns = assemble(terms), [by_numpy(term) for term in terms]
    environment = cel.NewEnv(variables={v.name: cel.Type.DOUBLE for v in SMALL.variables})
    library = [environment.compile(text) for text in rules]
    table = Table(title=f"{RULES} rules of {CONDITIONS} conditions, CPU µs per event")
    for heading in ("engine", *(f"n={n}" for n in BATCHES)):
        table.add_column(heading, justify="left" if heading == "engine" else "right")
    results: dict[str, list[str]] = {
        "riskstream (bytecode, one interpreter)": [],
        "numpy columns": [],
        "cel-expr-python": [],
    }
    for n in BATCHES:
        matrix = generator.normal(size=(n, VARIABLES))
        rows = [{v.name: float(matrix[i, k]) for k, v in enumerate(SMALL.variables)} for i in range(n)]

        def ours(matrix: NDArray[np.float64] = matrix) -> NDArray[np.bool_]:
            return program.run(matrix) == TRUE

        def numpy_columns(matrix: NDArray[np.float64] = matrix) -> NDArray[np.bool_]:
            return np.stack([column(matrix) for column in columns])

        def oracle(rows: list[dict[str, float]] = rows) -> NDArray[np.bool_]:
            answers = []
            for row in rows:
                activation = environment.Activation(row)
                answers.append([bool(rule.eval(activation).value()) for rule in library])
            return np.array(answers).T

        if not (np.array_equal(ours(), numpy_columns()) and np.array_equal(ours(), oracle())):
            sys.exit("the engines disagree; the figures would mean nothing")
        for name, work in zip(results, (ours, numpy_columns, oracle), strict=True):
            results[name].append(f"{cpu_us(work, n):.2f}")
    for name, figures in results.items():
        table.add_row(name, *figures)
    return table


def policy_table(generator: np.random.Generator) -> Table:
    """The shipped policy, whole: scenario, rules, familiarity, lists, ladder, precedence."""
    compiled = shipped().compile(SCHEMA, hash_id)
    table = Table(title=f"shipped policy ({len(compiled.rules)} rules), CPU µs per event")
    for heading in ("step", *(f"n={n}" for n in BATCHES)):
        table.add_column(heading, justify="left" if heading == "step" else "right")
    matching, evaluating = [], []
    for n in BATCHES:
        matrix = generator.gamma(0.7, 2.0, (n, len(SCHEMA)))
        for column, variable in enumerate(SCHEMA.variables):
            if variable.kind in ("enum", "bool"):
                matrix[:, column] = generator.integers(0, max(len(variable.values), 2), n)
        matrix[:, SCHEMA.index["scenario"]] = compiled.match(matrix)
        logits, times = generator.integers(-9000, -5000, n), np.zeros(n, np.int64)
        ids = generator.integers(1, 2**63, (n, 3)).astype(np.uint64)
        matching.append(cpu_us(lambda m=matrix: compiled.match(m), n))  # type: ignore[misc]
        evaluating.append(cpu_us(lambda m=matrix, g=logits, i=ids, t=times: compiled.evaluate(m, g, i, t), n))  # type: ignore[misc]
    table.add_row("match", *(f"{figure:.2f}" for figure in matching))
    table.add_row("evaluate", *(f"{figure:.2f}" for figure in evaluating))
    return table


def load_table() -> Table:
    """What taking over a policy costs a running worker: reading, checking, compiling; no code is generated."""
    from rules.policy import Policy

    files = dict(shipped().files)
    table = Table(title="taking over the shipped policy, CPU ms")
    table.add_column("step")
    table.add_column("ms", justify="right")
    table.add_row("read", f"{cpu_us(lambda: Policy.from_files(files), 1) / 1000:.1f}")
    table.add_row(
        "check and compile", f"{cpu_us(lambda: Policy.from_files(files).compile(SCHEMA, hash_id), 1) / 1000:.1f}"
    )
    return table


def main() -> None:
    """Print the tables."""
    generator = np.random.default_rng(20261124)
    console = Console()
    for table in (conditions_table(generator), policy_table(generator), load_table()):
        console.print(table)


if __name__ == "__main__":
    main()
