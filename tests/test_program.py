"""Programs that keep to the protocol, and every way of breaking it that we could think of."""

import json
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import ml_dtypes
import numpy as np
import pytest
import sympy
from rules import RULES

from rmsprop_ref import Rule, check, init, step
from rmsprop_ref.adapters import Unsupported
from rmsprop_ref.adapters.program import Program, ProgramError

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "book" / "protocol.md").read_text(encoding="utf-8")
POSIX = pytest.mark.skipif(os.name != "posix", reason="a matter of POSIX")
DTYPES = ("float16", ml_dtypes.bfloat16, "float32", "float64")

ONE = np.ones(1, np.float32)
TWO = np.ones(2, np.float32)
FINE = '{"id": ID, "trajectory": [["0x1p+0", "0x0p+0"], ["-inf", "nan"]]}'


def python(code, *arguments):
    """The command of a Python that is as quick to start as can be."""
    return [sys.executable, "-I", "-S", "-c", code, *arguments]


def answering(*answers):
    """A program that gives these answers, one a request, with the request's id for ID."""
    code = """import json, sys
for line, answer in zip(sys.stdin, sys.argv[1:]):
    print(answer.replace("ID", str(json.loads(line)["id"])), flush=True)
sys.stdin.read()"""
    return python(code, *answers)


def ask(command, theta=TWO, steps=2, rule=None, timeout=30.0):
    """What the program answers to gradients of ones."""
    with Program(command, timeout=timeout) as program:
        return program.make(rule or Rule())(theta, np.ones((steps, theta.size), theta.dtype))


def complaint(command, **request):
    """The message of the ProgramError that the program causes."""
    with pytest.raises(ProgramError) as caught:
        ask(command, **request)
    message = str(caught.value)
    assert message.isprintable() or "\n" in message
    assert len(message) < 3000
    return message


# Numbers


def test_fine():
    trajectory = ask(answering(FINE))
    assert trajectory.dtype == np.float32
    np.testing.assert_array_equal(trajectory, [[1, 0], [-np.inf, np.nan]])


@pytest.mark.parametrize("dtype", DTYPES)
def test_numbers_there_and_back(dtype):
    """A program that answers with the gradients returns their bits, in every dtype."""
    dtype = np.dtype(dtype)
    code = """import json, sys
for line in sys.stdin:
    request = json.loads(line)
    print(json.dumps({"id": request["id"], "trajectory": request["grads"]}), flush=True)"""
    tiny, huge = ml_dtypes.finfo(dtype).smallest_subnormal, ml_dtypes.finfo(dtype).max
    special = np.array([0.0, -0.0, np.inf, -np.inf, tiny, -tiny, huge, -huge, 1, 1 / 3], dtype)
    normal = np.random.default_rng(1).normal(size=(9, 10)).astype(dtype)
    grads = np.concatenate([special[None], normal])
    with Program(python(code)) as program:
        run = program.make(Rule())
        for g in (grads, grads[:, :0], grads[:0]):
            trajectory = run(np.ones(g.shape[1], dtype), g)
            assert (trajectory.dtype, trajectory.shape) == (dtype, g.shape)
            assert trajectory.tobytes() == g.tobytes()


@pytest.mark.parametrize(
    ("entry", "value"),
    [
        *[(f'"{text}"', 12.0) for text in ("0x1.8p+3", "0X1.8P+3", "0x1.8p3", "0xc", "0x18p-1")],
        *[(f'"{text}"', 12.0) for text in ("+0x1.8p+03", "0x00c.0", "0x1.8" + 40 * "0" + "p3")],
        *[(f'"{text}"', np.inf) for text in ("inf", "+inf", "INF", "Infinity", "+Infinity")],
        *[(f'"{text}"', np.nan) for text in ("nan", "NaN", "-nan", "-nan(ind)", "nan(0x8000)")],
        *[("12", 12.0), ("12.0", 12.0), ("1.2e1", 12.0), ("0.1", 0.1), ("-0", -0.0)],
        *[("NaN", np.nan), ("Infinity", np.inf), ("-Infinity", -np.inf), ('"-Infinity"', -np.inf)],
        *[('"-0x0p+0"', -0.0), ('"0x0p-99999"', 0.0), ('"0x0.8p-1073"', 2.0**-1074)],
        *[("1e-999", 0.0), ("1" + 999 * "0", np.inf), ("1" * 300, float("1" * 300))],
    ],
)
def test_spellings(entry, value):
    found = ask(answering(f'{{"id": ID, "trajectory": [[{entry}]]}}'), np.ones(1), 1)
    np.testing.assert_array_equal(found, [[value]])
    assert np.isnan(value) or np.signbit(found) == np.signbit(value)


