"""A device without a device: the stand-in's arrays, on which the kernels run by emulation, and which counts what waits for it."""

import contextlib
import sys
import types

import numpy as np

from engine.cuda.kernels import function_of, loaded
from tests.support.device_stand_in import DeviceArray, StandInModule, on_device, to_stand_in
from tests.support.emulation import Emulator

waits = []  # what read a number of the device on the host: each would stall a GPU


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
    """CuPy as far as this project uses it. emulator: what runs the kernels."""

    def __init__(self, emulator):
        super().__init__("cupy")
        self.emulator, self.__version__ = emulator, "emulated"
        self.random = types.SimpleNamespace(Generator=RandomNumbers, Philox4x3210=lambda key: np.random.Philox(key=key))

    def asarray(self, x, dtype=None):
        """Of the host or the device, as CuPy takes both."""
        return (
            x
            if isinstance(x, DeviceArray) and dtype in (None, x.dtype)
            else DeviceArray(np.array(x.host if isinstance(x, DeviceArray) else x, dtype))
        )

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
    """Device "cuda" is usable while the context lasts. Yields the emulator, whose `waits` list what stalled."""
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
    """Compiled kernels belong to one device."""
    loaded.cache_clear()
    function_of.cache_clear()


__all__ = ["DeviceArray", "emulated_device", "on_device", "to_stand_in"]
