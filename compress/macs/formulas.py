"""Multiply-accumulates of one operator's call, by the shapes that it takes and gives.

The one table that every count goes by. An operator that is neither here nor in PyTorch's own table of formulas
(`torch.utils.flop_counter`, where a user's own operators may be entered too) is looked up in `light.py`.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import prod

from torch import Tensor


@dataclass(frozen=True)
class Product:
    """What one call multiplies."""

    macs: int
    operands: tuple[Tensor, ...]
    """Whatever is multiplied, weights among it; what is only added is not here."""


Formula = Callable[..., Product]
"""Called with the operator's positional arguments, and with `made`, what it gave."""


def _matrices(a: Tensor, b: Tensor, *_: object, made: object) -> Product:
    """(..., m, k) by (..., k, n)."""
    return Product(a.numel() * b.shape[-1], (a, b))


def _added(_: Tensor, a: Tensor, b: Tensor, *__: object, made: object) -> Product:
    """A product of matrices that is added to the first argument."""
    return _matrices(a, b, made=made)


def _broadcast(a: Tensor, b: Tensor, *_: object, made: Tensor) -> Product:
    """(..., m, k) by (..., k, n), (k,) on either side, leading axes as they broadcast."""
    return Product(made.numel() * a.shape[-1], (a, b))


def _vector(a: Tensor, b: Tensor, *_: object, made: object) -> Product:
    """(m, k) or (k,) by (k,)."""
    return Product(a.numel(), (a, b))


def _added_vector(_: Tensor, a: Tensor, b: Tensor, *__: object, made: object) -> Product:
    return _vector(a, b, made=made)


def _outer(_: Tensor, a: Tensor, b: Tensor, *__: object, made: object) -> Product:
    """(m,) by (n,), added to the first argument."""
    return Product(a.numel() * b.numel(), (a, b))


def _linear(x: Tensor, weight: Tensor, *_: object, made: object) -> Product:
    """x (..., in) by a weight (out, in)."""
    return Product(x.numel() * weight.shape[0], (x, weight))


def _forward(x: Tensor, weight: Tensor, *_: object, made: Tensor) -> Product:
    """A convolution: each number that it gives is a sum over the weight (out, in of a group, ...) of its channel."""
    return Product(made.numel() * weight[0].numel(), (x, weight))


def _transposed(x: Tensor, weight: Tensor, *_: object, made: object) -> Product:
    """A transposed convolution: each number that it takes is spread by the weight (in, out of a group, ...) of its channel."""
    return Product(x.numel() * weight[0].numel(), (x, weight))


def _convolution(
    x: Tensor, weight: Tensor, _: object, __: object, ___: object, ____: object, transposed: bool, *_____: object, made: Tensor
) -> Product:
    return _transposed(x, weight, made=made) if transposed else _forward(x, weight, made=made)


def _time_first(x: Tensor, weight: Tensor, *_: object, made: Tensor) -> Product:
    """A convolution over x (time, N, in) by a weight (width, in, out)."""
    return Product(made[..., 0].numel() * weight.numel(), (x, weight))


def _attention(query: Tensor, key: Tensor, value: Tensor, *_: object, made: object) -> Product:
    """Scores and their sum of values; query (..., queries, size), key and value (..., keys, size), fewer heads repeated."""
    each = key.shape[-2] * (query.shape[-1] + value.shape[-1])
    return Product(query[..., 0].numel() * each, (query, key, value))


def _heads(
    query: Tensor, key: Tensor, value: Tensor, _: int, __: int, inner: Tensor, ___: Tensor, outer: Tensor, *____: object,
    made: object,
) -> Product:  # fmt: skip
    """Projections (3 size, size) and (size, size) around attention; query (N, queries, size), key (N, keys, size)."""
    size, pairs = query.shape[-1], query[..., 0].numel() * key.shape[-2]
    projected = size * size * (2 * query[..., 0].numel() + key[..., 0].numel() + value[..., 0].numel())
    return Product(projected + 2 * pairs * size, (query, key, value, inner, outer))


def _encoder(x: Tensor, size: int, heads: int, *rest: object, made: object) -> Product:
    """A whole layer of an encoder: attention of x (N, length, size) to itself, and two linear layers."""
    weights = [t for t in rest if isinstance(t, Tensor) and t.ndim == 2]
    inner, outer, up, down = weights[:4]
    attended = _heads(x, x, x, size, heads, inner, inner, outer, made=made)
    fed = x[..., 0].numel() * (up.numel() + down.numel())
    return Product(attended.macs + fed, (x, *weights[:4]))