@pytest.mark.parametrize(
    ("dtype", "entry", "nearest"),
    [
        ("float32", "0.1", "0x1.99999ap-4"),
        ("float32", '"0x1.000001p+0"', "0x1p+0"),  # half way: to even
        ("float32", '"0x1.0000010000000000000000001p+0"', "0x1.000002p+0"),  # just past half way
        ("float32", '"-0x1p+128"', "-inf"),
        ("float32", "-1e-46", "0x0p+0"),
        ("float16", "65520", "inf"),
        (ml_dtypes.bfloat16, "0.1", "0x1.9ap-4"),
        ("float64", '"0x1.00000000000008p+0"', "0x1p+0"),
        ("float64", '"0x1p-1075"', "0x0p+0"),
        ("float64", '"0x1p+1024"', "inf"),
        ("float64", '"-0x1p+99999"', "-inf"),
        ("float64", '"0x1p-99999"', "0x0p+0"),
    ],
)
def test_a_number_that_the_dtype_has_not(dtype, entry, nearest):
    answer = f'{{"id": ID, "trajectory": [[1], [{entry}]]}}'
    message = complaint(answering(answer), theta=np.ones(1, dtype))
    name, value = np.dtype(dtype).name, entry if entry[0] == '"' else repr(float(entry))
    assert message.endswith(
        "step 2, element 0 (trajectory[1][0]) is " + value.replace('"', "'") + ", "
        f"which is not a number of {name}: the nearest is {nearest}"
    )


@pytest.mark.parametrize(
    "entry",
    [
        *["true", "null", "[]", "{}", "[1]", '""', '"x"', '"1"', '"0.1"', '"1.0p3"', '"0x"'],
        *['" 0x1p+0"', '"0x1p+0\\n"', '"0x.8p0"', '"0x1_0p0"', '"0x1p+٣"', '"0x1p999999999"'],
        *['"İnf"', '"\\ud800"', f'"{200 * "7"}"', "\"__import__('os')\""],
    ],
)
def test_no_number(entry):
    message = complaint(answering(f'{{"id": ID, "trajectory": [[1, {entry}], [1, 1]]}}'))
    assert "request 1: step 1, element 1 (trajectory[0][1]) is " in message
    assert message.endswith('expected a number, as "0x1.8p+3", "nan", "-inf" or 12.0')


# Answers


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ("", "it wrote '' on stdout, which is no JSON: stdout is for answers, stderr for logs"),
        ("step 1 done", "it wrote 'step 1 done' on stdout, which is no JSON"),
        (100 * "=" + FINE, f"it wrote '{80 * '='}…' on stdout"),
        (FINE + FINE, "on stdout, which is no JSON"),
        ("{'id': ID}", "on stdout, which is no JSON"),
        ("\ufeff" + FINE, r"it wrote '\ufeff{"),
        (2000 * "[", "it wrote '[["),
        (1000 * "[" + 1000 * "]", "[["),  # no JSON, or no object: that depends on Python
        ("[1]", 'it answered [1.0]: an answer is an object with an id and a trajectory, as {"id"'),
        ("null", "it answered None: an answer is an object"),
        ('{"trajectory": [[1, 1], [1, 1]]}', "an answer is an object with an id"),
        ('{"id": 7, "trajectory": []}', "it answered with id 7, expected 1"),
        ('{"id": true, "trajectory": []}', "it answered with id True, expected 1"),
        ('{"id": "ID", "trajectory": []}', "it answered with id '1', expected 1"),
        ('{"id": [[]], "trajectory": []}', "it answered with id [[]], expected 1"),
        ('{"id": 1e999, "trajectory": []}', "it answered with id inf, expected 1"),
    ],
)
def test_no_answer_to_the_request(answer, said):
    with Program(answering(answer, FINE), timeout=30) as program:
        run = program.make(Rule())
        with pytest.raises(ProgramError, match=f"request 1: .*{re.escape(said)}"):
            run(TWO, np.ones((2, 2), np.float32))
        start = time.monotonic()
        with pytest.raises(ProgramError, match=r"request 2: it runs no more: it (wrote|answered)"):
            run(TWO, np.ones((2, 2), np.float32))
        assert time.monotonic() - start < 5


