"""What each library computes when it says RMSProp: its own arguments in, a Rule out.

>>> from rmsprop_ref.dialects import pytorch, keras3
>>> pytorch(lr=0.01, alpha=0.9).rule == keras3(learning_rate=0.01, rho=0.9).rule
False
>>> keras3(learning_rate=0.01).rule.eps_in, pytorch(lr=0.01).rule.eps_out
(1e-07, 1e-08)
"""

from rmsprop_ref.dialects.by_program import (
    chainer,
    chainer_graves,
    convnetjs,
    mxnet,
    mxnet2,
    mxnet_alex_update,
    mxnet_update,
    tfjs,
)
from rmsprop_ref.dialects.dialect import DIALECTS, Claim, Dialect, Setting
from rmsprop_ref.dialects.in_cpp import (
    caffe,
    caffe2,
    cntk,
    dynet,
    ensmallen,
    flashlight,
    libtorch,
    monolith,
    monolith_embeddings,
    nnabla,
    nnabla_graves,
    tiny_dnn,
)
from rmsprop_ref.dialects.in_jax import optax
from rmsprop_ref.dialects.in_other_languages import (
    dl4j,
    flux,
    gorgonia,
    optimisers_jl,
)
from rmsprop_ref.dialects.in_papers import (
    dqn,
    graves,
    hinton,
    torch7,
)
from rmsprop_ref.dialects.in_pytorch import (
    bitsandbytes,
    d2l,
    fastai,
    fastai_course,
    pytorch,
    stable_baselines3,
    timm,
    timm_factory,
    torchopt,
)
from rmsprop_ref.dialects.in_rust import (
    burn,
    candle,
    dfdx,
)
from rmsprop_ref.dialects.in_tensorflow import (
    keras2,
    keras2_11,
    keras3,
    keras_legacy,
    mindspore,
    oneflow,
    paddle,
    sonnet2,
    tensorflow_op,
    tf1,
)
from rmsprop_ref.dialects.in_theano import (
    blocks,
    climin,
    deep_q_rl,
    lasagne,
    neon,
    pylearn2,
    pymc,
)

__all__ = [
    "DIALECTS",
    "Claim",
    "Dialect",
    "Setting",
    "bitsandbytes",
    "blocks",
    "burn",
    "caffe",
    "caffe2",
    "candle",
    "chainer",
    "chainer_graves",
    "climin",
    "cntk",
    "convnetjs",
    "d2l",
    "deep_q_rl",
    "dfdx",
    "dl4j",
    "dqn",
    "dynet",
    "ensmallen",
    "fastai",
    "fastai_course",
    "flashlight",
    "flux",
    "gorgonia",
    "graves",
    "hinton",
    "keras2",
    "keras2_11",
    "keras3",
    "keras_legacy",
    "lasagne",
    "libtorch",
    "mindspore",
    "monolith",
    "monolith_embeddings",
    "mxnet",
    "mxnet2",
    "mxnet_alex_update",
    "mxnet_update",
    "neon",
    "nnabla",
    "nnabla_graves",
    "oneflow",
    "optax",
    "optimisers_jl",
    "paddle",
    "pylearn2",
    "pymc",
    "pytorch",
    "sonnet2",
    "stable_baselines3",
    "tensorflow_op",
    "tf1",
    "tfjs",
    "timm",
    "timm_factory",
    "tiny_dnn",
    "torch7",
    "torchopt",
]
