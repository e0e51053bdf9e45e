"""The commands export and hub."""

from pathlib import Path

import click

from engine.commands.options import Project, cache_option, json_option, to_json
from engine.serving.export import PRECISIONS, export_run, save_weights
from engine.support.output import echo


def export_command(project: Project) -> click.Command:
    """The command export for the networks of a Project."""

    @click.command()
    @click.argument("run_dir", type=click.Path())
    @click.option("--to", type=click.Path(), metavar="DIR", required=True, help="A new folder.")
    @click.option(
        "--format",
        "form",
        type=click.Choice(["weights", "onnx", "hub"]),
        default="weights",
        show_default=True,
        help="weights; onnx: model.onnx in their place; hub: weights and a model card.",
    )
    @click.option(
        "--weights",
        "precision",
        type=click.Choice(PRECISIONS),
        help="Precision of the weights.  [default: float16; float32 with onnx]",
    )
    @cache_option
    @json_option
    def export(run_dir: str, to: str, form: str, precision: str | None, cache_dir: str | None, as_json: bool) -> None:
        """Write the best weights of RUN_DIR, its vocabulary, settings and results into a new folder.

        The commands predict, evaluate and describe open it like RUN_DIR. How many labels of the validation and test
        texts change is counted where these texts are at hand.
        """
        if form == "onnx" and precision == "float16":
            raise click.UsageError("--format onnx has weights in float32; leave --weights out")
        write = project.save_onnx if form == "onnx" else save_weights(precision or "float16")
        if form == "hub":
            from engine.serving.card import with_card

            write = with_card(write, precision or "float16")
        _, changes = export_run(run_dir, to, project.configs, project.build_network, write, cache_dir)
        sizes = {str(path): bytes_in(path) for path in (to, run_dir)}
        if as_json:
            counts = {change.split: change._asdict() for change in changes}
            echo(to_json({"folder": to, "bytes": sizes[to], "run_bytes": sizes[run_dir], "labels": counts}))
            return
        echo(f"{to}: {sizes[to] / 1e6:,.1f} MB, instead of {sizes[run_dir] / 1e6:,.1f} MB in {run_dir}")
        counted = [f"{change.changed:,} of {change.texts:,} {change.split}" for change in changes]
        echo(
            f"labels that change: {' and '.join(counted)} labels"
            if counted
            else "labels that change were not counted: the texts of the run are not at hand"
        )
        if changes:
            echo(f"largest difference of a probability: {max(c.largest_difference for c in changes):.1e}")

    return export


def bytes_in(folder: str) -> int:
    """The bytes of all files in a folder; those of files that are linked, once."""
    found = [path.stat() for path in Path(folder).rglob("*") if path.is_file()]
    return sum({(file.st_dev, file.st_ino): file.st_size for file in found}.values())


def hub_command(project: Project) -> click.Group:
    """The commands hub push and hub pull for the networks of a Project."""

    @click.group()
    def hub() -> None:
        """Push an exported network to the Hugging Face hub, or pull one (extra hub)."""

    @hub.command()
    @click.argument("folder", type=click.Path())
    @click.argument("repository", metavar="OWNER/NAME")
    @click.option("--private", is_flag=True, help="Make a new repository private.")
    def push(folder: str, repository: str, private: bool) -> None:
        """Upload a FOLDER that export --format hub has written.

        HF_TOKEN gives the right to. A repository that does not exist is made.
        """
        from engine.serving.hub import push as push_folder

        echo(push_folder(folder, repository, project.configs, project.build_network, private))

    @hub.command()
    @click.argument("repository", metavar="OWNER/NAME")
    @click.option("--to", type=click.Path(), metavar="DIR", required=True, help="A new folder.")
    @click.option("--revision", metavar="NAME", help="Branch, tag or commit.  [default: the newest]")
    def pull(repository: str, to: str, revision: str | None) -> None:
        """Fetch an exported network into DIR, which predict opens."""
        from engine.serving.hub import pull as pull_folder

        pull_folder(repository, to, project.configs, project.build_network, revision)
        echo(f"{repository} is in {to}; try: predict {to} TEXT")

    return hub
