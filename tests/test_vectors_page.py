"""What the page on the vectors shows and says."""

import itertools
import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from rmsprop_ref import vectors
from rmsprop_ref.oracle import FLAGS, RULES

PAGE = (Path(__file__).parents[1] / "book" / "vectors.md").read_text(encoding="utf-8")
CASES = {case["id"]: case for case in vectors.load()}
NODE = shutil.which("node")


def test_page_shows_a_real_case():
    shown = json.loads(re.search(r"```json\n(.*?)```", PAGE, re.DOTALL)[1])
    real = {key: value for key, value in CASES[shown["id"]].items() if key != "rule"}
    assert shown == real
    assert list(shown) == list(real)


def test_page_has_the_numbers():
    assert f"for each of {len(RULES)} rules" in PAGE
    assert f"There are {len(CASES)} cases" in PAGE


def test_page_has_the_flags():
    rows = re.findall(r"^\| `(\w+)` \| `(\w+)` \| (.+) \|$", PAGE, re.MULTILINE)
    assert rows == [(name, flag.bug_type, flag.description) for name, flag in FLAGS.items()]


OPTIMISER = """
class RMSProp {
  constructor({ lr, beta, eps_out }, theta) {
    [this.lr, this.beta, this.eps] = [lr, beta, eps_out].map((x) => Number(x.decimal));
    this.theta = theta;
    this.v = theta.map(() => START);
  }
  step(gradient) {
    const r = Math.fround, { lr, beta, eps } = this;
    gradient.forEach((g, i) => {
      this.v[i] = r(r(r(beta) * this.v[i]) + r(r(1 - beta) * r(g * g)));
      const d = r(r(Math.sqrt(this.v[i])) + r(eps));
      this.theta[i] = r(this.theta[i] - r(r(r(lr) * g) / d));
    });
  }
}
"""


@pytest.mark.skipif(NODE is None, reason="no node on this machine to run JavaScript with")
@pytest.mark.parametrize(("start", "right"), [("0", True), ("1", False)])
def test_page_in_javascript(start, right, tmp_path):
    code = re.search(r"```js\n(.*?)```", PAGE, re.DOTALL)[1]
    vectors.export(tmp_path)
    (tmp_path / "mine.mjs").write_text(OPTIMISER.replace("START", start) + code, encoding="utf-8")
    done = subprocess.run([NODE, "mine.mjs"], cwd=tmp_path, capture_output=True, text=True)
    assert done.stderr == ""
    failed = re.findall("^(.*?): wrong after step", done.stdout, re.MULTILINE)
    assert (failed == []) is right
    assert right or len(list(itertools.groupby(failed))) > 20
