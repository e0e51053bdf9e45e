"""The command report: curves and confusions of finished runs as one page."""

import click

from engine.arrays.backend import resolve_device
from engine.commands.options import Project, cache_option, device_option, json_option, make_log, to_json


def report_command(project: Project) -> click.Command:
    """The command report for the networks of a Project."""

    @click.command(short_help="Draw the curves of runs and what they confuse, as a page.")
    @click.argument("run_dirs", nargs=-1, required=True, type=click.Path(), metavar="RUN_DIR...")
    @click.option(
        "--output",
        type=click.Path(),
        metavar="FILE.html",
        default="report.html",
        show_default=True,
        help="File of the page.",
    )
    @device_option()
    @cache_option
    @json_option
    def report(run_dirs: tuple[str, ...], output: str, device: str, cache_dir: str | None, as_json: bool) -> None:
        """Draw loss, accuracy, learning rate and gradient of runs by step, and their confusion matrices, as one page.

        The curves of all runs lie in the same figures, those of equal settings and different seeds as their mean with a
        band. The best checkpoint of each finished run gives its confusion matrix on the test texts, figures by class,
        and the texts it labels wrong with most certainty. Needs matplotlib (extra plots).
        """
        from engine.report.page import require_page, write_page
        from engine.report.summary import as_json_object, as_table, make_report

        require_page(output)
        made = make_report(run_dirs, project.configs, project.build_network, resolve_device(device), cache_dir)
        write_page(output, made)
        click.echo(to_json(as_json_object(made, output)) if as_json else as_table(made))
        make_log(as_json)(f"\npage written to {output}")

    return report
