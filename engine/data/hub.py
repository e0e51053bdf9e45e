"""Files of datasets on the Hugging Face hub: fetched once at a given commit, kept in the hub's own cache, checked.

HF_ENDPOINT, HF_HUB_OFFLINE, HF_HOME, HF_TOKEN and proxies have the meaning that huggingface_hub gives them.
"""

import contextlib
import importlib
import logging
import os
import re
import warnings
from pathlib import Path

from engine.data.download import OTHERWISE, SHOWN_CHARACTERS
from engine.errors import UserError, first_line
from engine.files import sha256_of

KIND = "dataset"


def hub_folder(cache_dir=None):
    """Where the hub's files are kept: in folder hub of --cache-dir, else where huggingface_hub keeps all its files."""
    return Path(cache_dir) / "hub" if cache_dir else Path(hub_library().constants.HF_HUB_CACHE)


def repository_folder(repository, cache_dir=None):
    """The folder of all that is kept of a repository."""
    return hub_folder(cache_dir) / hub_library().file_download.repo_folder_name(repo_id=repository, repo_type=KIND)


def cached_file(repository, revision, file, cache_dir=None):
    """Path of a file that is kept, or None. Asks no network."""
    hub, folder = hub_library(), hub_folder(cache_dir)
    try:
        found = hub.try_to_load_from_cache(repository, file, folder, revision, KIND)
    except OSError as error:
        raise UserError(f"{folder}: cannot be read ({error.strerror}); check its permissions") from None
    return Path(found) if isinstance(found, str) else None  # it may also be a mark that there is no such file


def fetch_file(repository, revision, file, cache_dir=None):
    """Path of a file of a dataset at a commit (all 40 digits), fetched at first use.

    Raises UserError when it cannot be fetched, and when its bytes are not those that the hub announced.
    """
    path = cached_file(repository, revision, file, cache_dir)
    if path is None:
        path = download(repository, revision, file, cache_dir)
        if not is_intact(path):
            discard(path)
            raise UserError(
                f"{repository}, {file}: what {endpoint()} sent is not what it announced (wrong sha256); nothing was kept:"
                f" run again, look into HF_ENDPOINT, {OTHERWISE}"
            )
    elif not is_intact(path):
        raise damaged(path, "its bytes have changed (wrong sha256)", repository, cache_dir)
    return path


def download(repository, revision, file, cache_dir):
    """Let huggingface_hub fetch a file into its cache; returns the path. UserError, in one line, for whatever goes wrong."""
    hub = hub_library()
    try:
        with quiet():
            # Asked first, and once: where no hub answers, hf_hub_download would try again for minutes.
            address = hub.hf_hub_url(repository, file, repo_type=KIND, revision=revision)
            if hub.get_hf_file_metadata(address, timeout=hub.constants.HF_HUB_ETAG_TIMEOUT).commit_hash is None:
                raise ConnectionError("no Hugging Face hub answers there")
            return Path(hub.hf_hub_download(repository, file, repo_type=KIND, revision=revision, cache_dir=hub_folder(cache_dir)))
    except Exception as error:  # of two HTTP libraries (one until version 1, another since 2), of xet, of the file system
        raise UserError(f"{repository}, {file}: {explain(error, hub_folder(cache_dir))}, {OTHERWISE}") from error


def explain(error, folder):
    """Why a file was not fetched, and a remedy. folder: the cache."""
    status = getattr(getattr(error, "response", None), "status_code", None)
    if isinstance(error, hub_library().errors.OfflineModeIsEnabled):
        return f"HF_HUB_OFFLINE is set, and {folder} does not hold the file; unset it"
    if status in (401, 403):
        return f"{endpoint()} refuses access ({status}); set HF_TOKEN to a valid token or unset it, accept the terms on the dataset's page"
    if status == 404:
        return f"{endpoint()} has no such file (404); look into HF_ENDPOINT"
    if status is not None:
        return f"{endpoint()} answers with error {status}; try again later"
    reason = first_line(error)[:SHOWN_CHARACTERS]
    if isinstance(error, OSError | RuntimeError) and not isinstance(error, ConnectionError):
        if getattr(error, "errno", None) is not None:
            return f"cannot be written into {folder} ({error.strerror}); free some space, name another folder (--cache-dir)"
        return f"the download failed ({reason}); run again"
    return f"cannot be fetched from {endpoint()} ({reason}); connect to the network, set HF_ENDPOINT or a proxy (HTTPS_PROXY)"


def is_intact(path):
    """Whether the sha256 of a kept file is that in the name under which the cache keeps it.

    Always true where it is not named so: small files outside of git-lfs, and file systems without symbolic links.
    """
    name = os.path.basename(os.readlink(path)) if path.is_symlink() else ""
    if not re.fullmatch("[0-9a-f]{64}", name):
        return True
    try:
        return sha256_of(path) == name
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror}); check its permissions") from None


def discard(path):
    """Take a file out of the cache: the link in the snapshot, and what it points to."""
    target = path.parent / os.readlink(path)
    for one in (path, target):
        one.unlink(missing_ok=True)


def damaged(path, reason, repository, cache_dir):
    """The UserError for a kept file that cannot be used."""
    folder = repository_folder(repository, cache_dir)
    return UserError(f"{path}: the cached file is damaged, {reason}; delete the folder {folder} and run again to fetch it anew")


def endpoint():
    return hub_library().constants.ENDPOINT


def hub_library():
    """The module huggingface_hub. UserError where it is missing, or cannot read one of its variables (HF_…)."""
    try:
        for part in ("constants", "errors", "file_download"):
            importlib.import_module(f"huggingface_hub.{part}")
        return importlib.import_module("huggingface_hub")
    except (ImportError, ValueError) as error:
        raise UserError(
            f"huggingface_hub fetches this corpus and cannot be imported ({first_line(error)});"
            " run pip install -e '.[hub]', and check the environment variables HF_…"
        ) from None


@contextlib.contextmanager
def quiet():
    """Without the log and the warnings of huggingface_hub: an error is one line, and bars tell of progress."""
    logger = logging.getLogger("huggingface_hub")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)
