"""An emulated device: the arrays of device_stand_in.py, on which kernels run by emulation; counts what waits."""

import contextlib
import sys
import types

import numpy as np

from engine.cuda.kernels import function_of, loaded
from tests.support.device_stand_in import DeviceArray, StandInModule, on_device, to_stand_in
from tests.support.emulation import Emulator, marked, marked_like

waits = []  # names of the functions that read a number of the device on the host: each would stall a GPU


class Address:
    def __init__(self, host):
        self.ptr = host.ctypes.data


def waiting(name, read):
    def call(self, *args):
        waits.append(name)
        return read(self.host, *args)

    return call


def give_readers(monkeypatch):
    """The ways from the device to the host, each of which is counted; and the address of an array."""
    readers = {
        "get": lambda host: host, "item": np.ndarray.item, "tolist": np.ndarray.tolist,
        "__int__": int, "__float__": float, "__bool__": bool, "__index__": lambda host: int(host),
    }  # fmt: skip
    for name, read in readers.items():
        monkeypatch.setattr(DeviceArray, name, waiting(name, read), raising=False)
    monkeypatch.setattr(DeviceArray, "data", property(lambda self: Address(self.host)), raising=False)


class EmulatedModule(StandInModule):
    """CuPy as far as this project uses it. emulator: runs the kernels. New memory is marked as in emulation.py."""

    def __init__(self, emulator):
        super().__init__("cupy")
        self.emulator, self.__version__ = emulator, "emulated"
        self.random = types.SimpleNamespace(Generator=RandomNumbers, Philox4x3210=lambda key: np.random.Philox(key=key))

    def asarray(self, x, dtype=None):
        """Take an array of the host or of the device, as CuPy does."""
        if isinstance(x, DeviceArray) and dtype in (None, x.dtype):
            return x
        return DeviceArray(np.array(x.host if isinstance(x, DeviceArray) else x, dtype))

    def empty(self, shape, dtype=float):
        return DeviceArray(marked(shape, dtype))

    def empty_like(self, x, dtype=None):
        return DeviceArray(marked_like(x.host, dtype))

    def RawModule(self, code, options):  # noqa: N802 (CuPy's name)
        dtype = np.dtype({"-DREAL=float": np.float32, "-DREAL=double": np.float64}[options[0]])
        file = types.SimpleNamespace(source=lambda: code, path=types.SimpleNamespace(stem="raw", name="raw.cu"))

        def get_function(name):
            def launch(blocks, threads, arguments):
                host = [a.host if isinstance(a, DeviceArray) else a for a in arguments]
                self.emulator.launch(file, name, dtype, blocks, threads, host)

            return launch

        return types.SimpleNamespace(get_function=get_function)

    def get_default_memory_pool(self):
        return types.SimpleNamespace(total_bytes=lambda: 12345, used_bytes=lambda: 1234)


class RandomNumbers:
    """cupy.random.Generator."""

    def __init__(self, bits):
        self.generator = np.random.Generator(bits)

    def random(self, shape, dtype):
        return DeviceArray(self.generator.random(shape, dtype=dtype))


@contextlib.contextmanager
def emulated_device(folder, monkeypatch):
    """Device "cuda" is usable while the context lasts. Yields the emulator, whose `waits` list what would stall."""
    with monkeypatch.context() as patched:
        emulator = Emulator(folder)
        emulator.waits = waits
        patched.setitem(sys.modules, "cupy", EmulatedModule(emulator))
        core = types.ModuleType("cupy._core")
        core._routines_linalg = types.SimpleNamespace(
            COMPUTE_TYPE_DEFAULT=1,
            COMPUTE_TYPE_TF32=7,
            get_compute_type=lambda dtype: 1,
            set_compute_type=lambda dtype, kind: None,
        )
        patched.setitem(sys.modules, "cupy._core", core)
        give_readers(patched)
        waits.clear()
        forget_modules()
        yield emulator
    forget_modules()


def forget_modules():
    """Forget compiled kernels, which belong to one device."""
    loaded.cache_clear()
    function_of.cache_clear()


__all__ = ["DeviceArray", "emulated_device", "on_device", "to_stand_in"]