@pytest.mark.parametrize(
    ("rest", "said"),
    [
        ("", "the answer has the keys ['id']: expected \"id\" and one of"),
        (', "path": []', "the answer has the keys ['id', 'path']"),
        (', "trajectory": [], "error": "?"', "the answer has the keys"),
        (', "trajectory": null', "trajectory is None: expected a list of 2, one for each step"),
        (', "trajectory": {}', "trajectory is {}: expected a list of 2"),
        (', "trajectory": "0x1p+0"', "trajectory is '0x1p+0': expected a list of 2"),
        (', "trajectory": [[1, 1]]', "trajectory is a list of 1: expected a list of 2"),
        (', "trajectory": [1, 1, 1, 1]', "trajectory is a list of 4: expected a list of 2"),
        (', "trajectory": [1, 1]', "trajectory[0] is 1.0: expected a list of 2, one for each el"),
        (', "trajectory": [[1, 1], [1]]', "trajectory[1] is a list of 1: expected a list of 2"),
        (', "trajectory": [[1, 1], [[1], 1]]', "step 2, element 0 (trajectory[1][0]) is [1.0]"),
        (', "unsupported": null', "unsupported is None: a text says the reason"),
        (', "error": {"a": 1}', "error is {'a': 1.0}: a text says the reason"),
        (', "error": "out\\nof memory"', "it reports an error: out\nof memory"),
        (', "error": "\\u001b[31m\\ud800"', "it reports an error: \ufffd[31m\ufffd"),
    ],
)
def test_a_wrong_answer_and_the_program_serves_on(rest, said):
    with Program(answering('{"id": ID' + rest + "}", FINE), timeout=30) as program:
        run = program.make(Rule())
        with pytest.raises(ProgramError, match=re.escape(f"request 1: {said}")):
            run(TWO, np.ones((2, 2), np.float32))
        assert run(TWO, np.ones((2, 2), np.float32)).shape == (2, 2)


def test_unsupported():
    answers = ('{"id": ID, "unsupported": "no\\n \\u001b[1mnesterov"}', FINE)
    with Program(answering(*answers), timeout=30) as program:
        run = program.make(Rule(momentum=0.5, nesterov=True))
        with pytest.raises(Unsupported, match=r"^no \ufffd\[1mnesterov$"):
            run(TWO, np.ones((2, 2), np.float32))
        assert run(TWO, np.ones((2, 2), np.float32)).shape == (2, 2)


def test_one_process_for_all_requests():
    code = """import json, os, sys
for line in sys.stdin:
    answer = {"id": json.loads(line)["id"], "unsupported": str(os.getpid())}
    print(json.dumps(answer), flush=True)"""
    seen = set()
    with Program(python(code), timeout=30) as program:
        for rule in (Rule(), Rule(lr=[0.1, 0.2])):
            for _ in range(3):
                with pytest.raises(Unsupported) as caught:
                    program.make(rule)(ONE, ONE[:, None])
                seen.add(str(caught.value))
    assert len(seen) == 1


def test_an_answer_too_many_is_seen_at_the_next_request():
    with Program(answering(FINE + "\n" + FINE, FINE), timeout=30) as program:
        run = program.make(Rule())
        run(TWO, np.ones((2, 2), np.float32))
        with pytest.raises(ProgramError, match="it answered with id 1, expected 2"):
            run(TWO, np.ones((2, 2), np.float32))


# Ends, floods and silence


def test_not_utf8():
    code = r"import sys; sys.stdout.buffer.write(b'\xff\xfe{}\n'); sys.stdout.flush()"
    assert r"it wrote b'\xff\xfe{}' on stdout, which is not UTF-8" in complaint(python(code))


@pytest.mark.parametrize("status", [0, 3])
def test_exit(status):
    code = f"import sys; sys.stdin.readline(); print('half a line', end=''); sys.exit({status})"
    assert (
        f"it exited with status {status} before it answered; it had written 'half a line'. "
        "Its stderr is empty." in complaint(python(code))
    )


