"""The command ``rmsprop-ref``: check an implementation, identify it, translate between libraries.

It exits with 0 for a pass, 1 for a failure, 2 for a question that makes no sense.
"""

from __future__ import annotations

import argparse
import contextlib
import ctypes
import difflib
import importlib
import io
import json
import os
import shlex
import shutil
import sys
import traceback
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, NoReturn

from rmsprop_ref import __version__
from rmsprop_ref.adapters import Unsupported
from rmsprop_ref.adapters.program import Program, ProgramError
from rmsprop_ref.dialects import DIALECTS
from rmsprop_ref.dialects.translation import translate
from rmsprop_ref.oracle import FLAGS, RULES, Recording, cases, check, check_suite, identify
from rmsprop_ref.oracle.enclosures import format_name, numpy_dtype
from rmsprop_ref.oracle.report import short
from rmsprop_ref.oracle.running import Run
from rmsprop_ref.rule import Rule

_DAY = 86400.0


class _Misuse(Exception):  # noqa: N818 (it says what the user did)
    """A question that makes no sense, and what would."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command and return its exit status.

    Parameters
    ----------
    argv : sequence of str, optional
        The arguments; by default those of the process.

    Returns
    -------
    int
        0 for a pass, 1 for a failure, 2 for misuse, 130 after Ctrl-C, 141 when the reader of the
        output has gone.

    Raises
    ------
    SystemExit
        After ``--help`` and ``--version``.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(encoding="utf-8", errors="backslashreplace")
    try:
        try:
            options = _parser().parse_args(argv)
            return int(options.action(options))
        finally:
            sys.stdout.flush()
    except _Misuse as error:
        print(f"rmsprop-ref: {' '.join(str(error).split())}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        # Python flushes once more at exit: that has to be quiet too.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141


# The actions


def _check(options: argparse.Namespace) -> int:
    if (options.target is None) == (options.cmd is None):
        raise _Misuse("name what to check: either module:run, or a program with --cmd")
    if options.suite and options.rule is not None:
        raise _Misuse("--suite checks its own rules: leave out one of --suite and --rule")
    with _implementation(options) as make:
        return (_check_suite if options.suite else _check_rule)(make, options)


def _check_rule(make: Callable[[Rule], Run], options: argparse.Namespace) -> int:
    rule = options.rule or Rule()
    if options.rule is None and not options.json:
        print("No --rule is given: this is the plain one.\n")
    oks: list[bool] = []
    for dtype in options.dtype or ["float32"]:
        try:
            with _stdout_to_stderr():
                report = check(make(rule), rule, dtype, timeout=_patience(options))
        except Unsupported as error:
            raise _Misuse(f"{short(rule)} in {dtype} is not supported: {error}") from None
        print(report.to_json() if options.json else f"\n{report}" if oks else report)
        oks.append(report.ok)
    return 0 if all(oks) else 1


def _check_suite(make: Callable[[Rule], Run], options: argparse.Namespace) -> int:
    dtypes = options.dtype or ["float32", "float64"]
    with _stdout_to_stderr():
        suite = check_suite(make, dtypes=dtypes, timeout=_patience(options))
    print(suite.to_json() if options.json else suite)
    return 0 if suite.ok else 1


def _identify(options: argparse.Namespace) -> int:
    if (options.target is None) == (options.cmd is None):
        raise _Misuse("name what to identify: a recording, module:run, or a program with --cmd")
    if options.rule is not None and options.cmd is None:
        raise _Misuse("--rule is what a program is asked for: leave it out without --cmd")
    named: dict[str, Any] = {"timeout": _patience(options), **(options.given or {})}
    if options.dtype is not None:
        named["dtype"] = options.dtype[0]
    try:
        if options.cmd is None and (":" not in options.target or Path(options.target).is_file()):
            if options.dtype is not None:
                raise _Misuse("a recording says its own dtype: leave out --dtype")
            found = identify(Recording.read(options.target), **named)
        else:
            with _implementation(options) as make, _stdout_to_stderr():
                found = identify(make(options.rule or Rule()), **named)
    except OSError as error:
        raise _Misuse(f"cannot read {options.target}: {error.strerror or error}") from None
    except (ImportError, TypeError, ValueError) as error:
        raise _Misuse(str(error)) from None
    except Unsupported as error:
        raise _Misuse(f"the program does not support what it was asked for: {error}") from None
    print(found.to_json() if options.json else found)
    return 0 if found.ok else 1


def _cases(options: argparse.Namespace) -> int:
    rule = options.rule or Rule()
    for i, dtype in enumerate(options.dtype or ["float32"]):
        found = cases(rule, dtype)
        if options.json:
            rows = [
                {"id": x.id, "shape": x.grads.shape, "line": x.line, "flags": x.flags}
                for x in found
            ]
            content = {"rule": asdict(rule), "dtype": dtype, "cases": rows}
            print(json.dumps(content, ensure_ascii=False))
        else:
            table = [("id", "steps × n", "the line that it tests", "flags")]
            for x in found:
                shape = " × ".join(map(str, x.grads.shape))
                table.append((x.id, shape, x.line, ", ".join(x.flags)))
            print("\n" * (i > 0) + f"{short(rule)}, {dtype}: {len(found)} inputs\n")
            _print_table(table)
    return 0


def _flags(options: argparse.Namespace) -> int:
    if options.json:
        print(json.dumps({name: flag._asdict() for name, flag in FLAGS.items()}))
        return 0
    for name, flag in FLAGS.items():
        print(f"{name} ({flag.bug_type})\n  {flag.description}\n  Effect: {flag.effect}")
        if flag.links:
            print(f"  Seen in {', '.join(flag.links)}")
    return 0


def _export(options: argparse.Namespace) -> int:
    directory: Path = options.directory
    try:
        if directory.is_dir() and any(directory.iterdir()) and not options.force:
            raise _Misuse(f"{directory} is not empty: --force writes there all the same")
        count = importlib.import_module("rmsprop_ref.vectors").export(directory)
    except OSError as error:
        raise _Misuse(f"cannot write to {directory}: {error.strerror or error}") from None
    print(f"{count} file{'s' * (count != 1)} in {directory}")
    return 0


def _translate(options: argparse.Namespace) -> int:
    try:
        given: dict[str, Any] = {}
        for pair in options.arguments:
            name, equals, value = pair.partition("=")
            if not equals or name in given:
                raise ValueError(f"{pair!r} is {'given twice' if equals else 'no name=value'}")
            if value == "None":
                given[name] = None
            else:
                given[name] = json.loads(value) if value.startswith("[") else _value(value)
        found = translate(options.source, options.target, **given)
    except (TypeError, ValueError) as error:
        raise _Misuse(str(error)) from None
    except Unsupported as error:
        raise _Misuse(f"{options.source}, as given, is no Rule: {error}") from None
    print(found.to_json() if options.json else found)
    return 0 if found.ok else 1


def _dialects(options: argparse.Namespace) -> int:
    rows = sorted((x.name, x.library, x.version, x.status) for x in DIALECTS.values())
    heading = ("name", "library", "version", "status")
    if options.json:
        print(json.dumps([dict(zip(heading, row, strict=True)) for row in rows]))
    else:
        _print_table([heading, *rows])
    return 0


def _print_table(rows: Sequence[Sequence[str]]) -> None:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        print("  ".join(map(str.ljust, row, widths)).rstrip())


# The implementation


@contextlib.contextmanager
def _implementation(options: argparse.Namespace) -> Iterator[Callable[[Rule], Run]]:
    """What the command line names, as ``make(rule) -> run``."""
    if options.cmd is None:
        with _stdout_to_stderr():
            found = _load(options.target)
        yield found if options.suite else lambda rule: found
        return
    try:
        Program(options.cmd)  # starts nothing yet, but looks at the command
    except ProgramError as error:
        raise _Misuse(str(error)) from None
    words = shlex.split(options.cmd, posix=os.name != "nt")
    if shutil.which(words[0]) is None:
        raise _Misuse(f"--cmd {options.cmd!r} cannot be started: no executable {words[0]!r}")
    with contextlib.ExitStack() as stack:

        def make(rule: Rule) -> Run:
            stack.close()  # each rule gets a process of its own: the last one may have crashed
            return stack.enter_context(Program(options.cmd, timeout=options.timeout)).make(rule)

        yield make


def _patience(options: argparse.Namespace) -> float:
    """Seconds for one call. A program's own clock rings first: its message says more."""
    return float(options.timeout + (0 if options.cmd is None else 5))


