"""Exported networks on the Hugging Face hub: push a folder, pull one.

HF_TOKEN (or a login of huggingface_hub), HF_ENDPOINT and proxies have the meaning that huggingface_hub gives them.
"""

import shutil
from typing import Any

from engine.data.hub import endpoint, hub_library, quiet
from engine.serving.export import CARD, FETCHED, FILES, STATE, being_filled
from engine.support.errors import UserError, first_line
from engine.support.files import AnyPath
from engine.training.run_directory import RunDirectory
from engine.training.run_settings import NetworkClasses
from engine.training.trained_run import BuildNetwork, open_run


def push(
    folder: AnyPath, repository: str, network_classes: NetworkClasses, build_network: BuildNetwork, private: bool
) -> str:
    """Upload an exported folder into a repository OWNER/NAME of models, made where it does not exist.

    Returns the address of the commit. UserError for a folder that is none or damaged, or has no card, and where the hub
    refuses.
    """
    directory = RunDirectory.open(folder)
    if not directory.is_exported() or not (directory.path / CARD).is_file():
        raise UserError(f"{folder}: has no model card; make one with: export {folder} --format hub --to DIR")
    open_run(folder, network_classes, build_network)
    api = hub_library().HfApi()
    try:
        with quiet():
            api.create_repo(repository, private=private, exist_ok=True)
            commit = api.upload_folder(
                repo_id=repository,
                folder_path=directory.path,
                allow_patterns=list(FILES),
                commit_message="Upload a network",
            )
    except Exception as error:  # of HTTP libraries, of xet, of the file system
        raise UserError(f"{repository}: {reason(error)}") from error
    return str(commit.commit_url)


def pull(
    repository: str,
    to: AnyPath,
    network_classes: NetworkClasses,
    build_network: BuildNetwork,
    revision: str | None = None,
) -> None:
    """Fetch an exported network from a repository of models into a new folder, and see that it opens.

    UserError where it cannot be fetched, and where it is no such network; nothing is then kept. After a kill it begins
    anew.
    """
    with being_filled(to) as directory:
        api, fetched = hub_library().HfApi(), directory.path / FETCHED  # a new folder: an old one does without a hub
        try:
            with quiet():
                api.snapshot_download(repository, revision=revision, local_dir=fetched, allow_patterns=list(FILES))
            # The state last: without it the folder is none.
            for path in sorted(fetched.glob("*"), key=lambda path: path.name == STATE):
                if path.name in FILES:
                    path.rename(directory.path / path.name)
        except Exception as error:
            raise UserError(f"{repository}: {reason(error)}") from error
        shutil.rmtree(fetched, ignore_errors=True)
        try:
            open_run(to, network_classes, build_network)
        except UserError as error:
            raise UserError(
                f"{repository}: holds no network that can be opened here ({error}); nothing was kept"
            ) from None


def reason(error: Any) -> str:
    """Why the hub did not do what it was asked to, and a remedy."""
    found = (getattr(each, "response", None) for each in (error, error.__cause__))
    status = next((response.status_code for response in found if response is not None), None)
    remedies = {
        401: "set HF_TOKEN to a valid token with the right to write",
        403: "set HF_TOKEN to a token with the right to this repository",
        404: "see to the name OWNER/NAME and the revision; a private repository needs HF_TOKEN",
    }
    if status is not None:
        return f"{endpoint()} answers with error {status}; {remedies.get(status, 'try again later')}"
    remedy = "connect to the network, see to the name OWNER/NAME, set HF_ENDPOINT or a proxy (HTTPS_PROXY)"
    return f"{endpoint()} cannot be used ({first_line(error)}); {remedy}"