def test_an_exception_shows_its_traceback():
    message = complaint(python("x = [1, 2]\nx[2]"))
    assert "it exited with status 1 before it answered. Its stderr ends:\nTraceback" in message
    assert message.endswith("IndexError: list index out of range")


@POSIX
def test_a_signal_is_named():
    code = "import os, signal; os.kill(os.getpid(), signal.SIGTERM)"
    assert "it was ended by SIGTERM before it answered" in complaint(python(code))


def test_closed_stdout():
    message = complaint(python("import os, sys, time; os.close(1); time.sleep(30)"))
    assert "it closed its stdout, where answers go, and ran on, before it answered" in message


@pytest.mark.parametrize("code", ["time.sleep(30)", "sys.stdin.readline(); sys.stdout.write('{')"])
def test_silence(code):
    start = time.monotonic()
    code = f"import sys, time; {code}; sys.stderr.write('hm'); sys.stderr.flush(); time.sleep(30)"
    message = complaint(python(code), timeout=0.5)
    assert "it gave no answer in 0.5 s (an answer is one line, ended and flushed)" in message
    assert time.monotonic() - start < 10


def test_a_request_that_nobody_reads():
    message = complaint(
        python("import time; time.sleep(30)"), theta=np.ones(20_000), steps=1, timeout=0.5
    )
    assert "it gave no answer in 0.5 s and has not read all of the request" in message


def test_an_answer_without_a_look_at_the_request():
    code = "import sys, time; print(sys.argv[1], flush=True); time.sleep(30)"
    command = python(code, '{"id": 1, "error": "early"}')
    message = complaint(command, theta=np.ones(20_000), steps=1, timeout=2.0)
    assert "it answered and did not read all of its request" in message
    # One that is read by the time does no harm.
    assert "reports an error: early" in complaint(command, theta=ONE)


def test_reading_and_writing_at_once():
    """Both pipes are full before the program reads: that must not be the end."""
    code = """import sys
print('{"id": 1,' + 1_000_000 * " ", flush=True, end="")
sys.stdin.readline()
print('"unsupported": "streams"}', flush=True)"""
    with pytest.raises(Unsupported, match="streams"):
        ask(python(code), theta=np.ones(20_000), steps=1)


@pytest.mark.parametrize("what", ["'x'", "'[' * 65536", "'\\n'"])
def test_stdout_without_end(what):
    message = complaint(python(f"import sys\nwhile True: sys.stdout.write({what})"))
    limit = 64 * 2 * 3 + 4096
    if "n" in what:
        assert "it wrote '' on stdout, which is no JSON" in message
    else:
        assert f"it wrote a line of more than {limit} bytes, too long for an answer" in message


def test_a_flood_on_stderr():
    code = """import sys
for line in sys.stdin:
    for _ in range(200):
        sys.stderr.write(100_000 * "w")
    print(sys.argv[1], flush=True)
    sys.stderr.write("the end\\x1b")
    sys.stderr.flush()"""
    with Program(python(code, FINE.replace("ID", "1")), timeout=30) as program:
        run = program.make(Rule())
        assert run(TWO, np.ones((2, 2), np.float32)).shape == (2, 2)
        with pytest.raises(ProgramError) as caught:
            run(TWO, np.ones((2, 2), np.float32))
    assert "expected 2. Its stderr ends:\nwww" in str(caught.value)
    assert len(str(caught.value)) < 2500


# Processes


@POSIX
def test_children_are_killed(tmp_path):
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    code = """import os, sys, time
pipe = open(sys.argv[1], "w")
os.fork() and print("garbage", flush=True)
time.sleep(60)"""
    reader = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)
    try:
        complaint(python(code, str(fifo)))
        os.set_blocking(reader, True)
        assert os.read(reader, 1) == b""  # returns when the last process that had the pipe is gone
    finally:
        os.close(reader)


@POSIX
def test_a_child_that_left_the_group_does_not_hold_us_up():
    code = """import os, time
if not os.fork():
    os.setsid()
    time.sleep(6)
    os._exit(0)"""
    start = time.monotonic()
    message = complaint(python(code), timeout=0.5)
    assert "it gave no answer in 0.5 s" in message
    assert time.monotonic() - start < 5.5


