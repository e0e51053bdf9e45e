"""Files of datasets on the Hugging Face hub, at a fixed commit: fetched once, kept in the hub's own cache and checked.

HF_ENDPOINT, HF_HUB_OFFLINE, HF_HOME, HF_TOKEN and proxies have the meaning that huggingface_hub gives them.
"""

import contextlib
import importlib
import logging
import os
import re
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from engine.data.download import OTHERWISE, SHOWN_CHARACTERS
from engine.support import cache_folder
from engine.support.command import install_extra
from engine.support.errors import UserError, first_line
from engine.support.files import AnyPath, read_json, remove_stale, sha256_of, write_json
from engine.support.progress_bar import on_terminal

KIND = "dataset"


def hub_folder(cache_dir: AnyPath | None = None) -> Path:
    """The folder of the hub's files: folder hub of --cache-dir, else that of all files that huggingface_hub keeps."""
    return Path(cache_dir) / "hub" if cache_dir else Path(hub_library().constants.HF_HUB_CACHE)


def repository_folder(repository: str, cache_dir: AnyPath | None = None) -> Path:
    """The folder of all that is kept of a repository."""
    return Path(hub_folder(cache_dir), hub_library().file_download.repo_folder_name(repo_id=repository, repo_type=KIND))


def cached_file(repository: str, revision: str, file: str, cache_dir: AnyPath | None = None) -> Path | None:
    """Path of a file that is kept, or None, without network access."""
    hub, folder = hub_library(), hub_folder(cache_dir)
    try:
        found = hub.try_to_load_from_cache(repository, file, folder, revision, KIND)
    except OSError as error:
        raise UserError(f"{folder}: cannot be read ({error.strerror}); check its permissions") from None
    return Path(found) if isinstance(found, str) else None  # it may also be a mark that there is no such file


def fetch_file(repository: str, revision: str, file: str, cache_dir: AnyPath | None = None) -> Path:
    """Path of a file of a dataset at a commit (all 40 digits), fetched at first use.

    Raises UserError when it cannot be fetched, and when its bytes are not those that the hub announced, or not those of
    its first download.
    """
    record, key = digests_file(cache_dir), f"{repository}@{revision}/{file}"
    first = read_digests(record).get(key)
    path = cached_file(repository, revision, file, cache_dir)
    if path is None:
        path = download(repository, revision, file, cache_dir)
        remove_stale(path.resolve().parent.glob(f"{path.resolve().name}*.incomplete"))  # of downloads that were killed
        digest, announced = digest_of(path), announced_digest(path)
        if announced not in (None, digest):
            discard(path)
            raise UserError(
                f"{repository}, {file}: what {endpoint()} sent is not what it announced (wrong sha256); "
                "nothing was kept:"
                f" run again, look into HF_ENDPOINT, {OTHERWISE}"
            )
        if first not in (None, digest):
            discard(path)
            raise UserError(
                f"{repository}, {file}: what {endpoint()} sends is not what it sent at the first download "
                f"(sha256 {digest} instead of {first}); nothing was kept: look into HF_ENDPOINT, "
                f"delete {record} to trust it, {OTHERWISE}"
            )
    else:
        digest = digest_of(path)
        if (first or announced_digest(path)) not in (None, digest):
            raise damaged(path, "its bytes have changed (wrong sha256)", repository, cache_dir)
    if first is None:
        with contextlib.suppress(OSError, UserError):  # it cannot be written: the next download is then the first
            record.parent.mkdir(parents=True, exist_ok=True)
            write_json(record, {**read_digests(record), key: digest})
    return path


def digests_file(cache_dir: AnyPath | None) -> Path:
    """The file that keeps the SHA-256 of each file at its first download; it outlives the hub's own folder."""
    return Path(cache_dir or cache_folder.user_folder()) / "hub-digests.json"


def read_digests(record: Path) -> dict[str, str]:
    """{"repository@commit/file": SHA-256} of first downloads. UserError where the file is damaged."""
    try:
        return read_json(record) if record.exists() else {}
    except UserError:
        raise UserError(
            f"{record}: the digests of first downloads cannot be read (no JSON object); "
            "delete the file to trust what is there now"
        ) from None


