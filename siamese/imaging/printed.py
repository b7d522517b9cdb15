"""Removes what is printed around handwriting: frames, cells, combs, ruled and dotted lines, captions."""

from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import Bool, Float32, UInt8
from PIL import Image

from siamese.imaging.ink import connected, pen_width_px
from siamese.imaging.letters import dotted_lines, text_rows
from siamese.imaging.lines import (
    Line,
    erase_line,
    find_lines,
    find_tilt_deg,
    groups_that_meet,
    touches,
    turned,
    with_ends_at_rim,
)
from siamese.imaging.quantiles import median, quantile
from siamese.imaging.reading import REMARKS, Remark

WORKING_PX = 800  # longer side at which print is looked for
GROUND_PX = 200  # longer side at which the paper's brightness is estimated
GROUND_SHARE = 0.25  # of the longer side: what is narrower is on the paper, what is wider is its light
LEAST_DEPTH = 0.06  # share of the light that a line must swallow
NOISE_STEP = 3  # every third row and column tells how much the paper's brightness varies
LINE_DEPTH = 0.3  # of the depth of full ink: where a printed line begins
LEVEL_DEG = 0.3  # up to which a form counts as level
JOINT_SHARE = 0.02  # of the longer side: how near the ends of lines that meet must come
MAX_SLANT = 0.045  # slope of a side of a frame against the others
CROSSING = 0.2  # of the writing's height or width, that may reach over a line around it
THIN = 0.6  # of the pen's width: a single line so thin was not drawn by the pen
RULINGS = 3  # so many parallel lines from rim to rim are printed, whatever their thickness
RULING_THIN = 0.8  # of the pen's width: a line from rim to rim so thin was not drawn by the pen
SPAN = 0.7  # of the picture: length of a line from rim to rim
UNDER = 0.1  # of the writing's width, that a line under it may leave free at its ends
MAX_BOW = 0.004  # of its length: a line that bends further was drawn by hand, as people underline their names
FILLED = 0.9  # of the width and the height between the lines of a frame: what fills so much of both is drawn with it
OVERHANG = 0.08  # of the writing's width, by which a printed line goes beyond it at both ends

Mask = Bool[np.ndarray, "_ _"]
Values = Float32[np.ndarray, "height width"]


@dataclass(frozen=True, eq=False)
class Form:
    """The straight lines of a page, in a picture turned so that they are level."""

    dark: Mask
    """Everything on the paper."""
    level: Mask
    """The same with its lines level."""
    tilt_deg: float
    """By how much the lines fell to the right."""
    lines: tuple[Line, ...]


@dataclass(frozen=True, eq=False)
class SeparatedPage:
    """A page without what is printed on it."""

    image: Image.Image
    """With the paper's brightness where print was; the very image that was given where nothing was."""
    remarks: tuple[Remark, ...]
    levels: UInt8[np.ndarray, "height width"]
    """The page as it was, at no more than 800 px."""
    form: Form
    printed: Mask
    keeps_rulings: bool

    def handwriting(self) -> Mask:
        """Returns where something is written, at no more than 800 px: neither print nor rulings."""
        if self.keeps_rulings and any(line.spans for line in self.form.lines):
            return self.form.dark & ~find_print(self.form)[0]
        return self.form.dark & ~self.printed


