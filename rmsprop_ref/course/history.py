"""Where RMSProp came from: dated events with their sources, and the rules that programs have had.

Dates of programs are those of the commits, read in the repositories' own histories. What could not
be read at the source says so: nothing here is told from memory without that mark.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, Literal, NamedTuple

from rmsprop_ref import Rule, Unsupported
from rmsprop_ref.course import plots
from rmsprop_ref.dialects import DIALECTS

Reading = Literal["source", "copy", "none"]

# How much of a source was read, in words.
READ: dict[Reading, str] = {
    "source": "yes",
    "copy": "in part, or a copy",
    "none": "no",
}


class Event(NamedTuple):
    """Something that happened.

    Attributes
    ----------
    date : str
        Year, month or day, as ISO 8601 writes it. Months of papers are those of their arXiv number.
    who : str
        Author or library, short enough for a figure.
    what : str
        What it brought, in a few words.
    source : str
        Paper, or ``owner/repository`` with a commit or number.
    read : "source", "copy" or "none"
        Whether we read it there; in a copy, in others' notes or in part; or not at all.
    program : bool
        Whether it is a program, rather than a paper or a lecture.
    """

    date: str
    who: str
    what: str
    source: str
    read: Reading
    program: bool = False

    @property
    def link(self) -> str:
        """The source as Markdown, with a link where there is an address."""
        place, _, commit = self.source.partition(" ")
        if place.startswith("arXiv:"):
            return f"[{place}](https://arxiv.org/abs/{place.removeprefix('arXiv:')})"
        if place.startswith("10."):
            return f"[doi:{place}](https://doi.org/{place})"
        if "#" in place:
            return f"[{place}](https://github.com/{place.replace('#', '/issues/')})"
        if "/" in place:
            return f"[{self.source}](https://github.com/{place}/commit/{commit})"
        return self.source


EVENTS = (
    Event("1988", "Jacobs", "a rate for each weight", "10.1016/0893-6080(88)90003-2", "none"),
    Event("1989", "Becker, LeCun", "divide by diagonal curvature", "CMSS, pp. 29-37", "none"),
    Event("1993", "Rprop", "only the sign of g", "10.1109/ICNN.1993.298623", "none"),
    Event(
        "2010",
        "AdaGrad",
        "divide by √(sum of all g²)",
        "COLT; JMLR 12 (2011), pp. 2121-2159",
        "none",
    ),
    Event("2012-06", "Schaul et al.", "running means of g, g², h", "arXiv:1206.1106", "copy"),
    # The day is not known to us; climin, which follows, is the first dated witness that we found.
    Event("2012", "Lecture 6e", "divide by √(running mean of g²)", "Coursera, lec6.pdf", "copy"),
    Event(
        "2012-10-29",
        "climin",
        "the name, in an index and a test",
        "BRML/climin 54a12a6",
        "source",
        True,
    ),
    Event(
        "2012-11-07", "climin", "the oldest code we found", "BRML/climin 885f493", "source", True
    ),
    Event("2012-12", "Adadelta", "the same mean, from AdaGrad", "arXiv:1212.5701", "copy"),
    Event("2013-08", "Graves", "centered, ε, momentum", "arXiv:1308.0850", "copy"),
    Event("2013-12", "DQN", "“we used the RMSProp algorithm”", "arXiv:1312.5602", "copy"),
    Event(
        "2014-03-30",
        "ConvNetJS",
        "the rule, under another name",
        "karpathy/convnetjs 73ae935",
        "source",
        True,
    ),
    Event("2014-07-15", "Pylearn2", "a floor for ε", "lisa-lab/pylearn2 a1362da", "source", True),
    Event(
        "2014-09-11",
        "Lasagne",
        "ε inside, “not included” in the video",
        "Lasagne/Lasagne 7709388",
        "source",
        True,
    ),
    Event("2014-12", "Adam", "corrected, another momentum", "arXiv:1412.6980", "copy"),
    Event("2015-02-15", "Dauphin et al.", "is √v a curvature?", "arXiv:1502.04390", "copy"),
    Event("2015-02-26", "Torch", "ε added to v each step", "torch/optim c40e73f", "source", True),
    Event(
        "2015-02-27",
        "DQN's program",
        "Graves without momentum",
        "kuz/DeepMind-Atari-Deep-Q-Learner 54978fa",
        "source",
        True,
    ),
    Event(
        "2015-03-23", "Torch", "exported; the step lacks g", "torch/optim 7ea4391", "source", True
    ),
    Event("2015-03-27", "Keras", "ε inside", "keras-team/keras 37a1db2", "source", True),
    Event("2015-04-16", "Torch", "ε outside, β = 0.99", "torch/optim 30f6bd3", "source", True),
    Event("2015-04-18", "Chainer", "the same numbers", "chainer/chainer 1e006de", "source", True),
    Event("2015-08-08", "Caffe", "ε outside", "BVLC/caffe abe99e8", "source", True),
    Event(
        "2015-12-03", "MXNet", "Graves, as plain RMSProp", "apache/mxnet f913f5b", "source", True
    ),
    Event(
        "2015-12-10",
        "TensorFlow",
        "in use by then",
        "tensorflow/tensorflow#464",
        "copy",
        True,
    ),
    Event("2016-05-11", "Keras", "ε moves out", "keras-team/keras 5308033", "source", True),
    Event("2016-06-08", "Torch", "v from 1, for 13 weeks", "torch/optim 9c08fde", "source", True),
    Event("2017-03-09", "PyTorch", "centered, momentum", "pytorch/pytorch#810", "copy", True),
    Event("2017-05-13", "MXNet", "ε moves in", "apache/mxnet#6235", "copy", True),
    Event(
        "2019-05-14",
        "timm",
        "v from 1, as TensorFlow",
        "huggingface/pytorch-image-models 20d66be",
        "source",
        True,
    ),
    Event("2019-07-04", "JAX", "v from 1 to 0", "jax-ml/jax#975", "copy", True),
    Event("2019-10-02", "JAX", "ε moves in", "jax-ml/jax#1427", "copy", True),
    Event("2022-09-26", "Keras", "ε moves back in", "keras-team/keras f3035dc", "source", True),
    Event("2024-07-25", "optax", "ε either side", "google-deepmind/optax 38e507a", "source", True),
)


class Version(NamedTuple):
    """The rule that a program had from a day on, with the defaults that it had then.

    Attributes
    ----------
    library, date, commit : str
        Whose; the day of the commit; its number in the library's repository.
    rule : Rule
        What it computed. A learning rate without default is 0.01 here, a β without one 0.9.
    """

    library: str
    date: str
    commit: str
    rule: Rule


VERSIONS = (
    Version("climin", "2012-11-07", "885f493", Rule(eps_in=1e-8, v0="first_square")),
    Version("climin", "2013-01-04", "446902e", Rule(eps_in=1e-4, v0=1.0)),
    Version("climin", "2013-01-09", "0ec367d", Rule(eps_in=1e-8, v0=1.0)),
    Version("Torch", "2015-04-15", "f256841", Rule(beta=0.95, eps_out=1e-8)),
    Version("Torch", "2015-04-16", "30f6bd3", Rule(beta=0.99, eps_out=1e-8)),
    Version("Torch", "2016-06-08", "9c08fde", Rule(beta=0.99, eps_out=1e-8, v0=1.0)),
    Version("Torch", "2016-09-06", "824152a", Rule(beta=0.99, eps_out=1e-8)),
    Version("Keras", "2015-03-27", "37a1db2", Rule(lr=0.001, eps_in=1e-6)),
    Version("Keras", "2016-05-11", "b581eb3", Rule(lr=0.001, eps_out=1e-8)),
    Version("Keras", "2022-09-26", "f3035dc", Rule(lr=0.001, eps_in=1e-7)),
    Version("timm", "2019-04-21", "bc26426", Rule(beta=0.99, eps_in=1e-8)),
    Version("timm", "2019-05-14", "20d66be", Rule(beta=0.9, eps_in=1e-10, v0=1.0)),
)


def at_defaults(lr: float = 0.01) -> tuple[dict[str, Rule], list[str]]:
    """Each dialect's rule at its own defaults, and the names of those that no Rule says.

    Parameters
    ----------
    lr : float
        The learning rate η for dialects without a default for it, in units of θ.
    """
    rules, beyond = {}, []
    for name, dialect in DIALECTS.items():
        given = dialect.required | ({"learning_rate": lr} if _unset(dialect.signature) else {})
        try:
            rules[name] = dialect(**given).rule
        except Unsupported:
            beyond.append(name)
    return rules, beyond


def _unset(signature: Any) -> bool:
    rate = signature.parameters.get("learning_rate")
    return rate is not None and rate.default in (None, rate.empty)


def equalised(rule: Rule, *axes: str) -> Rule:
    """The rule with some of its axes set to what the lecture says, or to a common value.

    Parameters
    ----------
    rule : Rule
        Any rule.
    *axes : str
        Any of the keys of ``AXES``.

    Returns
    -------
    Rule
        The same, but with η = 0.01, β = 0.9, an ε of 1e-7 wherever there was one, no momentum, a
        start at 0, ε inside, or not centered: for the axes that were named, in that order.
    """
    for axis in axes:
        rule = AXES[axis](rule)
    return rule


def _sized(rule: Rule) -> Rule:
    places: dict[str, Any] = {
        x: 1e-7 if getattr(rule, x) else 0.0 for x in ("eps_in", "eps_out", "eps_floor")
    }
    started_at_it = 0 != rule.v0 == rule.eps_out  # DL4J's average starts at its ε
    return replace(rule, **places, v0=1e-7 if started_at_it else rule.v0)


def _inside(rule: Rule) -> Rule:
    return replace(rule, eps_in=1e-7, eps_out=0.0, eps_floor=0.0)


# What is made equal, in the order in which the figure makes it equal.
AXES: dict[str, Callable[[Rule], Rule]] = {
    "one η": lambda rule: replace(rule, lr=0.01),
    "one β": lambda rule: replace(rule, beta=0.9),
    "one size of ε": _sized,
    "no momentum": lambda rule: replace(rule, momentum=0.0, weight_decay=0.0),
    "start at 0": lambda rule: replace(rule, v0=0.0),
    "ε inside": _inside,
    "not centered": lambda rule: replace(rule, centered=False),
}


def draw_timeline(ax: Any, events: Any = EVENTS) -> None:
    """The events down the page, in order, one line each; the mark says what was read."""
    styles: dict[Reading, dict[str, Any]] = {
        "source": {"mfc": plots.BLUE, "mec": plots.BLUE},
        "copy": {"mfc": "white", "mec": plots.BLUE, "mew": 2.2},
        "none": {"mfc": "white", "mec": plots.GREY, "mew": 1.2, "alpha": 0.9},
    }
    for i, event in enumerate(events):
        ax.plot(0, -i, "s" if event.program else "o", ms=7, zorder=3, **styles[event.read])
        ax.text(-0.035, -i, event.date[:7], ha="right", va="center", color=plots.GREY)
        line = ax.annotate(event.who, (0, -i), (9, 0), textcoords="offset points", va="center")
        line.set_fontweight("bold")
        ax.annotate(f"  {event.what}", (1, 0.5), xycoords=line, va="center", color=plots.BLACK)
    ax.axvline(0, color=plots.GREY, lw=1, zorder=0)
    ax.set(xlim=(-0.17, 1), ylim=(-len(events) + 0.3, 0.7))
    ax.axis("off")
