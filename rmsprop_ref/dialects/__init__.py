"""What each library computes when it says RMSProp: its own arguments in, a Rule out.

>>> from rmsprop_ref.dialects import pytorch, keras3
>>> pytorch(lr=0.01, alpha=0.9).rule == keras3(learning_rate=0.01, rho=0.9).rule
False
>>> keras3(learning_rate=0.01).rule.eps_in, pytorch(lr=0.01).rule.eps_out
(1e-07, 1e-08)
"""

from rmsprop_ref.dialects.dialect import DIALECTS, Claim, Dialect, Setting
from rmsprop_ref.dialects.in_jax import optax
from rmsprop_ref.dialects.in_pytorch import pytorch
from rmsprop_ref.dialects.in_tensorflow import keras3

__all__ = ["DIALECTS", "Claim", "Dialect", "Setting", "keras3", "optax", "pytorch"]
