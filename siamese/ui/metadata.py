"""Metadata of the app: title, description, pictures, icons, and the example files of the API page."""

import html
import io
import json
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path

from PIL import Image
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Mount, Route
from starlette.staticfiles import StaticFiles

from siamese.ui.assets import script

TITLE = "One Look"
DESCRIPTION = (
    "A network that recognises a character, or a signature, after seeing it once. "
    "Play one-shot challenges against it: people 95.5 %, this network 99.00 %. You?"
)
IMAGES = Path(__file__).parent / "images"
PREVIEW, PREVIEW_SIZE_PX = "preview.png", (1200, 630)
ICON_SIZES_PX = (192, 512)
EXAMPLE_SEED = 31
PREVIEW_ALT = "One character at the left, nine that look like it at the right, one of them marked."


def public_root(headers: Mapping[str, str], scope: Mapping, root_path: str) -> str:
    """The address under which a visitor reached the app, without a slash at its end.

    Args:
        headers: Those of the request; a proxy names the host that was asked for in x-forwarded-host.
        scope: The request's ASGI scope.
        root_path: GRADIO_ROOT_PATH: a path, a whole address, or empty.
    """
    if root_path.startswith(("http://", "https://")):
        return root_path

    def first(name: str) -> str:
        return headers.get(name, "").partition(",")[0].strip()

    host = first("x-forwarded-host") or first("host") or "localhost"
    return f"{first('x-forwarded-proto') or scope.get('scheme', 'http')}://{host}{root_path}"


def head_tags(root: str) -> str:
    """Returns the HTML tags that search engines, link previews and home screens read.

    Args:
        root: The app's public address; previews take whole addresses only.
    """
    picture = f"{root}/images/{PREVIEW}"
    named = {
        "description": DESCRIPTION,
        "twitter:card": "summary_large_image",
        "twitter:title": TITLE,
        "twitter:description": DESCRIPTION,
        "twitter:image": picture,
        "twitter:image:alt": PREVIEW_ALT,
        "color-scheme": "light dark",
    }
    properties = {
        "og:type": "website",
        "og:site_name": TITLE,
        "og:title": TITLE,
        "og:description": DESCRIPTION,
        "og:url": f"{root}/",
        "og:image": picture,
        "og:image:width": str(PREVIEW_SIZE_PX[0]),
        "og:image:height": str(PREVIEW_SIZE_PX[1]),
        "og:image:alt": PREVIEW_ALT,
    }
    lines = [f"<title>{TITLE}</title>"]
    lines += [f'<meta property="{name}" content="{html.escape(value)}" />' for name, value in properties.items()]
    lines += [f'<meta name="{name}" content="{html.escape(value)}" />' for name, value in named.items()]
    lines += [
        '<link rel="icon" type="image/png" sizes="192x192" href="./images/icon-192.png" />',
        '<link rel="apple-touch-icon" href="./images/icon-192.png" />',
        '<link rel="manifest" href="./manifest.json" />',
        f"<script>{script('root_path.js', 'api_page.js')}</script>",
    ]
    return "\n".join(lines)


def manifest(_request: Request) -> Response:
    """Returns the web app manifest, which a phone loads when the page is added to its home screen."""
    icons = [
        {"src": f"images/icon-{size}.png", "sizes": f"{size}x{size}", "type": "image/png", "purpose": purpose}
        for size in ICON_SIZES_PX
        for purpose in ("any", "maskable")
    ]
    content = {
        "name": TITLE,
        "short_name": TITLE,
        "description": DESCRIPTION,
        "icons": icons,
        "start_url": "./",
        "display": "standalone",
        "background_color": "#f5efe3",
        "theme_color": "#bf3420",
    }
    return Response(json.dumps(content), media_type="application/manifest+json")


def example(request: Request) -> Response:
    """Serves one of the images that the examples of the API page name."""
    data = example_images().get(request.path_params["name"])
    if data is None:
        return JSONResponse({"detail": "There is no such example."}, status_code=404)
    return Response(data, media_type="image/png")


@lru_cache(maxsize=1)
def example_images() -> dict[str, bytes]:
    """Images that belong to nobody, as PNG files by name: two drawings of one character, one of another, signatures."""
    import numpy as np

    from siamese.characters.synthetic import draw, synthetic_alphabet, synthetic_hand
    from siamese.signatures.synthetic import synthetic_files

    def png(ink) -> bytes:
        file = io.BytesIO()
        Image.fromarray(~ink.numpy()).save(file, "PNG")
        return file.getvalue()

    generator = np.random.default_rng(EXAMPLE_SEED)
    first, second = synthetic_alphabet(2, generator).characters
    hands = [synthetic_hand(generator) for _ in range(2)]
    images = {
        "character-1.png": png(draw(first, hands[0], generator)),
        "character-2.png": png(draw(first, hands[1], generator)),
        "other-character.png": png(draw(second, hands[1], generator)),
    }
    names = iter(["signature-1.png", "signature-2.png", "signature-3.png"])
    images |= {name: data for name, (_, data) in zip(names, synthetic_files(1, 3, 0, EXAMPLE_SEED), strict=True)}
    return images


def no_tools(_request: Request) -> Response:
    """Says that there are no tools of the Model Context Protocol.

    Gradio's API page asks for their list in any case, and takes every success for a server that has some. A failure
    would stand in the visitor's console. This is neither.
    """
    return Response(status_code=304)


def no_summary(_request: Request) -> Response:
    """The summary of calls that Gradio's API page asks for in any case."""
    return JSONResponse({"functions": {}})


def routes(has_mcp: bool) -> list[BaseRoute]:
    """Returns the routes that the app serves in addition to Gradio's.

    Args:
        has_mcp: Whether Gradio serves the tools of the Model Context Protocol.
    """
    return [
        Mount("/images", StaticFiles(directory=IMAGES)),
        Route("/manifest.json", manifest),
        Route("/examples/{name}", example),
        Route("/monitoring/summary", no_summary),
        *([] if has_mcp else [Route("/gradio_api/mcp/schema", no_tools)]),
    ]