def download(repository: str, revision: str, file: str, cache_dir: AnyPath | None) -> Path:
    """Let huggingface_hub fetch a file into its cache; returns the path.

    UserError, in one line, for whatever goes wrong.
    """
    hub = hub_library()
    try:
        with quiet():
            # Asked first, and once: where no hub answers, hf_hub_download would try again for minutes.
            address = hub.hf_hub_url(repository, file, repo_type=KIND, revision=revision)
            if hub.get_hf_file_metadata(address, timeout=hub.constants.HF_HUB_ETAG_TIMEOUT).commit_hash is None:
                raise ConnectionError("no Hugging Face hub answers there")
            return Path(
                hub.hf_hub_download(
                    repository, file, repo_type=KIND, revision=revision, cache_dir=hub_folder(cache_dir)
                )
            )
    # of two HTTP libraries (one until version 1, another since 2), of xet, of the file system
    except Exception as error:
        raise UserError(f"{repository}, {file}: {explain(error, hub_folder(cache_dir))}, {OTHERWISE}") from error


def explain(error: Exception, folder: Path) -> str:
    """The reason why a file was not fetched, and a remedy. folder: the cache."""
    status = getattr(getattr(error, "response", None), "status_code", None)
    if isinstance(error, hub_library().errors.OfflineModeIsEnabled):
        return f"HF_HUB_OFFLINE is set, and {folder} does not hold the file; unset it"
    if status in (401, 403):
        return (
            f"{endpoint()} refuses access ({status}); set HF_TOKEN to a valid token or unset it, "
            "accept the terms on the dataset's page"
        )
    if status == 404:
        return f"{endpoint()} has no such file (404); look into HF_ENDPOINT"
    if status is not None:
        return f"{endpoint()} answers with error {status}; try again later"
    reason = first_line(error)[:SHOWN_CHARACTERS]
    if isinstance(error, OSError | RuntimeError) and not isinstance(error, ConnectionError):
        if isinstance(error, OSError) and error.errno is not None:
            return (
                f"cannot be written into {folder} ({error.strerror}); free some space, "
                "name another folder (--cache-dir)"
            )
        return f"the download failed ({reason}); run again"
    return (
        f"cannot be fetched from {endpoint()} ({reason}); connect to the network, "
        "set HF_ENDPOINT or a proxy (HTTPS_PROXY)"
    )


def digest_of(path: Path) -> str:
    """sha256_of() a kept file; UserError where it cannot be read."""
    try:
        return sha256_of(path)
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror}); check its permissions") from None


def announced_digest(path: Path) -> str | None:
    """The SHA-256 that the hub announced: the cache names a kept file by it.

    None where it is not named so: small files outside of git-lfs, and file systems without symbolic links.
    """
    name = os.path.basename(os.readlink(path)) if path.is_symlink() else ""
    return name if re.fullmatch("[0-9a-f]{64}", name) else None


def discard(path: Path) -> None:
    """Take a file out of the cache: where it is a link in the snapshot, also what it points to."""
    for one in (path.resolve(), path):
        one.unlink(missing_ok=True)


def damaged(path: Path, reason: object, repository: str, cache_dir: AnyPath | None) -> UserError:
    """The UserError for a kept file that cannot be used."""
    folder = repository_folder(repository, cache_dir)
    return UserError(
        f"{path}: the cached file is damaged, {reason}; delete the folder {folder} and run again to fetch it anew"
    )


def endpoint() -> str:
    return str(hub_library().constants.ENDPOINT)


def hub_library() -> Any:
    """The module huggingface_hub. UserError where it is missing, or cannot read one of its variables (HF_…)."""
    try:
        for part in ("constants", "errors", "file_download"):
            importlib.import_module(f"huggingface_hub.{part}")
        return importlib.import_module("huggingface_hub")
    except (ImportError, ValueError) as error:
        raise UserError(
            f"huggingface_hub is needed for the hub and cannot be imported ({first_line(error)});"
            f" run {install_extra('hub')}, and check the environment variables HF_…"
        ) from None


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Silence the log, the warnings and, but on a terminal, the bars of huggingface_hub: an error is one line."""
    logger, bars = logging.getLogger("huggingface_hub"), importlib.import_module("huggingface_hub.utils")
    level, hidden = logger.level, not (on_terminal() or bars.are_progress_bars_disabled())
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            if hidden:
                bars.disable_progress_bars()
            yield
    finally:
        logger.setLevel(level)
        if hidden:
            bars.enable_progress_bars()
