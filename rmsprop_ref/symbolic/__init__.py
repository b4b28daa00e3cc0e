"""The algebra of RMSProp: the reference's formulas as expressions, and the theorems, proved.

Nothing here states the update rule. :func:`equations` runs ``reference.step`` on symbols and shows
what comes out; each theorem starts from that and ends where SymPy finds that two sides are equal.

>>> from rmsprop_ref import Rule
>>> for equation in equations(Rule()):
...     print(equation)
Eq(v_t, beta*v + g**2*(1 - beta))
Eq(theta_t, -eta*g/(eps_out + sqrt(v_t)) + theta)
>>> print(sign_descent())
Sign descent is RMSProp with β = 0: theta_t = -eta*sign(g) + theta

Symbols without an index are the values before the step (``theta`` is θ at t-1), ``g`` is the
gradient there, and ``theta_t``, ``v_t``, ``m_t``, ``b_t`` are the values after it.
"""

from rmsprop_ref.symbolic.centered import (
    CENTERED,
    centered_cycle,
    centered_noise,
    centered_ramp,
    centered_recursion,
    centered_steps,
    centered_variance,
)
from rmsprop_ref.symbolic.convergence import (
    CONVERGENCE,
    boundary_of_a_large_gradient,
    boundary_of_a_small_mean,
    periodic_average,
    three_step_boundary,
)
from rmsprop_ref.symbolic.conversions import (
    CONVERSIONS,
    correction_as_schedule,
    decay_in_units,
    epsilon_across_the_root,
    learning_rate_in_the_buffer,
    loaded_start,
    same,
)
from rmsprop_ref.symbolic.dynamics import (
    DYNAMICS,
    cycle_in_the_plane,
    program_in_the_plane,
    pull_in_the_plane,
    pull_of_a_cycle,
)
from rmsprop_ref.symbolic.scaling import (
    SCALING,
    linear_decay,
    memory_in_the_step,
    noise_floor,
    square_root_rule,
)
from rmsprop_ref.symbolic.theorems import (
    RMSPROP,
    ProofError,
    Theorem,
    adagrad,
    adam,
    early_displacement,
    epsilon_and_the_cycle,
    first_steps,
    half_life,
    mean_age,
    scale_invariance,
    sign_descent,
    two_cycle,
    two_cycle_attracts,
    unrolled_average,
    zero_start_bias,
)
from rmsprop_ref.symbolic.update import (
    equations,
    latex,
    symbolized,
)

THEOREMS = (*RMSPROP, *DYNAMICS, *CONVERGENCE, *SCALING, *CENTERED, *CONVERSIONS)

__all__ = [
    "THEOREMS",
    "ProofError",
    "Theorem",
    "adagrad",
    "adam",
    "boundary_of_a_large_gradient",
    "boundary_of_a_small_mean",
    "centered_cycle",
    "centered_noise",
    "centered_ramp",
    "centered_recursion",
    "centered_steps",
    "centered_variance",
    "correction_as_schedule",
    "cycle_in_the_plane",
    "decay_in_units",
    "early_displacement",
    "epsilon_across_the_root",
    "epsilon_and_the_cycle",
    "equations",
    "first_steps",
    "half_life",
    "latex",
    "learning_rate_in_the_buffer",
    "linear_decay",
    "loaded_start",
    "mean_age",
    "memory_in_the_step",
    "noise_floor",
    "periodic_average",
    "program_in_the_plane",
    "pull_in_the_plane",
    "pull_of_a_cycle",
    "same",
    "scale_invariance",
    "sign_descent",
    "square_root_rule",
    "symbolized",
    "three_step_boundary",
    "two_cycle",
    "two_cycle_attracts",
    "unrolled_average",
    "zero_start_bias",
]