def _load(target: str) -> Any:
    """The object ``module:attribute``, imported from the current directory or the environment."""
    module, _, path = target.partition(":")
    if not module or not path or module.endswith(".py"):
        raise _Misuse(f"{target!r} names no run: expected module:run, as in mine:run for mine.py")
    if (here := str(Path.cwd())) not in sys.path:
        sys.path.insert(0, here)
    try:
        found: Any = importlib.import_module(module)
    except (Exception, SystemExit) as error:
        missing = error.name if isinstance(error, ModuleNotFoundError) else None
        if missing is not None and f"{module}.".startswith(f"{missing}."):
            raise _Misuse(f"no module {missing!r} in the current directory or installed") from None
        raise _Misuse(
            f"importing {module} raised {type(error).__name__}: {error}{_place(error)}"
        ) from None
    for name in path.split("."):
        if not hasattr(found, name):
            near = difflib.get_close_matches(name, dir(found), 1)
            raise _Misuse(
                f"{target}: there is no {name!r}" + (f": did you mean {near[0]}?" if near else "")
            )
        found = getattr(found, name)
    if not callable(found):
        raise _Misuse(f"{target} is {found!r}: expected a callable")
    return found


def _place(error: BaseException) -> str:
    """Where an import failed; a SyntaxError says it itself."""
    frames = [
        frame
        for frame in traceback.extract_tb(error.__traceback__)
        if frame.filename not in (__file__, importlib.__file__)
        and not frame.filename.startswith("<frozen")
    ]
    if not frames:
        return ""
    file = frames[-1].filename.removeprefix(f"{Path.cwd()}{os.sep}")
    return f" ({file}, line {frames[-1].lineno})"


