"""One Rule for each axis on which implementations differ, and a few that combine them."""

from rmsprop_ref import Rule

RULES = {
    "plain": Rule(),
    "eps inside": Rule(eps_in=1e-3, eps_out=0.0),
    "eps on both sides": Rule(eps_in=1e-3, eps_out=1e-2),
    "eps floor": Rule(eps_out=0.0, eps_floor=0.5),
    "v0 = 1": Rule(v0=1.0),
    "v0 = first square": Rule(v0="first_square"),
    "bias correction": Rule(bias_correction=True),
    "centered": Rule(centered=True, eps_in=1e-3),
    "momentum": Rule(momentum=0.9),
    "momentum, lr in buffer": Rule(momentum=0.9, lr_in_buffer=True),
    "momentum on gradient": Rule(momentum=0.9, momentum_on="gradient"),
    "nesterov": Rule(momentum=0.9, nesterov=True),
    "l2": Rule(weight_decay=0.1),
    "decoupled": Rule(weight_decay=0.1, weight_decay_form="decoupled"),
    "decoupled, unscaled": Rule(weight_decay=0.1, weight_decay_form="decoupled_unscaled"),
    "schedule": Rule(lr=[0.1, 0.05, 0.02, 0.05, 0.1]),
    "schedule, lr in buffer": Rule(lr=[0.1, 0.05, 0.02, 0.05, 0.1], momentum=0.9,
                                   lr_in_buffer=True),
    "Graves": Rule(lr=1e-4, beta=0.95, eps_in=1e-4, eps_out=0.0, centered=True, momentum=0.9,
                   lr_in_buffer=True),
    "nearly all": Rule(beta=0.99, eps_in=1e-3, eps_floor=1e-3, v0=0.5, bias_correction=True,
                       centered=True, momentum=0.8, nesterov=True, lr_in_buffer=True,
                       weight_decay=0.1),
}  # fmt: skip
