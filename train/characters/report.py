"""The report of an evaluation on alphabets as a table for people, shares in per cent."""

from collections.abc import Iterator

from train.characters.pen_table import pen_lines
from train.figures import BASELINE_NAMES, PROTOCOL_NAMES

NOTES_SHOWN = 10
NAME_WIDTH = 52


def format_report(report: dict) -> str:
    """Formats what `evaluate` returns, line by line."""
    lines = [_model_line(report)]
    if report["one_shot"]:
        lines += ["", *_one_shot_lines(report)]
    lines += _baseline_lines(report["baselines"])
    if report["verification"]:
        lines += ["", *_verification_lines(report)]
    if report["per_alphabet"]:
        lines += ["", f"{'alphabet':{NAME_WIDTH}}{'N':>4}{'right':>17}"]
        lines += [
            f"{name:{NAME_WIDTH}}{report['per_alphabet_n_way'][name]:>4}{_share(accuracy):>17}"
            for name, accuracy in sorted(report["per_alphabet"].items(), key=lambda entry: entry[1])
        ]
    if report.get("pens"):
        lines += ["", *pen_lines(report["pens"])]
    if report.get("transfer"):
        lines += ["", f"{'other handwriting':28}{'images':>8}{'N':>4}{'trials':>8}{'right':>9}   {'95 % interval':15}"]
        lines += [
            f"{row['data']:28}{row['images']:>8}{row['n_way']:>4}{row['trials']:>8}{_share(row['accuracy']):>9}"
            f"   {_interval(row['interval']):15}  nearest neighbour {_share(row['nearest_neighbour_l2'])}"
            for row in report["transfer"]
        ]
    if report["notes"]:
        lines += ["", *report["notes"][:NOTES_SHOWN]]
    return "\n".join(lines)


def _model_line(report: dict) -> str:
    model = report["model"]
    line = f"{model['source']}: {model['parameters']:,} parameters, stored as {model['storage']}, "
    line += f"{model['precision']} on {model['device']}"
    return line + (f", mean over {report['views'] + 1} views of each drawing" if report["views"] else "")


def _one_shot_lines(report: dict) -> Iterator[str]:
    """A row for each protocol and number of ways, a column for each other precision."""
    others = report["other_precisions"]
    head = f"{'one-shot':{NAME_WIDTH}}{'N':>4}{'trials':>8}{'right':>9}   {'95 % interval':15}"
    yield head + "".join(f"{other['precision']:>12}" for other in others)
    comparison = report.get("comparison")
    for place, row in enumerate(report["one_shot"]):
        text = f"{PROTOCOL_NAMES[row['protocol']]:{NAME_WIDTH}}{row['n_way']:>4}{row['trials']:>8}"
        text += f"{_share(row['accuracy']):>9}   {_interval(row['interval']):15}"
        text += "".join(f"{_share(other['one_shot'][place]['accuracy']):>12}" for other in others)
        if comparison:
            second = comparison["one_shot"][place]
            text += f"  other {_share(second['accuracy'])}, {second['differing_trials']} trials differ"
            text += f", p = {second['p_value']:.2g}"
        yield text
    for row in report["one_shot"]:
        if row["left_out"]:
            yield f"  {row['n_way']}-way within an alphabet leaves out {', '.join(row['left_out'])}"


def _baseline_lines(baselines: list[dict]) -> list[str]:
    """Each baseline at the largest number of ways of its protocol."""
    largest: dict[str, int] = {}
    for row in baselines:
        largest[row["protocol"]] = max(row["n_way"], largest.get(row["protocol"], 0))
    return [
        f"{BASELINE_NAMES[row['name']] + ', ' + PROTOCOL_NAMES[row['protocol']]:{NAME_WIDTH}}"
        f"{row['n_way']:>4}{row['trials']:>8}{_share(row['accuracy']):>9}"
        for row in baselines
        if row["n_way"] == largest[row["protocol"]]
    ]


def _verification_lines(report: dict) -> Iterator[str]:
    others = report["other_precisions"]
    head = f"{'verification, different pairs':{NAME_WIDTH}}{'pairs':>12}{'right':>9}{'AUC':>9}{'EER':>9}  threshold"
    yield head + "".join(f"{'EER ' + other['precision']:>15}" for other in others)
    for place, row in enumerate(report["verification"]):
        text = f"{PROTOCOL_NAMES[row['protocol']]:{NAME_WIDTH}}{row['pairs']:>12}{_share(row['accuracy']):>9}"
        text += f"{row['auc']:>9.4f}{_share(row['eer']):>9}  {row['threshold']:9.3f}"
        yield text + "".join(f"{_share(other['verification'][place]['eer']):>15}" for other in others)


def _share(value: float) -> str:
    return f"{100 * value:.2f} %"


def _interval(interval: list[float]) -> str:
    return f"{100 * interval[0]:.1f} to {100 * interval[1]:.1f} %"