@contextlib.contextmanager
def _stdout_to_stderr() -> Iterator[None]:
    """What the user's code prints, from C too, goes to stderr: stdout is for the answer."""
    sys.stdout.flush()
    kept = os.dup(1)
    os.dup2(2, 1)
    try:
        with contextlib.redirect_stdout(sys.stderr):
            yield
    finally:
        with contextlib.suppress(Exception):
            ctypes.CDLL(None).fflush(None)  # what C still holds back
        os.dup2(kept, 1)
        os.close(kept)


# The arguments


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise _Misuse(f"{message} (see {self.prog} --help)")


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="rmsprop-ref",
        description="Which RMSProp does an implementation compute?",
        epilog="Example: rmsprop-ref check mine:run --rule lr=0.01,beta=0.9,eps_out=1e-8\n"
        "Exit status: 0 for a pass, 1 for a failure, 2 for a question that makes no sense",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"rmsprop-ref {__version__}")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)

    asked = _Parser(add_help=False)
    asked.add_argument(
        "--rule",
        type=_rule,
        help="lr=0.01,beta=0.9, or JSON, or @FILE with JSON, or the name of a rule of the suite; "
        "what is left out is as in the plain rule",
    )
    asked.add_argument(
        "--dtype",
        type=_dtypes,
        action="extend",
        help="float16, bfloat16, float32 (the default) or float64; several with commas",
    )
    asked.add_argument("--json", action="store_true", help="JSON, a line for each dtype")

    command = commands.add_parser(
        "check",
        parents=[asked],
        help="check an implementation",
        description="Check whether run(theta0, grads) -> trajectory computes a rule.",
        epilog="Example: rmsprop-ref check mine:run --rule lr=0.01,beta=0.9,eps_out=1e-8",
    )
    command.add_argument("target", nargs="?", metavar="module:run", help="what to import and check")
    command.add_argument("--cmd", metavar="COMMAND", help="a program that answers in JSON lines")
    command.add_argument(
        "--suite",
        action="store_true",
        help="check all rules of the suite, by default in float32 and float64: "
        "then what is named is module:make, with make(rule) -> run",
    )
    command.add_argument(
        "--timeout",
        type=_seconds,
        default=10.0,
        metavar="SECONDS",
        help="for each call of run (default 10)",
    )
    command.set_defaults(action=_check)

    command = commands.add_parser(
        "identify",
        help="find the rule that a recording, or an implementation, computes",
        description="Find the rule that a recording, or an implementation, computes, and its "
        "hyper-parameters. Exit status: 0 for an RMSProp, 1 for anything else.",
        epilog="Example: rmsprop-ref identify recording.json --given lr=0.01",
    )
    command.add_argument(
        "target",
        nargs="?",
        metavar="FILE or module:run",
        help="a recording: JSON with theta0, grads, trajectory and dtype; or what to import",
    )
    command.add_argument("--cmd", metavar="COMMAND", help="a program that answers in JSON lines")
    command.add_argument(
        "--given",
        type=_given,
        help="what is known: lr=0.01,beta=0.9, or JSON, or @FILE with JSON",
    )
    command.add_argument(
        "--rule", type=_rule, help="what a program is asked for; by default the plain rule"
    )
    command.add_argument(
        "--dtype", type=_dtypes, help="in which format an implementation is probed"
    )
    command.add_argument("--json", action="store_true", help="JSON")
    command.add_argument(
        "--timeout",
        type=_seconds,
        default=10.0,
        metavar="SECONDS",
        help="for each call of an implementation (default 10)",
    )
    command.set_defaults(action=_identify, suite=False)

    command = commands.add_parser(
        "cases",
        parents=[asked],
        help="list the inputs that test a rule",
        description="List the inputs that test a rule, and the mistakes that each can show.",
        epilog="Example: rmsprop-ref cases --rule momentum=0.9 --dtype float64",
    )
    command.add_argument(
        "--flags",
        action="store_const",
        dest="action",
        const=_flags,
        default=_cases,
        help="list the mistakes instead: what they are, and where users met them",
    )

    command = commands.add_parser(
        "translate",
        help="translate one library's arguments into another's",
        description="Translate one library's arguments into another's, and say whether the two "
        "then compute the same. Exit status: 0 if they do, if on a condition; 1 if they do not.",
        epilog="Example: rmsprop-ref translate keras3 pytorch learning_rate=0.001 rho=0.9",
    )
    command.add_argument("source", help="one of rmsprop-ref dialects")
    command.add_argument("target", help="another")
    command.add_argument(
        "arguments",
        nargs="*",
        metavar="name=value",
        help="the source's arguments (a schedule as JSON); by default its own defaults",
    )
    command.add_argument("--json", action="store_true", help="JSON")
    command.set_defaults(action=_translate)

    command = commands.add_parser(
        "dialects",
        help="list the libraries that can be translated",
        description="List the libraries that can be translated: run, read, or told of.",
        epilog="Example: rmsprop-ref dialects",
    )
    command.add_argument("--json", action="store_true", help="JSON")
    command.set_defaults(action=_dialects)

    vectors = commands.add_parser(
        "vectors",
        help="the test vectors",
        description="The test vectors, for those who cannot ask the oracle.",
        epilog="Example: rmsprop-ref vectors export build/vectors",
    )
    command = vectors.add_subparsers(metavar="COMMAND", required=True).add_parser(
        "export",
        help="write them to a directory",
        description="Write the test vectors to a directory.",
        epilog="Example: rmsprop-ref vectors export build/vectors",
    )
    command.add_argument("directory", type=Path, metavar="DIR")
    command.add_argument("--force", action="store_true", help="even if DIR is not empty")
    command.set_defaults(action=_export)
    return parser