def separate_print(grey: Image.Image, keep_rulings: bool = False) -> SeparatedPage:
    """Fills what is printed on a page with the brightness of the paper.

    Args:
        grey: An "L" image, dark ink on light paper.
        keep_rulings: Leave lines from rim to rim where they are, for a reader that goes by them.
    """
    values = np.asarray(grey)
    small, ground = reduced(values)
    form = find_form(line_mask(small, ground))
    printed, codes = find_print(form, keep_rulings)
    remarks = tuple(REMARKS[code] for code in codes)
    if not printed.any():
        return SeparatedPage(grey, remarks, small, form, printed, keep_rulings)
    goes = cv2.dilate(printed.view(np.uint8), np.ones((3, 3), np.uint8)) & ~(form.dark & ~printed).view(np.uint8)
    if small.shape != values.shape:
        goes = cv2.resize(goes, values.shape[::-1], interpolation=cv2.INTER_NEAREST)
        ground = cv2.resize(ground, values.shape[::-1], interpolation=cv2.INTER_LINEAR)
    where, painted = goes.view(bool), values.copy()
    painted[where] = ground[where].clip(0, 255)
    image = Image.fromarray(painted)
    image.info = dict(grey.info)
    return SeparatedPage(image, remarks, small, form, printed, keep_rulings)


def reduced(values: UInt8[np.ndarray, "_ _"]) -> tuple[UInt8[np.ndarray, "height width"], Values]:
    """A page at no more than WORKING_PX, and the brightness of its paper."""
    scale = min(1.0, WORKING_PX / max(values.shape))
    if scale < 1:
        size = (max(1, round(values.shape[1] * scale)), max(1, round(values.shape[0] * scale)))
        values = cv2.resize(values, size, interpolation=cv2.INTER_AREA)
    return values, paper_brightness(values)


def paper_brightness(values: UInt8[np.ndarray, "height width"]) -> Values:
    """Brightness of the paper, as if nothing were on it: a morphological closing, which keeps shadows."""
    factor = min(1.0, GROUND_PX / max(values.shape))
    size = (max(1, round(values.shape[1] * factor)), max(1, round(values.shape[0] * factor)))
    coarse = cv2.resize(values, size, interpolation=cv2.INTER_AREA)
    window = round(max(coarse.shape) * GROUND_SHARE) | 1
    closed = cv2.morphologyEx(coarse, cv2.MORPH_CLOSE, np.ones((window, window), np.uint8))
    closed = cv2.GaussianBlur(closed, (3, 3), 0)
    return cv2.resize(closed, values.shape[::-1], interpolation=cv2.INTER_LINEAR).astype(np.float32)


def line_mask(values: UInt8[np.ndarray, "height width"], ground: Values) -> Mask:
    """Whatever is darker than the paper by LINE_DEPTH of the depth of full ink."""
    depth = cv2.blur(values, (2, 2)).astype(np.float32)
    depth /= np.maximum(ground, 0.35 * float(ground.max()))
    np.subtract(1, depth, out=depth)
    sample = depth[::NOISE_STEP, ::NOISE_STEP].ravel()
    noise = 4 * median(np.abs(sample - median(sample))) * 1.5
    candidates = depth[depth > max(LEAST_DEPTH, noise)]
    if len(candidates) == 0:
        return np.zeros(values.shape, dtype=bool)
    full = quantile(candidates, 0.8)
    return depth > max(LEAST_DEPTH, noise, LINE_DEPTH * full)


def find_form(dark: Mask) -> Form:
    """Finds the straight lines in a mask of everything on the paper."""
    tilt_deg = find_tilt_deg(dark)
    if tilt_deg is None:
        return Form(dark, dark, 0.0, ())
    if abs(tilt_deg) <= LEVEL_DEG:
        tilt_deg = 0.0
    level = turned(dark, tilt_deg) if tilt_deg else dark
    lines = find_lines(level)
    if lines:
        inside = np.ones_like(dark)
        lines = with_ends_at_rim(lines, turned(inside, tilt_deg) if tilt_deg else inside)
    return Form(dark, level, tilt_deg, tuple(lines))


