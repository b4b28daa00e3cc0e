"""RMSProps in Julia, Java, Go and R."""

from __future__ import annotations

from typing import Any

from rmsprop_ref.adapters import Unsupported
from rmsprop_ref.dialects.dialect import Claim, dialect
from rmsprop_ref.rule import Rule


@dialect(
    "Flux before 0.15, Flux.Optimise.RMSProp",
    version="0.16.11, git 3f2f828",
    source="FluxML/Flux.jl: src/optimise/optimisers.jl",
    discussions=("FluxML/Flux.jl#1778",),
    language="Julia",
    not_expressible=("complex gradients: the average is that of |g|²",),
)
def flux(eta: Any = 0.001, rho: Any = 0.9, epsilon: Any = 1e-8) -> Rule:
    """ε outside the root; the hyper-parameters are Float64, whatever the arrays are."""
    return Rule(lr=eta, beta=rho, eps_out=epsilon)


@dialect(
    "Optimisers.jl, RMSProp",
    version="0.4.8, git b3595f5",
    source="FluxML/Optimisers.jl: src/rules.jl, src/utils.jl",
    discussions=("FluxML/Optimisers.jl#51", "FluxML/Optimisers.jl#7"),
    language="Julia",
    not_expressible=(
        "Float16 with an ε between 0 and 1e-7: it is raised to 1e-7",
        "complex gradients: the average is that of |g|²",
    ),
)
def optimisers_jl(
    eta: Any = 0.001, rho: Any = 0.9, epsilon: Any = 1e-8, centred: bool = False
) -> Rule:
    """ε outside the root; the hyper-parameters are rounded to the type of the arrays.

    Where centring leaves a negative variance, Julia's ``sqrt`` throws a ``DomainError``.
    """
    return Rule(lr=eta, beta=rho, eps_out=epsilon, centered=centred)


@dialect(
    "Deeplearning4j, RmsProp of ND4J",
    version="git 1373917",
    source="deeplearning4j/deeplearning4j: libnd4j/include/ops/declarable/helpers/cpu/"
    "updaterRmsProp.cpp, …/org/nd4j/linalg/learning/RmsPropUpdater.java",
    discussions=("deeplearning4j/deeplearning4j#1482",),
    claims=(
        Claim(
            {},
            Rule(lr=0.1, beta=0.95, eps_in=1e-8, v0=1e-8),
            "the Javadoc of …/learning/config/RmsProp.java, as later rewritten: "
            '"alpha / sqrt(E[g^2]_t + epsilon)"',
        ),
    ),
    language="Java, C++",
)
def dl4j(learningRate: Any = 0.1, rmsDecay: Any = 0.95, epsilon: Any = 1e-8) -> Rule:
    """ε is two things: it is added to the root, and the average starts at it."""
    return Rule(lr=learningRate, beta=rmsDecay, eps_out=epsilon, v0=epsilon)


@dialect(
    "Gorgonia, RMSPropSolver",
    version="0.9.18, git d7a3ce2",
    source="gorgonia/gorgonia: solvers.go",
    language="Go",
    not_expressible=(
        "WithClip: it clips after the average has taken the gradient in, and scalars not at all",
    ),
)
def gorgonia(
    eta: Any = 0.001, eps: Any = 1e-8, rho: Any = 0.999, l2reg: Any = 0, clip: Any = None
) -> Rule:
    """ε inside the root. ``WithL2Reg`` is no L2 penalty: θ shrinks by λθ, apart from the step.

    Tensors are multiplied by a reciprocal root, scalars divided by the root.
    """
    if clip is not None:
        raise Unsupported(f"WithClip({clip!r}) clips between average and step: leave it out")
    return Rule(
        lr=eta,
        beta=rho,
        eps_in=eps,
        eps_out=0.0,
        weight_decay=l2reg,
        weight_decay_form="decoupled_unscaled",
    )


@dialect(
    "Torch for R, torch::optim_rmsprop",
    version="git 19c5021",
    source="mlverse/torch: R/optim-rmsprop.R",
    claims=(
        Claim(
            {},
            Rule(lr=0.01, beta=0.99, eps_in=1e-8),
            "the update rule in its help, η/√(E[g²] + ε); the note above that has ε outside",
        ),
    ),
    language="R",
)
def r_torch(
    lr: Any = 1e-2,
    alpha: Any = 0.99,
    eps: Any = 1e-8,
    weight_decay: Any = 0,
    momentum: Any = 0,
    centered: bool = False,
) -> Rule:
    """PyTorch's rule and defaults, as in its C++."""
    return Rule(
        lr=lr,
        beta=alpha,
        eps_out=eps,
        momentum=momentum,
        centered=centered,
        weight_decay=weight_decay,
    )