def _rule(text: str) -> Rule:
    """The Rule that ``--rule`` says."""
    if not text.startswith(("@", "{")) and "=" not in text:
        if text in RULES:
            return RULES[text]
        near = difflib.get_close_matches(text, RULES, 1)
        hint = f"did you mean {near[0]}?" if near else "or give its fields, as lr=0.01,beta=0.9"
        raise argparse.ArgumentTypeError(f"no rule of the suite is called {text!r}: {hint}")
    values = _given(text)
    try:
        return Rule(**values)
    except (TypeError, ValueError) as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _given(text: str) -> dict[str, Any]:
    """Fields of a Rule: as lr=0.01,beta=0.9, as JSON, or as @FILE with JSON."""
    try:
        if text.startswith("@"):
            values = json.loads(Path(text[1:]).read_text(encoding="utf-8"))
        else:
            values = json.loads(text) if text.startswith("{") else _pairs(text)
        if not isinstance(values, dict):
            raise ValueError(f'expected an object, as {{"lr": 0.01}}, not {values!r}')
        return values
    except json.JSONDecodeError as error:
        raise argparse.ArgumentTypeError(f"this is no JSON: {error}") from None
    except (OSError, ValueError) as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _pairs(text: str) -> dict[str, Any]:
    """The fields of ``lr=0.01,centered=true``."""
    values: dict[str, Any] = {}
    for pair in text.split(","):
        name, equals, value = pair.partition("=")
        if not equals:
            raise ValueError(f"{pair!r} is no name=value (a schedule needs JSON)")
        if name.strip() in values:
            raise ValueError(f"{name.strip()} is given twice")
        values[name.strip()] = _value(value.strip())
    return values


def _value(text: str) -> bool | float | str:
    if text.lower() in ("true", "false"):
        return text.lower() == "true"
    try:
        return float(text)
    except ValueError:
        return text


def _dtypes(text: str) -> list[str]:
    """The dtypes of ``float32,float64``."""
    try:
        names = [format_name(name.strip()) for name in text.split(",")]
        for name in names:
            numpy_dtype(name)
    except (ImportError, TypeError) as error:  # bfloat16 needs a package
        raise argparse.ArgumentTypeError(str(error)) from None
    return names


def _seconds(text: str) -> float:
    with contextlib.suppress(ValueError):
        if 0 < float(text) <= _DAY:
            return float(text)
    raise argparse.ArgumentTypeError(f"{text!r} is no number of seconds from 0 to a day")
