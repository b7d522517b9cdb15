"""The running app, over HTTP: every public endpoint with good and bad input, and what nobody may reach."""

import json
import re
import subprocess
import sys
from pathlib import Path

import httpx
import pytest
from gradio_client import Client, handle_file
from gradio_client.exceptions import AppError
from PIL import Image, ImageDraw

ROOT = Path(__file__).parent.parent
META = {"_type": "gradio.FileData"}
PUBLIC = {"/compare", "/verify", "/classify", "/new_challenge", "/answer_challenge"}


@pytest.fixture(scope="module")
def client(app_address):
    client = Client(app_address, verbose=False)
    yield client
    client.close()


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Two drawings, a blank one and something that is no picture."""
    folder = tmp_path_factory.mktemp("files")
    for name, points in (
        ("a", [(40, 40), (160, 160), (40, 160)]),
        ("b", [(100, 30), (30, 170), (170, 170), (100, 30)]),
    ):
        image = Image.new("L", (200, 200), 255)
        ImageDraw.Draw(image).line(points, fill=0, width=8)
        image.save(folder / f"{name}.png")
    Image.new("L", (200, 200), 255).save(folder / "blank.png")
    (folder / "page.png").write_text("<html>not a picture</html>")
    return {path.stem: handle_file(str(path)) for path in folder.iterdir()}


def test_only_the_documented_endpoints_are_public(app_address):
    described = httpx.get(f"{app_address}/gradio_api/info").json()
    assert set(described["named_endpoints"]) == PUBLIC
    assert not described["unnamed_endpoints"]
    for endpoint in described["named_endpoints"].values():
        assert all(one["label"] and one["type"] for one in endpoint["parameters"])


def test_compare(client, files):
    same = client.predict(files["a"], files["a"], api_name="/compare")
    other = client.predict(files["a"], files["b"], api_name="/compare")
    assert set(same) == {"similarity", "threshold", "verdict", "reliability"}
    assert same["similarity"] > other["similarity"]
    assert same["verdict"] in {"same", "different", "unsure"}
    assert 0 < same["threshold"] < 1


def test_verify(client, files):
    result = client.predict([files["a"], files["b"]], files["a"], api_name="/verify")
    assert len(result["similarities"]) == 2
    assert result["similarities"][0] > result["similarities"][1]
    assert result["verdict"] in {"genuine", "forgery", "unsure"}


def test_classify(client, files):
    result = client.predict([files["b"], files["a"]], files["a"], api_name="/classify")
    assert result["best"] == 1
    assert result["similarities"][1] == max(result["similarities"])
    assert result["none_of_these"] == (result["similarities"][1] < result["threshold"])


def test_a_challenge_is_dealt_answered_once_and_replayed(client):
    dealt = client.predict(5, "invented", "", api_name="/new_challenge")
    assert len(dealt["candidates"]) == dealt["n_way"] == 5
    result = client.predict(dealt["challenge_id"], 2, api_name="/answer_challenge")
    assert result["right"] == (result["truth"] == 2)
    assert result["network_choice"] == max(range(5), key=result["similarities"].__getitem__)
    with pytest.raises(AppError, match="answered already"):
        client.predict(dealt["challenge_id"], 2, api_name="/answer_challenge")
    again = client.predict(20, "invented", dealt["link"], api_name="/new_challenge")
    assert (again["query"], again["candidates"]) == (dealt["query"], dealt["candidates"])
    assert again["challenge_id"] != dealt["challenge_id"]
    assert client.predict(again["challenge_id"], 0, api_name="/answer_challenge")["truth"] == result["truth"]


def test_bad_input_gets_a_sentence(client, files):
    a = files["a"]
    for endpoint, given, words in (
        ("/compare", (a, files["page"]), "not a PNG, JPEG, WebP, BMP or GIF"),
        ("/compare", (a, files["blank"]), "blank"),
        ("/compare", (a, None), "second image is missing"),
        ("/verify", ([], a), "1 to 10 images"),
        ("/verify", ([a] * 11, a), "1 to 10 images of references; 11 came"),
        ("/classify", ([a], a), "2 to 50 images"),
        ("/new_challenge", (7, "invented", ""), "n_way must be one of 5, 10, 20"),
        ("/new_challenge", (1e300, "invented", ""), "n_way must be one of"),
        ("/new_challenge", (5, "imagenet", ""), "data must be one of invented, omniglot"),
        ("/new_challenge", (5, "invented", "5i-cut"), "no challenge"),
        ("/answer_challenge", ("guess", 0), "too old"),
    ):
        with pytest.raises(AppError, match=words):
            client.predict(*given, api_name=endpoint)


def called(address: str, endpoint: str, data: list) -> str:
    """What an endpoint streams back to a plain HTTP call."""
    started = httpx.post(f"{address}/gradio_api/call/{endpoint}", json={"data": data})
    event = started.json()["event_id"]
    return httpx.get(f"{address}/gradio_api/call/{endpoint}/{event}", timeout=60).text


def test_files_of_the_server_cannot_be_named(app_address):
    for path in ("/etc/passwd", str(ROOT / "app.py"), "../../etc/passwd"):
        for payload in ({"path": path}, {"path": path, "meta": META}):
            answer = called(app_address, "compare", [payload, payload])
            assert answer.startswith("event: error")
            assert "root:" not in answer
            assert "import" not in answer
    for path in ("/etc/passwd", str(ROOT / "app.py"), str(ROOT / "siamese/ui/challenge.py")):
        assert httpx.get(f"{app_address}/gradio_api/file={path}").status_code in {403, 404}


def test_addresses_inside_are_not_fetched_on_a_visitors_word(app_address):
    for url in (f"{app_address}/config", "http://127.0.0.1:1/", "http://169.254.169.254/", "http://[::1]/"):
        answer = called(app_address, "compare", [{"path": url, "meta": META}, {"path": url, "meta": META}])
        assert answer.startswith("event: error")


def test_a_request_is_bounded(app_address):
    big = b"x" * (37 << 20)
    assert httpx.post(f"{app_address}/gradio_api/upload", files={"files": ("a.png", big)}).status_code == 413
    many = called(app_address, "verify", [[{"path": "/nothing.png"}] * 500, {"path": "/nothing.png"}])
    assert "500 came" in many


def test_the_page_gives_no_answer_away_and_asks_no_other_host(app_address):
    page = httpx.get(app_address).text
    assert "challenge_answer" not in json.dumps(httpx.get(f"{app_address}/config").json()["dependencies"])
    assert not re.findall(r"(?:src|href)=[\"']https?://", page)
    assert "fonts.googleapis" not in page
    assert "fonts.googleapis" not in httpx.get(f"{app_address}/theme.css").text


def test_what_pages_may_call_answers_every_nonsense_with_a_sentence(app_address):
    components = httpx.get(f"{app_address}/config").json()["components"]
    tried = 0
    for component in components:
        for name in component["props"].get("server_fns") or []:
            for data in (None, [], "x", 3, {"n_way": 10**400}, {"round": {"a": 1}, "choice": 1e308}, {"link": ["x"]}):
                body = {"session_hash": "test", "component_id": component["id"], "fn_name": name, "data": data}
                response = httpx.post(f"{app_address}/gradio_api/component_server", json=body, timeout=60)
                assert response.status_code == 200
                answer = response.json()
                if "error" in answer:
                    assert "Traceback" not in answer["error"]
                    assert "went wrong" not in answer["error"], (name, data)
                    tried += 1
    assert tried > 60


def test_nothing_of_a_signature_stays_on_the_disk(client, files, app_address):
    uploaded = httpx.post(f"{app_address}/gradio_api/upload", files={"files": ("mine.png", b"not a picture at all")})
    (path,) = uploaded.json()
    assert Path(path).exists()
    answer = called(app_address, "verify", [[{"path": path}], {"path": path}])
    assert "not a PNG" in answer
    assert not Path(path).exists()


def test_an_import_of_the_app_loads_no_data_sets_and_no_plots():
    code = "import sys, app; print([m for m in ('datasets', 'matplotlib', 'pyarrow.dataset') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=240)
    assert done.stdout.strip().splitlines()[-1] == "[]", done.stdout + done.stderr
