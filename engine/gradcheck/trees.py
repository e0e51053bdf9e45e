"""Arguments and results as trees: an array, or a tuple, NamedTuple or list of trees. Every leaf has a readable name.

A complex array counts as the pair of its real and imaginary parts, so that all inner products and norms are those of
real vectors: Re(conj(a)·b) = Re a·Re b + Im a·Im b.

What backward returned and left in the parameters, laid beside the blocks it belongs to.
"""

import numpy as np

from engine.arrays.backend import array_module, to_host

FLOATS = (np.dtype(np.float64), np.dtype(np.complex128))


def leaves(tree, name):
    """[(name, leaf)] of a tree: "input 1" for a leaf, "input 1.re" for a NamedTuple's field, "input 1[0]" for a tuple's."""
    if not isinstance(tree, (tuple, list)):
        return [(name, tree)]
    fields = getattr(tree, "_fields", None)
    names = [f"{name}.{f}" for f in fields] if fields else [f"{name}[{i}]" for i in range(len(tree))]
    return [leaf for part, part_name in zip(tree, names) for leaf in leaves(part, part_name)]


def rebuild(tree, values):
    """A tree of the same form whose leaves are taken from the iterator `values`, in the order of leaves()."""
    if not isinstance(tree, (tuple, list)):
        return next(values)
    parts = [rebuild(part, values) for part in tree]
    return type(tree)(*parts) if hasattr(tree, "_fields") else type(tree)(parts)


def is_float_array(x):
    """Whether x is an array of real or complex floats. NumPy's scalars are settings (an epsilon, say), not arrays."""
    return hasattr(x, "dtype") and hasattr(x, "shape") and not isinstance(x, np.generic) and x.dtype.kind in "fc"


def is_differentiable(tree, name):
    """Whether all leaves are float arrays. Raises ValueError when only some are: such a gradient has no clear form."""
    floats = [is_float_array(leaf) for _, leaf in leaves(tree, name)]
    if any(floats) and not all(floats):
        raise ValueError(
            f"{name}: a tuple that mixes float arrays with other things; pass them apart, or leave it out by wrt="
        )
    return any(floats)


def jiggle(tree, rng):
    """A copy of a cache whose float64 and complex128 entries are changed by a unit or two of rounding; the rest as it is."""
    if isinstance(tree, dict):
        return {key: jiggle(part, rng) for key, part in tree.items()}
    if isinstance(tree, (tuple, list)):
        parts = [jiggle(part, rng) for part in tree]
        return type(tree)(*parts) if hasattr(tree, "_fields") else type(tree)(parts)
    if not is_float_array(tree) or tree.dtype not in FLOATS:
        return tree
    factors = 1.0 + rng.choice([-2.0, 2.0], tree.shape) * float(np.finfo(np.float64).eps)
    return tree * array_module(tree).asarray(factors)


def real_vector(arrays):
    """Arrays of any shape, real or complex, on any device, as one flat float64 vector on the host."""
    parts = [real_parts(to_host_array(a)).ravel() for a in arrays]
    return np.concatenate(parts) if parts else np.zeros(0)


def inner(a, b):
    """The real inner product of two arrays of one shape as a float: of real and imaginary parts alike."""
    a, b = to_host_array(a), to_host_array(b)
    if a.dtype.kind == "c" or b.dtype.kind == "c":
        return float(real_vector([a]) @ real_vector([b]))
    return float(a.ravel() @ b.ravel())


def real_parts(array):
    """A complex128 array as float64 with its two parts along a last axis; a real array as it is."""
    return np.stack([array.real, array.imag], axis=-1) if array.dtype.kind == "c" else array


def to_host_array(x):
    """An array, NumPy scalar or Python float as a NumPy array."""
    return np.asarray(x) if isinstance(x, (np.generic, float, complex, int)) else to_host(x)


def norm(vector):
    """Euclidean norm that neither over- nor underflows on the way."""
    largest = float(np.max(np.abs(vector), initial=0.0))
    if largest == 0.0 or not np.isfinite(largest):
        return largest
    return largest * float(np.sqrt(np.sum((vector / largest) ** 2)))


def count_not_finite(x):
    """How many entries are NaN or infinite."""
    return int(np.size(x) - np.count_nonzero(np.isfinite(x)))


def collect_gradients(returned, point):
    """(gradients, problems): one host array a block (None where it cannot be used), and [(block name, what is wrong)]."""
    found, problems = input_gradients(returned, point)
    found += [p.dense_grad() for p in point.parameters.values()]
    gradients = []
    for block, gradient in zip(point.blocks, found):
        problem = None if gradient is None else what_is_wrong(gradient, block.value)
        if problem:
            problems.append((block.name, problem))
        gradients.append(None if gradient is None or problem else to_host_array(gradient))
    return gradients, problems


def input_gradients(returned, point):
    """The leaves of what backward returned, one an input block (None where the form is wrong), and the problems."""
    expected = len(point.wrt)
    if expected == 0:
        return [], []
    if expected == 1 and not is_tuple_of_one_more_level(returned, point.inputs[point.wrt[0]]):
        returned = (returned,)
    if not isinstance(returned, (tuple, list)) or len(returned) != expected:
        count = (
            f"{len(returned)} gradients" if isinstance(returned, (tuple, list)) else f"one {type(returned).__name__}"
        )
        names = ", ".join(f"input {i}" for i in point.wrt)
        problem = f"returned {count}, expected {expected}, for {names} (wrt= names the differentiated inputs)"
        return [None] * point.input_block_count, [("backward", problem)]
    found, problems = [], []
    for i, gradient in zip(point.wrt, returned):
        wanted, got = leaves(point.inputs[i], f"input {i}"), leaves(gradient, f"input {i}")
        if [name for name, _ in wanted] != [name for name, _ in got]:
            form = (
                ", ".join(name for name, _ in got)
                if isinstance(gradient, (tuple, list))
                else f"one {type(gradient).__name__}"
            )
            problems.append(
                (f"input {i}", f"its gradient must have the parts {', '.join(n for n, _ in wanted)}, got {form}")
            )
            found += [None] * len(wanted)
        else:
            found += [leaf for _, leaf in got]
    for block, gradient in zip(point.blocks, found):
        if gradient is None and not problems:
            problems.append((block.name, "its gradient is None"))
    return found, problems


def is_tuple_of_one_more_level(returned, value):
    """Whether backward wrapped the only gradient in a tuple: (dx,) for x, (dz,) for a pair z."""
    if not isinstance(returned, (tuple, list)) or len(returned) != 1:
        return False
    return len(leaves(value, "")) != 1 or not isinstance(value, (tuple, list)) or isinstance(returned[0], (tuple, list))


def what_is_wrong(gradient, value):
    """Why an array cannot be the gradient of `value`, in words, or None."""
    if not hasattr(gradient, "dtype") or not hasattr(gradient, "shape"):
        return f"its gradient is a {type(gradient).__name__}, expected an array of shape {value.shape}"
    if gradient.shape != value.shape:
        return f"its gradient has shape {gradient.shape}, expected {value.shape}"
    if gradient.dtype != value.dtype:
        return f"its gradient has dtype {gradient.dtype}, expected {value.dtype}"
    bad = count_not_finite(to_host_array(gradient))
    return f"{bad} of {gradient.size} entries of its gradient are NaN or infinite" if bad else None
