"""Running tests against mutants, each in a process of its own, forked from one in which everything is imported.

A mutant inside of a function takes the place of that function's code, in a process that has collected the tests; only
tests that run its line are tried, the quickest first. Other mutants are compiled in place of their module when it is
imported, and the tests collected anew.
"""

from __future__ import annotations

import gc
import json
import os
import resource
import select
import signal
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from importlib.machinery import SourceFileLoader
from pathlib import Path
from types import CodeType, FunctionType
from typing import Any
from unittest.mock import patch

import hypothesis
import pytest
from coverage import Coverage

from .mutations import Mutant

__all__ = ["Lines", "Outcome", "Setup", "inside", "lines_of", "outside"]

OPTIONS = ["-q", "-p", "no:cacheprovider", "-p", "no:faulthandler", "--capture=no"]
MEMORY = 2 << 30  # bytes more than the parent has
LEAST_CPU = 3.0  # seconds

Outcome = tuple[str, str]  # "killed", "timed out" or "survived", and the test


@dataclass(frozen=True, slots=True, kw_only=True)
class Setup:
    """What to run, and how hard."""

    tests: list[str]
    examples: int
    most_cpu: float
    """Seconds that the tests of one mutant may take without it, if there are more than that."""


@dataclass(slots=True, kw_only=True)
class Lines:
    """Which tests run which lines, by file; "" stands for the imports. ``times`` in CPU seconds."""

    tests: dict[str, dict[int, set[str]]]
    times: dict[str, float]


class _Examples:
    """A pytest plugin: so many examples for a property; a failure is not made smaller, it only has to be one."""

    def __init__(self, examples: int) -> None:
        self._examples = examples

    def pytest_configure(self) -> None:
        phases = [hypothesis.Phase.explicit, hypothesis.Phase.generate]
        hypothesis.settings.register_profile(
            "mutants",
            hypothesis.settings.get_profile("mimc"),
            max_examples=self._examples,
            phases=phases,
            database=None,
        )
        hypothesis.settings.load_profile("mutants")


class _FirstFailure:
    """A pytest plugin that ends the process at the first failure."""

    def __init__(self, report: Callable[[str], None]) -> None:
        self._report = report

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed:
            self._report(report.nodeid)

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if report.failed:
            self._report(report.nodeid or "collection")


@dataclass(slots=True)
class _Covering:
    """A pytest plugin: notes what each test runs, and for how long."""

    coverage: Coverage
    times: dict[str, float] = field(default_factory=dict)
    failed: list[str] = field(default_factory=list)

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Iterator[None]:
        self.coverage.switch_context(item.nodeid)
        start = time.process_time()
        result = yield
        self.times[item.nodeid] = time.process_time() - start
        self.coverage.switch_context("")
        return result

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed:
            self.failed.append(report.nodeid)


def _forked(body: Callable[[Callable[[str], None]], None], cpu: float) -> Outcome:
    """Run it in a child; what it reports ends it and is a kill, and so is every other end than its return."""
    reader, writer = os.pipe()
    child = os.fork()
    if not child:
        code = 1
        try:
            os.close(reader)
            _silence()
            resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
            resource.setrlimit(resource.RLIMIT_CPU, (int(cpu) + 1, int(cpu) + 3))
            pages = int(Path("/proc/self/statm").read_text().split()[0])
            resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + MEMORY,) * 2)
            signal.signal(signal.SIGXCPU, signal.SIG_DFL)

            def report(what: str) -> None:
                os.write(writer, what.encode(errors="replace")[:400])  # no more than a pipe takes
                os._exit(1)

            body(report)
            code = 0
        finally:
            os._exit(code)
    os.close(writer)
    with open(reader, "rb") as output, open(os.pidfd_open(child), "rb") as ended:
        late = not select.select([ended], [], [], cpu * 20 + 60)[0]
        if late:
            os.kill(child, signal.SIGKILL)
        status = os.waitpid(child, 0)[1]
        test = output.read().decode(errors="replace")
    if late or (os.WIFSIGNALED(status) and os.WTERMSIG(status) in (signal.SIGXCPU, signal.SIGKILL)):
        return "timed out", test
    return ("killed", test or "the process ended") if status else ("survived", "")


def _silence() -> None:
    nothing = os.open(os.devnull, os.O_RDWR)
    for stream in range(3):
        os.dup2(nothing, stream)


