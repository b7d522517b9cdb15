"""The picture that previews of a link show, and the app's icons: `python -m tests.browser.preview`.

Written to siamese/ui/images: a card of 1200 x 630 with a round of an invented alphabet, and the seal in two sizes.
"""

import io
from pathlib import Path

import numpy as np
from PIL import Image

from siamese.characters.strokes import draw
from siamese.characters.synthetic import synthetic_alphabet
from siamese.data.pen_strokes import synthetic_hand
from siamese.ui.app import MASTHEAD
from siamese.ui.metadata import ICON_SIZES_PX, IMAGES, PREVIEW, PREVIEW_SIZE_PX
from siamese.ui.pictures import drawing_url
from tests.browser.conftest import CHROMIUM_FLAGS, chromium

SEED, TRUTH = 5, 7
COLOURS = 64  # flat paper and ink need no more

STAMP = MASTHEAD[MASTHEAD.index("<svg") : MASTHEAD.index("</svg>")] + "</svg>"
PAGE = """
<style>
* {{ box-sizing: border-box; margin: 0; }}
:root {{ --seal-ink: #f5efe3; }}
body {{ background: #f5efe3; color: #1d1916; font-family: Georgia, "DejaVu Serif", serif; }}
.card {{ width: 1200px; height: 630px; padding: 56px 64px; display: grid; grid-template-columns: 430px 1fr; gap: 56px;
  align-content: space-between; }}
.stamp {{ color: #bf3420; width: 96px; display: block; }}
h1 {{ font-size: 76px; line-height: 1; margin: 22px 0 18px; }}
p {{ font-size: 30px; line-height: 1.35; }}
.score {{ grid-column: 1 / -1; font-size: 30px; border-top: 3px solid #1d1916; padding-top: 22px; display: flex;
  justify-content: space-between; }}
.tile {{ background: #fffdf8; border: 2px solid #d9cdb8; border-radius: 10px; padding: 6px; }}
.tile img {{ width: 100%; display: block; image-rendering: auto; mix-blend-mode: multiply; }}
.round {{ display: grid; grid-template-columns: 176px 1fr; gap: 24px; align-items: center; }}
.query {{ border: 4px solid #1d1916; }}
.candidates {{ display: grid; grid-template-columns: repeat(3, 1fr); gap: 12px; }}
.truth {{ border: 5px solid #bf3420; padding: 3px; }}
</style>
<div class="card"><div>{stamp}<h1>One Look</h1>
<p>A network that recognises a character after seeing it once. Can you?</p></div>
<div class="round"><div class="tile query"><img src="{query}"></div><div class="candidates">{candidates}</div></div>
<p class="score"><span>People 95.5 %</span><span>This network 99.00 %</span><span>You ?</span></p></div>
"""


def card() -> str:
    """The page that the picture is taken of."""
    generator = np.random.default_rng(SEED)
    characters = synthetic_alphabet(9, generator).characters
    support, other = synthetic_hand(generator), synthetic_hand(generator)
    drawn = [drawing_url(draw(one, support, generator)) for one in characters]
    tiles = [
        f'<div class="tile {"truth" * (place == TRUTH)}"><img src="{url}"></div>' for place, url in enumerate(drawn)
    ]
    query = drawing_url(draw(characters[TRUTH], other, generator))
    return PAGE.format(stamp=STAMP, query=query, candidates="".join(tiles))


def icon(size_px: int) -> str:
    """The seal on paper, with room around it for phones that cut icons round."""
    return (
        f"<style>body{{margin:0;background:#f5efe3}} .stamp{{--seal-ink:#f5efe3;color:#bf3420;display:block;"
        f"width:{size_px * 0.7}px;padding:{size_px * 0.15}px}}</style>{STAMP}"
    )


def main() -> None:
    from playwright.sync_api import sync_playwright

    if (path := chromium()) is None:
        raise SystemExit("There is no Chromium on this machine; install one to take pictures.")
    IMAGES.mkdir(exist_ok=True)
    pages = {PREVIEW: (card(), PREVIEW_SIZE_PX)} | {
        f"icon-{size}.png": (icon(size), (size, size)) for size in ICON_SIZES_PX
    }
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=list(CHROMIUM_FLAGS))
        for name, (content, (width, height)) in pages.items():
            page = browser.new_page(viewport={"width": width, "height": height})
            page.set_content(content)
            write(page.screenshot(), IMAGES / name)
            page.close()
        browser.close()


def write(picture: bytes, path: Path) -> None:
    """A screenshot as a small PNG."""
    image = Image.open(io.BytesIO(picture)).convert("RGB")
    image.quantize(COLOURS, dither=Image.Dither.NONE).save(path, optimize=True)
    print(f"{path.name}  {image.size[0]} x {image.size[1]}  {path.stat().st_size // 1024} KB")


if __name__ == "__main__":
    main()
