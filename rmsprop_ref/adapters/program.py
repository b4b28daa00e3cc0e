"""A program in any language as an implementation under test: JSON lines on stdin and stdout.

The protocol is specified in ``book/protocol.md``. Nothing that the program does is trusted: time,
bytes and memory are bounded, every entry of an answer is checked, and whatever is wrong ends in a
:class:`ProgramError` that says what would be right.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import re
import reprlib
import shlex
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields
from fractions import Fraction
from typing import Any

import numpy

from rmsprop_ref.adapters import Broken, Unsupported
from rmsprop_ref.constant import FORMATS, Constant, dtype_name
from rmsprop_ref.rule import Rule

PROTOCOL = 1
_KINDS = {"trajectory", "unsupported", "error"}  # what an answer has besides its id
_HEX = re.compile(r"([+-]?)0x([0-9a-f]+)(?:\.([0-9a-f]*))?(?:p([+-]?[0-9]{1,5}))?", re.I | re.A)
_WORD = re.compile(r"([+-]?(?:nan|inf(?:inity)?))(?:\(\w*\))?", re.I | re.A)  # "-nan(ind)" too


class ProgramError(Broken):
    """A program that is not there, or does not keep to the protocol: what it did, what is right."""


class Program:
    """A program that answers requests for trajectories, one process for all of them.

    The process starts with the first request and ends with :meth:`close`, or with the ``with``
    block: its stdin is closed, and after a second it is killed, with its children (on Windows
    without them). A program that ends by itself, does not answer in time, or writes a line that is
    no answer to the request is killed at once and not started again: every later call raises
    :class:`ProgramError` immediately. After "unsupported", "error", or a trajectory that is wrong
    in shape or in a number, it serves on. Not for several threads at a time.

    Parameters
    ----------
    command : str or sequence of str
        The program and its arguments. A string is split as a POSIX shell would split it (on
        Windows, as Windows does), but no shell ever sees it.
    timeout : float
        Seconds for one request: to read it, compute, and write the answer. The first includes the
        start of the program.

    Raises
    ------
    ProgramError
        When the command is empty, or a quotation in it does not end.

    Examples
    --------
    >>> import numpy as np
    >>> with Program("no-such-program --fast") as program:
    ...     program.make(Rule())(np.ones(1), np.ones((3, 1)))
    Traceback (most recent call last):
        ...
    rmsprop_ref.adapters.program.ProgramError: program 'no-such-program --fast', request 1: cannot \