def lines_of(files: list[str], setup: Setup) -> Lines:
    """Run the tests once without a mutant. Raises `RuntimeError` if one fails."""
    reader, writer = os.pipe()
    child = os.fork()
    if not child:
        try:
            os.close(reader)
            _silence()
            coverage = Coverage(data_file=None, include=files, config_file=False, messages=False)
            coverage.set_option("run:core", "ctrace")
            covering = _Covering(coverage)
            coverage.start()
            coverage.switch_context("")
            code = pytest.main([*OPTIONS, *setup.tests], plugins=[_Examples(setup.examples), covering])
            coverage.stop()
            data = coverage.get_data()
            tests = {name: data.contexts_by_lineno(name) for name in data.measured_files()}
            outcome = {"code": int(code), "failed": covering.failed, "times": covering.times, "tests": tests}
            with open(writer, "w") as output:
                json.dump(outcome, output)
        finally:
            os._exit(0)
    os.close(writer)
    with open(reader) as output:
        text = output.read()
    os.waitpid(child, 0)
    found: dict[str, Any] = json.loads(text) if text else {"code": "nothing", "failed": []}
    if found["code"]:
        raise RuntimeError(f"without a mutant, pytest ended with {found['code']}: {', '.join(found['failed'])}")
    files_tests = {
        os.path.relpath(name): {int(k): set(v) for k, v in by.items()} for name, by in found["tests"].items()
    }
    return Lines(tests=files_tests, times=found["times"])


def outside(path: str, mutant: Mutant, setup: Setup, normal: float) -> Outcome:
    """The mutant as its module; ``normal`` is what the tests take without it, in CPU seconds."""
    get_code = SourceFileLoader.get_code

    def mutated(self: SourceFileLoader, fullname: str) -> CodeType | None:
        return mutant.compiled() if self.path == os.path.abspath(path) else get_code(self, fullname)

    def body(report: Callable[[str], None]) -> None:
        with patch.object(SourceFileLoader, "get_code", mutated):
            plugins = [_Examples(setup.examples), _FirstFailure(report)]
            if pytest.main([*OPTIONS, "-x", *setup.tests], plugins=plugins):
                report("import")

    return _forked(body, LEAST_CPU + 3 * normal)


def inside(
    mutants: dict[str, list[Mutant]], lines: Lines, setup: Setup, done: Callable[[str, Mutant, Outcome | None], None]
) -> None:
    """The mutants in functions, by file; outcome None: it can only be tried from `outside`.

    Runs in a child of its own, for it imports the modules.
    """

    class Loop:
        def pytest_runtestloop(self, session: pytest.Session) -> bool:
            gc.collect()
            gc.freeze()
            items = {item.nodeid: item for item in session.items}
            for path, of_file in mutants.items():
                functions = _functions(path)
                for mutant in of_file:
                    done(path, mutant, _try(mutant, lines.tests.get(path, {}), functions, items))
            return True

    def _try(
        mutant: Mutant, tests: dict[int, set[str]], functions: Any, items: dict[str, pytest.Item]
    ) -> Outcome | None:
        # a part of a long expression may have no line of its own
        line = next((n for n in range(mutant.line, mutant.first_line or 0, -1) if n in tests), 0)
        covering = sorted(tests.get(line, set()) - {""}, key=lambda name: lines.times.get(name, 0.0))
        chosen: list[pytest.Item] = []
        normal = 0.0
        for name in covering:
            normal += lines.times.get(name, 0.0)
            if name in items and (not chosen or normal < setup.most_cpu):
                chosen.append(items[name])
        if not chosen:
            return None
        try:
            replacement = _code_at(mutant.compiled(), mutant.where, mutant.first_line)
        except SyntaxError:
            return "killed", "syntax"
        old = [f for f in functions.get(mutant.first_line, ()) if f.__code__.co_name == replacement.co_name]
        if not old or any(f.__code__.co_freevars != replacement.co_freevars for f in old):
            return None

        def body(report: Callable[[str], None]) -> None:
            for function in old:
                function.__code__ = replacement
            chosen[0].config.pluginmanager.register(_FirstFailure(report))
            for item, following in zip(chosen, [*chosen[1:], None], strict=True):
                item.config.hook.pytest_runtest_protocol(item=item, nextitem=following)

        return _forked(body, LEAST_CPU + 3 * normal)

    sys.stdout.flush()
    child = os.fork()
    if not child:
        code = 1
        try:
            _silence()
            code = int(pytest.main([*OPTIONS, *setup.tests], plugins=[_Examples(setup.examples), Loop()]))
        finally:
            os._exit(code)
    if status := os.waitpid(child, 0)[1]:
        raise RuntimeError(f"the process of the mutants in functions ended with status {status}")


def _functions(path: str) -> dict[int, list[FunctionType]]:
    """The functions of a module that exist, by the line they begin at."""
    found: dict[int, list[FunctionType]] = {}
    gc.unfreeze()
    for thing in gc.get_objects():
        if type(thing) is FunctionType and thing.__code__.co_filename == os.path.abspath(path):
            found.setdefault(thing.__code__.co_firstlineno, []).append(thing)
    gc.freeze()
    return found


def _code_at(code: CodeType, where: str, line: int | None) -> CodeType:
    """The code of the outermost function that begins at ``line``."""
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            if constant.co_firstlineno == line and constant.co_name in where.split("."):
                return constant
            inner = constant.co_name in where.split(".") and constant.co_name
            if inner:
                try:
                    return _code_at(constant, where, line)
                except LookupError:
                    continue
    raise LookupError(where)