def _recurrent(steps: int, x: Tensor, weights: Sequence[Tensor]) -> Product:
    """Every weight matrix (gates, in) once in each step of each example."""
    matrices = tuple(w for w in weights if w.ndim == 2)
    return Product(steps * sum(w.numel() for w in matrices), (x, *matrices))


def _layer(x: Tensor, inside: Tensor, over: Tensor, *_: object, made: object) -> Product:
    """One layer in one direction, x (time, N, in)."""
    return _recurrent(x[..., 0].numel(), x, (inside, over))


def _network(x: Tensor, _: object, third: Sequence[Tensor], fourth: object, *__: object, made: object) -> Product:
    """All layers: x (time, N, in), state, weights; or packed steps (steps, in), their sizes, state, weights."""
    weights = fourth if isinstance(fourth, list | tuple) else third
    return _recurrent(x[..., 0].numel(), x, [w for w in weights if isinstance(w, Tensor)])


def _device(x: Tensor, weights: Sequence[Tensor], *_: object, made: object) -> Product:
    """All layers as a device's library runs them."""
    return _recurrent(x[..., 0].numel(), x, weights)


def _cell(x: Tensor, _: object, inside: Tensor, over: Tensor, *__: object, made: object) -> Product:
    """One step, x (N, in) or (in,)."""
    return _recurrent(x[..., 0].numel(), x, (inside, over))


def _three(
    a: Tensor, b: Tensor, c: Tensor, at_a: Sequence[int], at_b: Sequence[int], at_c: Sequence[int], *_: object, made: object
) -> Product:
    """A bilinear layer: one for each term of the sum, of which two factors are multiplied with a weight."""
    shapes = []
    for tensor, axes in ((a, at_a), (b, at_b), (c, at_c)):
        shape = list(tensor.shape)
        for axis in axes:
            shape.insert(axis, 1)
        shapes.append(tuple(shape))
    return Product(prod(max(sizes) for sizes in zip(*shapes, strict=True)), (a, b, c))


_NAMES: dict[Formula, str] = {
    _matrices: "mm bmm _int_mm _scaled_mm",
    _added: "addmm baddbmm addbmm _addmm_activation",
    _broadcast: "matmul",
    _vector: "mv dot vdot",
    _added_vector: "addmv",
    _outer: "addr",
    _linear: "linear mkldnn_linear _weight_int8pack_mm",
    _forward: "conv1d conv2d conv3d cudnn_convolution cudnn_convolution_relu miopen_convolution miopen_depthwise_convolution "
    "mkldnn_convolution _slow_conv2d_forward slow_conv3d_forward _conv_depthwise2d conv_depthwise3d slow_conv_dilated2d "
    "slow_conv_dilated3d",
    _transposed: "conv_transpose1d conv_transpose2d conv_transpose3d cudnn_convolution_transpose miopen_convolution_transpose "
    "slow_conv_transpose2d slow_conv_transpose3d",
    _convolution: "convolution _convolution convolution_overrideable",
    _time_first: "conv_tbc",
    _attention: "scaled_dot_product_attention _scaled_dot_product_attention_math _scaled_dot_product_attention_math_for_mps "
    "_scaled_dot_product_flash_attention _scaled_dot_product_flash_attention_for_cpu _scaled_dot_product_cudnn_attention "
    "_scaled_dot_product_efficient_attention _scaled_dot_product_fused_attention_overrideable",
    _heads: "_native_multi_head_attention _triton_multi_head_attention",
    _encoder: "_transformer_encoder_layer_fwd",
    _layer: "mkldnn_rnn_layer",
    _network: "lstm gru rnn_tanh rnn_relu",
    _device: "_cudnn_rnn miopen_rnn",
    _cell: "lstm_cell gru_cell rnn_tanh_cell rnn_relu_cell",
    _three: "_trilinear",
}  # fmt: skip

FORMULAS = {f"aten.{name}": formula for formula, names in _NAMES.items() for name in names.split()}
"""By the operator's name without its overload, of those that write in place without the underscore."""
FORMULAS["torchvision.deform_conv2d"] = _forward
