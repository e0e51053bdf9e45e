"""One process at a time: a lock on a file that vanishes with the process that holds it, however that ends."""

import contextlib
import errno
import os

from engine.errors import UserError

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None
    import msvcrt

FAR = 2**30  # Windows locks bytes, which nobody else can then read: one that the empty file does not have
HELD_BY_ANOTHER = {errno.EWOULDBLOCK, errno.EAGAIN, errno.EACCES}


@contextlib.contextmanager
def locked(path, taken):
    """Within this context no other process has the lock of the file `path`, which is made for it and then removed.

    UserError with the text `taken` where another has it, and where the file cannot be made.
    """
    file = open_locked(path, taken)
    try:
        yield
    finally:
        with contextlib.suppress(OSError):
            path.unlink()  # while it is held, so that it is not the file of the next
        file.close()
        if fcntl is None:
            with contextlib.suppress(OSError):
                path.unlink()  # Windows removes nothing that is open


def open_locked(path, taken):
    """The open file that locked() holds."""
    while True:
        try:
            file = open(path, "ab")
        except OSError as error:
            raise UserError(f"{path}: cannot be written ({error.strerror}); see to the permissions of its folder, and that it exists") from error
        if not lock(file):
            file.close()
            raise UserError(taken)
        with contextlib.suppress(FileNotFoundError):
            if os.path.samestat(os.fstat(file.fileno()), os.stat(path)):
                return file
        file.close()  # its holder has removed it between the two


def lock(file):
    """Lock an open file unless another process has: whether it did not. A file system that knows no locks hinders nobody."""
    try:
        if fcntl is None:
            file.seek(FAR)
            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
        else:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        return error.errno not in HELD_BY_ANOTHER
    return True