def find_print(form: Form, keep_rulings: bool = False) -> tuple[Mask, list[str]]:
    """Finds what is printed on a page.

    Args:
        form: The page.
        keep_rulings: Lines from rim to rim do not count as print.

    Returns:
        The part of `form.dark` that is printed, less what crosses it, and the codes of the remarks on it.
    """
    dark, codes = form.dark, []
    rest = dark
    framed, ruled = _printed_lines(form.level, [line for line in form.lines if not (keep_rulings and line.spans)])
    if framed or ruled:
        cleared = form.level.copy()
        for line in [*framed, *ruled]:
            erase_line(cleared, line)
        gone = form.level & ~cleared
        if form.tilt_deg:
            gone = turned(gone, -form.tilt_deg, dark.shape)
        # what lies along an erased line goes with it, but not the tip of a stroke that ends there
        fringe = cv2.dilate(gone.view(np.uint8), np.ones((3, 3), np.uint8)).view(bool)
        broader = 2 * round(max(line.thickness for line in [*framed, *ruled])) + 1
        strokes = cv2.morphologyEx((dark & ~gone).view(np.uint8), cv2.MORPH_OPEN, np.ones((broader, broader), np.uint8))
        rest = dark & ~gone & (strokes.view(bool) | ~fringe)
        codes += ["frame_removed"] * bool(framed) + ["lines_removed"] * bool(ruled)
    labels, stats = connected(rest)
    goes = dotted_lines(stats, max(dark.shape))
    if goes.any() and "lines_removed" not in codes:
        codes.append("lines_removed")
    others = np.flatnonzero(~goes)
    letters, remain = text_rows(stats[others])
    if letters.any():
        codes.append("print_removed")
        goes[others[letters]] = True
    if goes.any():
        rest = rest & ~np.take(goes, labels)
    if not rest.any():
        return np.zeros_like(dark), []
    return dark & ~rest, [*codes, *["print_remains"] * remain]


@dataclass(frozen=True)
class Writing:
    """Where the writing is, and how broad its pen is, in pixels of the mask."""

    top: int
    left: int
    bottom: int
    right: int
    pen: float

    @property
    def tall(self) -> int:
        return self.bottom - self.top

    @property
    def wide(self) -> int:
        return self.right - self.left


def _printed_lines(dark: Mask, lines: list[Line]) -> tuple[list[Line], list[Line]]:
    """Which of the lines belong to frames, and which are ruled."""
    if not lines:
        return [], []
    cleared = dark.copy()
    for line in lines:
        erase_line(cleared, line)
    writing = _main_writing(cleared)
    if writing is None:
        return [], []
    framed: list[Line] = []
    ruled: list[Line] = []
    for group in groups_that_meet(lines, JOINT_SHARE * max(dark.shape)):
        alike = _alike(group)
        if _encloses(alike, writing):
            framed += alike
        else:
            found = [
                line
                for line in group
                if _is_ruling(line, lines, cleared, writing) or _is_base_line(line, cleared, writing)
            ]
            teeth = [line for line in group if line not in found and _is_tooth(line, found, writing)]
            ruled += [*found, *teeth]
    return framed, ruled


def _main_writing(mask: Mask) -> Writing | None:
    """The larger spots of a mask; None where there are none."""
    labels, stats = connected(mask)
    if len(stats) < 2:
        return None
    area = stats[1:, cv2.CC_STAT_AREA]
    extent = np.maximum(stats[1:, cv2.CC_STAT_WIDTH], stats[1:, cv2.CC_STAT_HEIGHT])
    if extent.max() < 0.05 * min(mask.shape):
        return None
    largest = 1 + int(area.argmax())
    left, top, wide, tall, _ = stats[largest].tolist()
    window = slice(max(0, top - 1), top + tall + 1), slice(max(0, left - 1), left + wide + 1)
    pen = pen_width_px(labels[window] == largest)
    left, top, wide, tall, _ = stats[1:][(extent >= 0.25 * extent.max()) & (area >= 0.05 * area.max())].T
    return Writing(
        int(top.min()),
        int(left.min()),
        int((top + tall).max()),
        int((left + wide).max()),
        pen,
    )


