"""Training on many workers, simulated: who holds which numbers, and what each must send.

Every worker has a model of P parameters, or a part of it, and a gradient from data of its own. The
P numbers of an array are cut into one piece a worker. What travels goes round a ring, piece by
piece, as in the usual libraries (Patarasu & Yuan 2009): each worker sends to the next.
"""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rmsprop_ref import Rule, State, init, step

Array = NDArray[Any]


def pieces(parameters: int, workers: int) -> list[slice]:
    """The parameters cut into one piece a worker, as even as whole numbers allow."""
    edges = [parameters * w // workers for w in range(workers + 1)]
    return [slice(a, b) for a, b in itertools.pairwise(edges)]


class Ring:
    """Workers in a ring, each with an array of P numbers; what each of them sends is counted.

    Attributes
    ----------
    held : array of shape (workers, parameters)
        What every worker has in its memory.
    sent : array of int, shape (workers,)
        The bytes that each has sent so far.
    """

    def __init__(self, held: Array) -> None:
        self.held = held
        self.cut = pieces(held.shape[1], len(held))
        self.sent = np.zeros(len(held), int)

    def _round(self, shift: int, *, add: bool) -> None:
        """Every worker w sends piece w - shift to the next, who adds it to its own, or keeps it."""
        workers = len(self.held)
        messages = [self.held[w, self.cut[(w - shift) % workers]].copy() for w in range(workers)]
        for w, message in enumerate(messages):
            piece = self.held[(w + 1) % workers, self.cut[(w - shift) % workers]]
            piece[:] = piece + message if add else message
            self.sent[w] += message.nbytes

    def reduce_scatter(self) -> list[slice]:
        """Sum the arrays: afterwards worker w has the sum of all in its own piece, which is w."""
        for shift in range(1, len(self.held)):
            self._round(shift, add=True)
        return self.cut

    def all_gather(self) -> None:
        """Give everybody the piece of everybody: that of worker w is right in w."""
        for shift in range(len(self.held) - 1):
            self._round(shift, add=False)


def sharded_step(
    theta: Array, grads: Array, states: list[State], rule: Rule
) -> tuple[Array, list[State], Array]:
    """One step in which every worker keeps the optimiser's state of its own piece only.

    Parameters
    ----------
    theta : array of shape (workers, parameters)
        Each worker's copy of θ: all the same.
    grads : the same shape
        Each worker's gradient, from its own data. Their sum is what the step is made with.
    states : list of State
        One a worker, of its piece: from :func:`sharded_init`.
    rule : Rule
        What to compute.

    Returns
    -------
    theta, states
        After the step.
    sent : array of int, shape (workers,)
        Bytes that each worker sent.
    """
    ring = Ring(grads.copy())
    cut = ring.reduce_scatter()
    gathered = Ring(theta.copy())
    after = []
    for w, (own, state) in enumerate(zip(cut, states, strict=True)):
        moved, state = step(theta[w, own], ring.held[w, own], state, rule)
        gathered.held[w, own] = moved
        after.append(state)
    gathered.all_gather()
    return gathered.held, after, ring.sent + gathered.sent


def sharded_init(theta: Array, rule: Rule) -> list[State]:
    """The states before the first step: each worker's, of its own piece."""
    return [init(theta[w, own], rule) for w, own in enumerate(pieces(theta.shape[1], len(theta)))]


# What is cut into pieces, in the order of ZeRO's stages 0 to 3 (Rajbhandari et al. 2020).
STAGES = ("nothing", "state", "state and gradients", "everything")


def ledger(
    parameters: int, workers: int, stage: int, *, state: int, number: int = 2
) -> tuple[int, int]:
    """The bytes that the fullest worker holds, and those that the busiest sends in a step.

    Parameters
    ----------
    parameters, workers : int
        P and N.
    stage : int from 0 to 3
        What is cut into pieces: nothing; the optimiser's state; gradients too; parameters too.
    state : int
        Bytes that the optimiser keeps for a parameter, a copy of θ in float32 among them.
    number : int
        Bytes of a parameter or a gradient as they are computed with and sent: 2 for 16 bits.

    The rounds of the ring are gone through, as :class:`Ring` does, with the sizes of the pieces in
    place of the pieces.
    """
    if stage not in range(4):
        raise ValueError(f"stage={stage!r}: 0 to 3, for {', '.join(STAGES)}")
    sizes = np.array([own.stop - own.start for own in pieces(parameters, workers)])
    share, whole = int(sizes.max()), parameters
    held = state * (share if stage >= 1 else whole)
    held += number * (share if stage >= 2 else whole)
    held += number * (share if stage >= 3 else whole)
    scattered, gathered = np.zeros(workers, int), np.zeros(workers, int)
    for shift in range(workers - 1):
        scattered += np.roll(sizes, shift + 1)
        gathered += np.roll(sizes, shift)
    # Sums of gradients, then new parameters; or, where no worker has all parameters, these once
    # before the forward pass and once more before the backward pass.
    sent = scattered + (1 if stage < 3 else 2) * gathered
    return held, number * int(sent.max())
