"""What others are told of the app."""

import io
import re

from PIL import Image
from starlette.applications import Starlette
from starlette.testclient import TestClient

from siamese.imaging.decode import open_image
from siamese.ui.metadata import IMAGES, PREVIEW_SIZE_PX, example_images, head_tags, routes


def client(has_mcp: bool = False) -> TestClient:
    return TestClient(Starlette(routes=routes(has_mcp)))


def test_the_pictures_that_are_named_are_served():
    tags = head_tags("http://testserver")
    named = set(re.findall(r"(?:content|href)=\"(?:http://testserver/|\./)([\w/.-]+\.(?:png|json))\"", tags))
    assert named == {"images/preview.png", "images/icon-192.png", "manifest.json"}
    served = client()
    for path in named:
        assert served.get(f"/{path}").status_code == 200
    preview = Image.open(io.BytesIO(served.get("/images/preview.png").content))
    assert preview.size == PREVIEW_SIZE_PX
    assert served.get("/images/../metadata.py").status_code == 404
    assert served.get("/images/%2e%2e/metadata.py").status_code == 404


def test_tags_for_previews_come_first_and_each_once():
    tags = head_tags("https://a.org")
    names = re.findall(r"<meta (?:property|name)=\"([^\"]+)\"", tags)
    assert len(names) == len(set(names))
    assert {"og:title", "og:description", "og:image", "og:url", "twitter:card", "twitter:image"} <= set(names)
    assert names[0] == "og:type"
    assert "https://a.org/images/preview.png" in tags


def test_the_manifest_has_icons_of_its_own():
    manifest = client().get("/manifest.json").json()
    assert manifest["name"] == "One Look"
    for icon in manifest["icons"]:
        side = int(icon["sizes"].partition("x")[0])
        assert Image.open(io.BytesIO((IMAGES.parent / icon["src"]).read_bytes())).size == (side, side)


def test_examples_are_images_that_the_app_reads_and_are_the_same_each_time():
    images = example_images()
    assert len(images) == 6
    for name, data in images.items():
        open_image(data)
        response = client().get(f"/examples/{name}")
        assert (response.content, response.headers["content-type"]) == (data, "image/png")
    assert client().get("/examples/none.png").status_code == 404
    example_images.cache_clear()
    assert example_images() == images


def test_what_gradio_s_api_page_asks_for_is_answered():
    assert client().get("/gradio_api/mcp/schema").status_code == 304
    assert client().get("/monitoring/summary").json() == {"functions": {}}
    assert client(has_mcp=True).get("/gradio_api/mcp/schema").status_code == 404  # by Gradio, where it has tools