def _alike(lines: list[Line]) -> list[Line]:
    """Those of lines that meet that are as thick as most and level or upright as they are: strokes may meet them."""
    usual = float(np.median([line.thickness for line in lines]))
    slope = float(np.median([-line.slope if line.is_upright else line.slope for line in lines]))
    return [
        line
        for line in lines
        if abs(line.thickness - usual) <= 1.5 + 0.4 * usual
        and abs((-line.slope if line.is_upright else line.slope) - slope) <= MAX_SLANT
    ]


def _encloses(lines: list[Line], writing: Writing) -> bool:
    """Whether lines that meet are a frame around the writing, or one open at one side; the rim closes a frame, too."""
    if len({line.is_upright for line in lines}) < 2:
        return False
    # a little of the writing may cross the line
    low = {False: writing.top + CROSSING * writing.tall, True: writing.left + CROSSING * writing.wide}
    high = {False: writing.bottom - CROSSING * writing.tall, True: writing.right - CROSSING * writing.wide}
    reaching = [
        line for line in lines if line.start <= low[not line.is_upright] and line.end >= high[not line.is_upright]
    ]
    sides = {(line.is_upright, False) for line in reaching if line.middle <= low[line.is_upright]}
    sides |= {(line.is_upright, True) for line in reaching if line.middle >= high[line.is_upright]}
    if _is_filled(reaching, writing):
        return False
    return len(sides) >= 3 or (len(sides) == 2 and all(any(line.at_rim) for line in lines))


def _is_filled(lines: list[Line], writing: Writing) -> bool:
    """Whether the writing goes from line to line both ways, as the diagonals of a drawn box do."""
    share = []
    for is_upright, extent in ((True, writing.wide), (False, writing.tall)):
        middles = [line.middle for line in lines if line.is_upright == is_upright]
        share.append(extent / max(1.0, max(middles) - min(middles)) if len(middles) > 1 else 0.0)
    return min(share) > FILLED


def _is_ruling(line: Line, lines: list[Line], cleared: Mask, writing: Writing) -> bool:
    """Whether a line from rim to rim is printed: one of several, thinner than the pen, or not joined to the writing."""
    if not line.spans:
        return False
    parallel = [other for other in lines if other.spans and other.is_upright == line.is_upright]
    length = SPAN * (cleared.shape[0] if line.is_upright else cleared.shape[1])
    if sum(other.length > length for other in parallel) >= RULINGS:
        return True
    return line.length > length and (line.thickness <= RULING_THIN * writing.pen or not touches(line, cleared))


def _is_tooth(line: Line, printed: list[Line], writing: Writing) -> bool:
    """Tells whether a line is a tooth of a comb: upright, on a printed base line and as thin, beside the writing."""
    if not line.is_upright:
        return False
    room = CROSSING * writing.wide
    is_beside = line.middle <= writing.left + room or line.middle >= writing.right - room
    return is_beside and any(
        not base.is_upright
        and abs(base.thickness - line.thickness) <= 1.5 + 0.4 * base.thickness
        and abs(line.end - base.middle) <= JOINT_SHARE * max(line.rows.size, base.rows.size) + base.thickness
        for base in printed
    )


def _is_base_line(line: Line, cleared: Mask, writing: Writing) -> bool:
    """Whether a level line under all of the writing is printed: straight, and double, thinner than the pen or longer
    than the writing."""
    if line.is_upright or line.bow > MAX_BOW or line.middle < writing.top + 0.35 * writing.tall:
        return False
    within = UNDER * writing.wide
    if line.start > writing.left + within or line.end < writing.right - within:
        return False
    if line.is_double or line.thickness <= THIN * writing.pen:
        return True
    over = OVERHANG * writing.wide
    is_longer = line.start < writing.left - over and line.end > writing.right + over
    # the lowest stroke of a character may be longer than the rest, but it is joined to it
    return is_longer and (not touches(line, cleared) or writing.wide > 1.5 * writing.tall)