def test_close():
    """Stdin ends first, so that a program can end by itself; one that does not is killed."""
    for after in ("", "import time; time.sleep(30)"):
        code = (
            f"print(input() and {FINE.replace('ID', '1')!r}, flush=True)\nopen(0).read()\n{after}"
        )
        start = time.monotonic()
        with Program(python(code), timeout=30) as program:
            run = program.make(Rule())
            run(TWO, np.ones((2, 2), np.float32))
        program.close()
        assert time.monotonic() - start < 15
        with pytest.raises(ProgramError, match="it runs no more: it was closed"):
            run(TWO, np.ones((2, 2), np.float32))


@POSIX
def test_programs_that_cannot_start(tmp_path):
    script = tmp_path / "script"
    script.write_text("#!/no/such/interpreter\n")
    assert "cannot be started: [Errno 13] Permission denied" in complaint(str(script))
    script.chmod(0o755)
    assert "cannot be started: no executable" in complaint(str(script))
    assert complaint("nothing here") == (
        "program 'nothing here', request 1: cannot be started: no executable 'nothing'"
    )
    assert "cannot be started: embedded null byte" in complaint(["a\0b"])
    for command in ("", "  ", []):
        with pytest.raises(ProgramError, match="the command is empty"):
            Program(command)
    with pytest.raises(ProgramError, match="No closing quotation"):
        Program("python 'x")


@POSIX
def test_a_command_line_is_split_and_no_shell_sees_it():
    code = 'import json, sys; print(json.dumps({"id": 1, "unsupported": repr(sys.argv[1:])}))'
    with pytest.raises(Unsupported, match=re.escape("['a b', '$HOME', '*', ';']")):
        ask(f"'{sys.executable}' -ISc '{code}' 'a b' $HOME * ;")


# Arguments


def test_arguments_that_do_not_fit():
    run = Program("nothing").make(Rule())
    for theta, grads, said in [
        (np.ones(2), np.ones((3, 1)), r"theta0 has shape \(2,\), grads \(3, 1\): expected \(n,\)"),
        (np.ones((1, 2)), np.ones((3, 2)), "expected"),
        (np.ones(2), np.ones(2), "expected"),
        (np.ones(2), np.ones((3, 2), np.float32), "theta0 has dtype float64, grads float32: both"),
        (np.ones(2, int), np.ones((3, 2), int), "theta0 has dtype int64, grads int64: both have"),
    ]:
        with pytest.raises(ValueError, match=said):
            run(theta, grads)


def test_rules_that_the_protocol_cannot_carry():
    for rule in (Rule(lr=sympy.Symbol("eta", positive=True)), Rule(beta=sympy.Rational(1, 3))):
        with pytest.raises(Unsupported, match=r"=(eta|1/3) is not a binary64 number"):
            Program("nothing").make(rule)


@pytest.fixture
def recorder(tmp_path):
    """A program that stores the request, and the file where."""
    path = tmp_path / "request"
    code = "import sys; open(sys.argv[1], 'w').write(sys.stdin.readline())"
    return python(code, str(path)), path


@pytest.mark.parametrize("name", RULES)
def test_the_request_holds_the_whole_rule(name, recorder):
    command, path = recorder
    complaint(command, rule=RULES[name])
    line = path.read_text(encoding="ascii")
    request = json.loads(line)
    assert line == json.dumps(request) + "\n"
    assert list(request) == ["protocol", "id", "dtype", "rule", "theta0", "grads"]

    def number(value):
        if isinstance(value, list):
            return [number(entry) for entry in value]
        return float.fromhex(value) if isinstance(value, str) and value[:2] == "0x" else value

    assert Rule(**{field: number(value) for field, value in request["rule"].items()}) == RULES[name]
    assert list(request["rule"]) == list(Rule.__dataclass_fields__)


# The page and the examples


@pytest.fixture(scope="session", params=["python", "node", "cc"])
def example(request, tmp_path_factory):
    """The command of an example."""
    if request.param == "python":
        return [sys.executable, str(ROOT / "examples" / "rmsprop.py")]
    tool = shutil.which(request.param)
    if tool is None:
        pytest.skip(f"{request.param} is not installed")
    if request.param == "node":
        return [tool, str(ROOT / "examples" / "rmsprop.mjs")]
    binary = tmp_path_factory.mktemp("c") / "rmsprop"
    source = str(ROOT / "examples" / "rmsprop.c")
    options = ["-std=c99", "-O1", "-ffp-contract=off"]
    subprocess.run([tool, *options, "-o", str(binary), source, "-lm"], check=True, timeout=60)
    return [str(binary)]


