"""Array types, named once. Arrays are NumPy's or CuPy's; exact shapes stand in the docstrings."""

from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

Array: TypeAlias = npt.NDArray[Any]
Floats: TypeAlias = npt.NDArray[np.floating[Any]]  # of any shape, 0-d too
Floats1d: TypeAlias = npt.NDArray[np.floating[Any]]
Floats2d: TypeAlias = npt.NDArray[np.floating[Any]]
Floats3d: TypeAlias = npt.NDArray[np.floating[Any]]
Ints1d: TypeAlias = npt.NDArray[np.integer[Any]]
Ints2d: TypeAlias = npt.NDArray[np.integer[Any]]
Bools: TypeAlias = npt.NDArray[np.bool_]  # of any shape
Offsets: TypeAlias = npt.NDArray[np.int64]  # (B + 1,): where texts begin and end