be started: no executable 'no-such-program'
    """

    def __init__(self, command: str | Sequence[str], *, timeout: float = 10.0) -> None:
        self._words: str | list[str] = list(command) if not isinstance(command, str) else command
        if isinstance(command, str) and os.name != "nt":
            try:
                self._words = shlex.split(command)
            except ValueError as error:
                raise ProgramError(f"the command {command!r} has no end: {error}") from error
        if not self._words:
            raise ProgramError("the command is empty: it has to name a program")
        self._name = _short(command if isinstance(command, str) else " ".join(command))
        self._timeout = timeout
        self._process: subprocess.Popen[bytes] | None = None
        self._threads: list[threading.Thread] = []
        self._asked = 0  # requests so far; also the id of the last
        self._rest = b""  # of stdout, after the last answer
        self._log = b""  # the end of stderr
        self._stopped = ""  # why there will be no more answers

    def __enter__(self) -> Program:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def close(self) -> None:
        """End the program; nothing happens if it has ended, or never started."""
        self._stop("was closed", patience=1.0)

    def make(self, rule: Rule) -> Callable[[Any, Any], Any]:
        """The program as a run under ``rule``.

        Parameters
        ----------
        rule : Rule
            What the program is asked to compute.

        Returns
        -------
        callable
            ``run(theta0, grads)``: parameters ``(n,)`` and gradients ``(T, n)``, both of one dtype
            (float16, bfloat16, float32, float64), to the parameters after each step, ``(T, n)`` of
            that dtype. It raises Unsupported when the program says so; ProgramError for whatever
            else is not a trajectory; ValueError when its own arguments do not fit.

        Raises
        ------
        Unsupported
            When the rule holds symbols or fractions, which the protocol cannot carry.
        """
        names = [field.name for field in fields(rule)]
        return self._bound({"rule": {name: _written(name, getattr(rule, name)) for name in names}})

    def with_arguments(self, arguments: Mapping[str, Any]) -> Callable[[Any, Any], Any]:
        """The program as a run with its library's own arguments: what ``make`` is for a Rule.

        The request has ``"arguments"``, any object of JSON, in the place of ``"rule"``. No program
        has to know such requests: those of the atlas do.
        """
        return self._bound({"arguments": dict(arguments)})

    def _bound(self, what: dict[str, Any]) -> Callable[[Any, Any], Any]:
        def run(theta0: Any, grads: Any) -> Any:
            return self._run(what, numpy.asarray(theta0), numpy.asarray(grads))

        return run

    def _run(self, what: dict[str, Any], theta0: Any, grads: Any) -> Any:
        dtype = dtype_name(theta0)
        if dtype not in FORMATS or grads.dtype != theta0.dtype:
            raise ValueError(
                f"theta0 has dtype {dtype}, grads {dtype_name(grads)}: "
                f"both have one of {', '.join(FORMATS)}"
            )
        if theta0.ndim != 1 or grads.ndim != 2 or grads.shape[1] != theta0.size:
            raise ValueError(
                f"theta0 has shape {theta0.shape}, grads {grads.shape}: expected (n,) and (T, n)"
            )
        steps, n = grads.shape
        self._asked += 1
        request = {
            "protocol": PROTOCOL,
            "id": self._asked,
            "dtype": dtype,
            **what,
            "theta0": [_hex(x) for x in theta0.tolist()],
            "grads": [[_hex(x) for x in row] for row in grads.tolist()],
        }
        line = self._exchange(json.dumps(request).encode() + b"\n", 64 * steps * (n + 1) + 4096)
        answer = self._answer(line)
        for kind in ("unsupported", "error"):
            if kind in answer:
                reason = answer[kind]
                if not isinstance(reason, str):
                    raise self._error(f"{kind} is {reprlib.repr(reason)}: a text says the reason")
                if kind == "unsupported":
                    raise Unsupported(_printable(" ".join(reason[:2000].split())))
                raise self._error(f"it reports an error: {_printable(reason[:2000])}")
        values = []
        for t, row in enumerate(self._rows(answer["trajectory"], steps, "trajectory", "step")):
            for i, entry in enumerate(self._rows(row, n, f"trajectory[{t}]", "element of theta0")):
                try:
                    values.append(_number(entry, theta0.dtype))
                except ValueError as error:
                    place = f"step {t + 1}, element {i} (trajectory[{t}][{i}])"
                    raise self._error(f"{place} is {error}") from None
        return numpy.array(values, float).reshape(steps, n).astype(theta0.dtype)

    def _rows(self, value: object, count: int, name: str, unit: str) -> list[Any]:
        if isinstance(value, list) and len(value) == count:
            return value
        found = f"a list of {len(value)}" if isinstance(value, list) else reprlib.repr(value)
        raise self._error(f"{name} is {found}: expected a list of {count}, one for each {unit}")

    def _answer(self, line: bytes) -> dict[str, Any]:
        """The object on the line, with the right id and one other known key."""
        try:
            # Integers as floats: an integer has no -0, and 10^400 is slow and too large.
            answer = json.loads(line.decode("utf-8"), parse_int=float, parse_constant=float)
        except UnicodeDecodeError:
            raise self._broken(f"wrote {line[:80]!r} on stdout, which is not UTF-8") from None
        except (ValueError, RecursionError):
            raise self._broken(
                f"wrote {_short(line.decode())} on stdout, which is no JSON: "
                "stdout is for answers, stderr for logs"
            ) from None
        if not isinstance(answer, dict) or "id" not in answer:
            raise self._broken(
                f"answered {reprlib.repr(answer)}: an answer is an object with an id "
                'and a trajectory, as {"id": 7, "trajectory": [["0x1p+0"]]}'
            )
        if type(answer["id"]) is not float or answer["id"] != self._asked:
            found = answer["id"]
            found = int(found) if isinstance(found, float) and found.is_integer() else found
            raise self._broken(f"answered with id {reprlib.repr(found)}, expected {self._asked}")
        if len(answer) != 2 or not _KINDS & answer.keys():
            raise self._error(
                f"the answer has the keys {reprlib.repr(list(answer))}: expected "
                '"id" and one of "trajectory", "unsupported" and "error"'
            )
        return answer

    def _exchange(self, request: bytes, limit: int) -> bytes:
        """Write the request and read a line of at most ``limit`` bytes, both in time."""
        if self._stopped:
            raise self._error(f"it runs no more: it {self._stopped}")
        process = self._process or self._start()
        line = bytearray(self._rest)
        deadline = time.monotonic() + self._timeout
        writer = self._thread(self._write, process.stdin, request)
        reader = self._thread(self._read, process.stdout, line, limit)
        try:
            reader.join(self._timeout)
            late = reader.is_alive()
            if not late and b"\n" in line:
                writer.join(max(0.0, deadline - time.monotonic()))
        except BaseException:  # Ctrl-C: the answer, when it comes, would be taken for the next one
            self._stop("was interrupted")
            raise
        answer, newline, self._rest = bytes(line).partition(b"\n")
        if late:
            unread = " and has not read all of the request" if writer.is_alive() else ""
            what = f"gave no answer in {self._timeout:g} s{unread}"
            what += " (an answer is one line, ended and flushed)"
        elif len(answer) > limit:
            what = f"wrote a line of more than {limit} bytes, too long for an answer"
        elif not newline:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(1.0)
            what = f"{_ending(process.returncode)} before it answered"
        elif writer.is_alive():
            what = "answered and did not read all of its request"
        else:
            self._threads = [thread for thread in self._threads if thread.is_alive()]
            return answer
        seen = f"; it had written {_short(answer.decode(errors='replace'))}" if answer else ""
        raise self._broken(what + seen)

    def _start(self) -> subprocess.Popen[bytes]:
        pipe = subprocess.PIPE
        try:
            self._process = subprocess.Popen(
                self._words,
                bufsize=0,
                stdin=pipe,
                stdout=pipe,
                stderr=pipe,
                start_new_session=True,  # a group of its own, to be killed as a whole
            )
        except (OSError, ValueError) as error:
            program = self._words if isinstance(self._words, str) else self._words[0]
            missing = isinstance(error, FileNotFoundError)
            why = f"no executable {program!r}" if missing else str(error)
            raise self._error(f"cannot be started: {why}") from error
        self._thread(self._drain, self._process.stderr)
        return self._process

    def _stop(self, reason: str, patience: float = 0.0) -> None:
        self._stopped = self._stopped or reason
        process, self._process = self._process, None
        if process is None:
            return
        pipes = [p for p in (process.stdin, process.stdout, process.stderr) if p is not None]
        if patience:
            pipes[0].close()
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(patience)
        if os.name == "nt":
            process.kill()
        else:
            with contextlib.suppress(OSError):  # nobody of the group is left
                os.killpg(process.pid, signal.SIGKILL)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(1.0)
        for thread in self._threads:
            thread.join(1.0)  # longer only if a grandchild left the group and holds the pipe
        for pipe in pipes:
            pipe.close()

    def _error(self, what: str) -> ProgramError:
        return ProgramError(f"program {self._name}, request {self._asked}: {what}")

    def _broken(self, what: str) -> ProgramError:
        """The error for a program from which nothing more can be expected. Stops it."""
        self._stop(what)
        log = _printable(self._log.decode("utf-8", "replace")[-2000:].strip())
        log = f"Its stderr ends:\n{log}" if log else "Its stderr is empty."
        return self._error(f"it {what}. {log}")

    # The threads. Each holds one pipe, and ends when the process has.

    def _thread(self, target: Callable[..., None], *arguments: Any) -> threading.Thread:
        thread = threading.Thread(target=target, args=arguments, daemon=True)
        thread.start()
        self._threads.append(thread)
        return thread

    def _write(self, stdin: Any, request: bytes) -> None:
        left = memoryview(request)
        with contextlib.suppress(OSError, ValueError):  # it has ended: the reader sees that too
            while left and not self._stopped:
                left = left[stdin.write(left) :]

    def _read(self, stdout: Any, line: bytearray, limit: int) -> None:
        chunk = bytes(line)
        with contextlib.suppress(OSError, ValueError):  # ValueError: closed meanwhile
            while b"\n" not in chunk and len(line) <= limit and not self._stopped:
                chunk = stdout.read(65536)
                if not chunk:
                    break
                line += chunk

    def _drain(self, stderr: Any) -> None:
        with contextlib.suppress(OSError, ValueError):
            while chunk := stderr.read(65536):
                self._log = (self._log + chunk)[-8000:]


def _written(name: str, value: Any) -> Any:
    """A field of a Rule as the request has it."""
    if isinstance(value, tuple):
        return [_written(name, rate) for rate in value]
    if isinstance(value, (bool, str)):
        return value
    if not isinstance(value, float):
        raise Unsupported(f"{name}={value} is not a binary64 number: the protocol carries no other")
    return _hex(value)


def _hex(x: Any) -> str:
    """As printf("%a") writes it: without the zeros at the end."""
    return re.sub(r"\.?0*p", "p", float(x).hex())


def _number(entry: object, dtype: Any) -> float:
    """What an entry of an answer stands for, if that is exactly a number of the dtype.

    Raises
    ------
    ValueError
        With the entry and what would be right.
    """
    exact = True
    if isinstance(entry, float):
        value = entry
    elif isinstance(entry, str) and (word := _WORD.fullmatch(entry)):
        value = float(word[1])
    elif isinstance(entry, str) and len(entry) <= 64 and (parts := _HEX.fullmatch(entry)):
        sign, whole, fraction, exponent = parts.groups(default="")
        units = int(sign + whole + fraction, 16)
        shift = int(exponent or 0) - 4 * len(fraction)
        try:
            value = float.fromhex(entry)
            p, q = value.as_integer_ratio()
            exact = p << max(-shift, 0) == (units * q) << max(shift, 0)
        except OverflowError:
            exact = False
    else:
        raise ValueError(
            f'{reprlib.repr(entry)}: expected a number, as "0x1.8p+3", "nan", "-inf" or 12.0'
        )
    with numpy.errstate(all="ignore"):
        if exact and (float(dtype.type(value)) == value or math.isnan(value)):
            return value
    number = Fraction(value) if isinstance(entry, float) else units * Fraction(2) ** shift
    nearest = _hex(Constant(number).like(numpy.empty((), dtype)))
    raise ValueError(f"{entry!r}, which is not a number of {dtype.name}: the nearest is {nearest}")


def _ending(status: int | None) -> str:
    if status is None:
        return "closed its stdout, where answers go, and ran on,"
    if status >= 0:
        return f"exited with status {status}"
    with contextlib.suppress(ValueError):
        return f"was ended by {signal.Signals(-status).name}"
    return f"was ended by signal {-status}"


def _short(text: str) -> str:
    return repr(text if len(text) <= 80 else text[:80] + "…")


def _printable(text: str) -> str:
    return "".join(
        c if c.isprintable() or c in "\n\t" else "\N{REPLACEMENT CHARACTER}" for c in text
    )