def reference(theta, grads, rule):
    state, trajectory = init(theta, rule), []
    for g in grads:
        theta, state = step(theta, g, state, rule)
        trajectory.append(theta)
    return np.stack(trajectory)


def test_examples_give_the_bits_of_the_reference(example):
    rng = np.random.default_rng(7)
    rules = [
        Rule(),
        Rule(lr=0.3, beta=0.999, eps_in=1e-3, eps_out=1e-2),
        Rule(lr=1e-3, beta=0.25, eps_out=0.0),
        Rule(lr=5e-324, beta=0.0, eps_in=2.0**-1030, eps_out=1.0),
    ]
    with Program(example, timeout=30) as program:
        for dtype in (np.float32, np.float64):
            for rule in rules:
                theta = rng.normal(size=200).astype(dtype)
                grads = (rng.normal(size=(20, 200)) * 10.0 ** rng.uniform(-6, 6, 200)).astype(dtype)
                theta[0], grads[3, 1] = -0.0, -0.0
                trajectory = program.make(rule)(theta, grads)
                assert trajectory.tobytes() == reference(theta, grads, rule).tobytes()


def test_examples_say_what_they_do_not_know(example):
    with Program(example, timeout=30) as program:
        for name, rule in RULES.items():
            run = program.make(rule)
            if name in ("plain", "eps inside", "eps on both sides"):
                assert run(TWO, np.ones((2, 2), np.float32)).shape == (2, 2)
            else:
                with pytest.raises(Unsupported, match=r"^plain RMSProp only"):
                    run(TWO, np.ones((2, 2), np.float32))
        with pytest.raises(Unsupported, match=r"^plain RMSProp only"):
            program.make(Rule())(
                np.ones(1, ml_dtypes.bfloat16), np.ones((1, 1), ml_dtypes.bfloat16)
            )
        assert program.make(Rule())(ONE[:0], np.ones((3, 0), np.float32)).shape == (3, 0)


def test_the_page_shows_a_real_request_and_its_answer(recorder, example):
    shown, answer = map(json.loads, re.findall(r"```json\n(.*?)```", PAGE, re.DOTALL))
    command, path = recorder
    rule = Rule(lr=0.01, beta=0.9)
    theta = np.array([1, -2], np.float32)
    grads = np.array([[3, -0.004], [-1, 0]], np.float32)
    with Program(command, timeout=30) as program, pytest.raises(ProgramError):
        program.make(rule)(theta, grads)
    request = path.read_text(encoding="ascii")
    assert request == json.dumps(shown) + "\n"
    if example[0] == sys.executable:
        done = subprocess.run(example, input=request, capture_output=True, text=True, check=True)
        assert json.loads(done.stdout) == answer
    trajectory = [[float.fromhex(x) for x in row] for row in answer["trajectory"]]
    with Program(example, timeout=30) as program:
        np.testing.assert_array_equal(program.make(rule)(theta, grads), trajectory)
    np.testing.assert_array_equal(reference(theta, grads, rule), trajectory)


@pytest.mark.parametrize("suffix", ["py", "mjs", "c"])
def test_twenty_lines_are_enough(suffix, tmp_path):
    source = ROOT / "examples" / f"twenty_lines.{suffix}"
    tool = {"py": sys.executable, "mjs": shutil.which("node"), "c": shutil.which("cc")}[suffix]
    if tool is None:
        pytest.skip(f"nothing here runs {source.name}")
    command = [tool, str(source)]
    if suffix == "c":
        command = [str(tmp_path / "twenty_lines")]
        subprocess.run([tool, "-std=c99", "-o", command[0], str(source), "-lm"], check=True)
    rule = Rule(lr=0.01, beta=0.9, eps_out=1e-8)
    with Program(command) as program:
        report = check(program.make(rule), rule, "float64")
    assert report.verdict == "proven", str(report)
    code = source.read_text("utf-8").rstrip().splitlines()
    assert len(code) <= 36
