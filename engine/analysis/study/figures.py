"""The pictures of a study: three networks trained on the same texts in the same order, compared.

matplotlib (extra `plots`) is imported only when a picture is asked for. The same numbers give the same files, byte by byte.
"""

from pathlib import Path

from engine.analysis.pictures import require_plots, write_picture
from engine.analysis.study.curves import draw_convergence, draw_gradients, draw_independence
from engine.analysis.study.form import check_study
from engine.analysis.study.maps import check_matrices, draw_correlations
from engine.analysis.study.waves import draw_waves


def write_figures(folder, study, matrices, kinds=("svg",)):
    """Write every picture for which the study has numbers → {name of the file: its path}, in the order of the page.

    study: what study.json holds. matrices: run → (before, after), the (d, d) correlations of the embedding's dimensions.
    kinds: "svg", "png". Raises UserError for a damaged study, an unknown kind, without matplotlib, and where a file cannot be
    written; ValueError for matrices that are none.
    """
    check_study(study)
    check_matrices(study, matrices)
    draws = {"convergence": draw_convergence, "gradients": draw_gradients}
    if matrices:
        draws["correlations"] = lambda study: draw_correlations(study, matrices)
    if any(run["independence"] for run in study["runs"].values()):
        draws["independence"] = draw_independence
    if any(run["waves"] for run in study["runs"].values()):
        draws["waves"] = draw_waves
    paths = {f"{name}.{kind}": Path(folder) / f"{name}.{kind}" for name in draws for kind in kinds}
    for path in paths.values():
        require_plots(path)
    for name, draw in draws.items():
        for kind in kinds:
            write_picture(paths[f"{name}.{kind}"], lambda draw=draw: draw(study))
    return paths
