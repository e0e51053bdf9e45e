"""Connect a sweep to a Dask scheduler, and compare the versions of this project and of packages at both ends."""

import asyncio
import contextlib
import warnings
from collections.abc import Iterator, Mapping
from typing import Any

from engine import __version__
from engine.support.command import install_extra
from engine.support.errors import UserError, first_line
from engine.sweep.cluster_worker import versions

CONNECT_SECONDS = 5


@contextlib.contextmanager
def connected(address: str) -> Iterator[Any]:
    """A distributed.Client of the scheduler at an address. UserError where Dask is missing or does not answer."""
    try:
        import dask

        # Its messages would stand between ours, which say the same.
        quiet = dict.fromkeys(("distributed", "distributed.client"), "critical")
        dask.config.set({"logging": quiet, "distributed.comm.timeouts.connect": f"{CONNECT_SECONDS}s"})
        import distributed
    except ImportError as error:
        raise UserError(
            f"--scheduler {address}: needs Dask, which cannot be imported ({error}); run {install_extra('cluster')}"
        ) from None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of versions that differ
        try:
            asyncio.run(try_to_connect(address))  # a Client that cannot takes as long again to give up
            client = distributed.Client(address, timeout=CONNECT_SECONDS, set_as_default=False)
        except (OSError, asyncio.TimeoutError, ValueError) as error:
            raise UserError(
                f"--scheduler {address}: cannot be reached ({first_line(error)}); start one with `dask scheduler` "
                "and give the address that it prints, such as tcp://HOST:8786"
            ) from None
        try:
            require_project(client, address)
            yield client
        finally:
            with contextlib.suppress(Exception):
                client.close()


async def try_to_connect(address: str) -> None:
    """Open a connection to a scheduler and close it. Raises OSError or ValueError where that fails."""
    from distributed import Security
    from distributed.comm import connect

    comm = await connect(address, timeout=CONNECT_SECONDS, **Security().get_connection_args("client"))
    await comm.close()


def require_project(client: Any, address: str) -> None:
    """Raise UserError unless the scheduler has this project, which it needs to read the tasks, in this version."""
    try:
        why = difference(versions(), client.run_on_scheduler(versions))
    except Exception as error:  # of the scheduler
        why = cannot_import(error, "dask scheduler")
    if why:
        raise UserError(f"--scheduler {address}: it {why}")


def cannot_import(error: BaseException, command: str) -> str:
    """What is wrong where a function of this project could not be called, in a line. command: starts what called it."""
    return (
        f"cannot import this project ({first_line(error)}); "
        f"install wave-network {__version__} in the environment of `{command}`"
    )


def difference(here: Mapping[str, str], there: Mapping[str, str]) -> str | None:
    """What a worker has in other versions than the sweep, in a line; None if nothing."""
    names = [name for name in here if here[name] != there.get(name)]
    if not names:
        return None
    theirs, ours = (", ".join(f"{name} {found.get(name)}" for name in names) for found in (there, here))
    return f"has {theirs}, the sweep {ours}; install the same versions on both"
