"""The running app, over HTTP: every public endpoint with good and bad input, and what nobody may reach."""

import ast
import inspect
import json
import re
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import gradio as gr
import httpx
import pytest
from gradio_client import Client, handle_file
from gradio_client.exceptions import AppError
from PIL import Image, ImageDraw

from siamese.characters.recognizer import Recognizer
from siamese.ui.app import build_demo, launch_settings
from siamese.ui.startup import Settings
from tests.hostile import drawing, encoded
from tests.networks import narrow_network

pytestmark = [  # see conftest.py
    pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning"),
    pytest.mark.filterwarnings("ignore:There is no current event loop:DeprecationWarning"),
]

ROOT = Path(__file__).parents[2]
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


def test_only_the_documented_endpoints_are_public(http):
    described = http.get("/gradio_api/info").json()
    assert set(described["named_endpoints"]) == PUBLIC
    assert not described["unnamed_endpoints"]
    for endpoint in described["named_endpoints"].values():
        assert all(one["label"] and one["type"] for one in endpoint["parameters"])


def test_compare(client, files):
    same = client.predict(files["a"], files["a"], api_name="/compare")
    other = client.predict(files["a"], files["b"], api_name="/compare")
    assert set(same) == {"similarity", "threshold", "verdict", "reliability", "remarks"}
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
        ("/compare", (a, files["page"]), "not a PNG, JPEG, WebP, BMP"),
        ("/compare", (a, files["blank"]), "blank"),
        ("/compare", (a, None), "second image is missing"),
        ("/verify", ([], a), "1 to 10 images"),
        ("/verify", ([a] * 11, a), "1 to 10 images of references; 11 came"),
        ("/classify", ([a], a), "2 to 50 images"),
        ("/new_challenge", (7, "invented", ""), "n_way must be one of 5, 10, 20"),
        ("/new_challenge", (1e300, "invented", ""), "n_way must be one of"),
        ("/new_challenge", (5, "imagenet", ""), "data must be one of omniglot, invented"),
        ("/new_challenge", (5, "invented", "5i-cut"), "is not a challenge"),
        ("/answer_challenge", ("guess", 0), "too old"),
    ):
        with pytest.raises(AppError, match=words):
            client.predict(*given, api_name=endpoint)


def called(http: httpx.Client, endpoint: str, data: list) -> str:
    """What an endpoint streams back to a plain HTTP call."""
    started = http.post(f"/gradio_api/call/{endpoint}", json={"data": data})
    event = started.json()["event_id"]
    return http.get(f"/gradio_api/call/{endpoint}/{event}").text


def test_files_of_the_server_cannot_be_named(http):
    for path in ("/etc/passwd", str(ROOT / "app.py"), "../../etc/passwd"):
        for payload in ({"path": path}, {"path": path, "meta": META}):
            answer = called(http, "compare", [payload, payload])
            assert answer.startswith("event: error")
            assert "root:" not in answer
            assert "import" not in answer
    for path in ("/etc/passwd", str(ROOT / "app.py"), str(ROOT / "siamese/ui/pages/challenge.py")):
        assert http.get(f"/gradio_api/file={path}").status_code in {403, 404}


@pytest.mark.parametrize("key", ["path", "url"])
@pytest.mark.parametrize("place", ["file", "redirect", "value"])
def test_no_address_is_fetched_on_a_visitors_word(http, place, key):
    """Neither one that lies inside nor one that redirects there: nobody ever knocks at this listener."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        listener.settimeout(0.2)
        here = f"http://127.0.0.1:{listener.getsockname()[1]}/a.png"
        for address in (here, here.replace("127.0.0.1", "localhost"), here.replace("127.0.0.1", "127.0.0.1.nip.io")):
            if place == "redirect":
                for form in ("file", "proxy"):
                    assert http.get(f"/gradio_api/{form}={address}").status_code == 404
                continue
            payload = {"path": "", "meta": META} | {key: address}
            data = [payload, payload] if place == "file" else [payload, payload, payload]
            answer = called(http, "compare" if place == "file" else "new_challenge", data)
            assert answer.startswith("event: error")
        with pytest.raises(TimeoutError):
            listener.accept()


def test_a_request_is_bounded(http):
    big = b"x" * (37 << 20)
    assert http.post("/gradio_api/upload", files={"files": ("a.png", big)}).status_code == 413
    many = called(http, "verify", [[{"path": "/nothing.png"}] * 500, {"path": "/nothing.png"}, ""])
    assert "500 came" in many


def test_a_body_is_cut_off_while_it_streams_in(http):
    """Without a length that could be refused at once, and before there is a file that nobody would delete."""
    folder = upload_folder(http)
    before = {path for path in folder.rglob("*") if path.is_file()}

    def endless():
        yield b'--x\r\nContent-Disposition: form-data; name="files"; filename="a.png"\r\n\r\n'
        for _ in range(40):
            yield bytes(1 << 20)

    headers = {"content-type": "multipart/form-data; boundary=x"}
    try:
        status = http.post("/gradio_api/upload", content=endless(), headers=headers).status_code
    except httpx.TransportError:  # the server hung up while more was being sent
        status = 413
    assert status == 413
    assert {path for path in folder.rglob("*") if path.is_file()} == before


def upload_folder(http: httpx.Client) -> Path:
    (path,) = http.post("/gradio_api/upload", files={"files": ("a.png", b"anything")}).json()
    return Path(path).parent.parent


def test_a_call_brings_less_than_an_upload(http):
    picture = "data:image/png;base64," + "A" * (13 << 20)
    for place, body in (
        ("call/compare", {"data": [{"url": picture}, {"url": picture}]}),
        ("queue/join", {"fn_index": 0, "session_hash": "a", "data": [{"url": picture}, None]}),
    ):
        assert http.post(f"/gradio_api/{place}", json=body).status_code == 413


@pytest.mark.parametrize(
    ("method", "place"),
    [
        ("POST", "run/compare"),  # past the queue
        ("POST", "api/compare"),
        ("GET", "deep_link?session_hash=test"),  # what a visitor sent, kept for a link
        ("POST", "process_recording"),
        ("GET", "upload_progress?upload_id=1"),
        ("GET", "proxy=https://example.org/"),
        ("GET", "file=https://example.org/"),
        ("GET", "file=/etc/passwd"),
        ("GET", "stream/test/0/1/playlist.m3u8"),
        ("POST", "vibe-edit"),
        ("GET", "custom_component/1/client/component/index.js"),
        ("GET", "run-history/records"),
        ("GET", "dev/reload"),
    ],
)
def test_what_the_app_does_not_use_is_closed(http, method, place):
    response = http.request(method, f"/gradio_api/{place}", json={"data": []} if method == "POST" else None)
    assert (response.status_code, response.json()) == (404, {"detail": "This app has nothing here."})


@pytest.mark.parametrize("kind", ["TIFF", "EPS", "PPM", "ICO", "JPEG2000", "TGA"])
def test_other_plug_ins_decode_nothing(http, kind):
    """Gradio's own image input would have opened it, by name or by content, before the endpoint is called."""
    data = encoded(drawing("RGB", (128, 128)), kind)
    for name in (f"a.{kind.lower()}", "a.png"):
        uploaded = http.post("/gradio_api/upload", files={"files": (name, data)}).json()
        answer = called(http, "compare", [{"path": uploaded[0]}] * 2)
        assert "not a PNG, JPEG, WebP, BMP" in answer


def test_a_phone_photograph_of_48_megapixels_comes_in_as_a_file(http):
    photograph = encoded(drawing("L", (8064, 6048)), "JPEG")
    uploaded = http.post("/gradio_api/upload", files={"files": ("a.jpg", photograph)}).json()
    answer = called(http, "compare", [{"path": uploaded[0]}] * 2)
    assert answer.startswith("event: complete")
    assert '"verdict": "same"' in answer


def test_the_app_is_launched_closed():
    settings = launch_settings(Settings("::", 7860, "/x", has_mcp=False))
    for name in ("share", "show_error", "enable_monitoring", "run_history", "pwa", "mcp_server"):
        assert settings[name] is False
    assert "allowed_paths" not in settings
    assert settings.keys() <= inspect.signature(gr.Blocks.launch).parameters.keys()
    assert settings["max_file_size"] == 32 << 20
    assert (settings["server_name"], settings["server_port"], settings["root_path"]) == ("[::]", 7860, "/x")
    demo = build_demo(Recognizer(narrow_network()))
    assert (demo._queue.max_size, demo.api_open, demo.delete_cache) == (64, False, (600, 1800))


def test_releases_with_known_holes_are_not_installed():
    floors = dict(line.split(",")[0].split(">=") for line in (ROOT / "requirements.txt").read_text().split())
    as_numbers = {name: tuple(map(int, floor.split("."))) for name, floor in floors.items()}
    assert as_numbers["gradio"] >= (6, 25)
    assert as_numbers["pillow"] >= (12, 3)
    assert as_numbers["python-multipart"] >= (0, 0, 31)


def test_another_visitors_picture_cannot_be_had(http, app_address):
    """Not even by somebody who knows its path."""
    (path,) = http.post("/gradio_api/upload", files={"files": ("mine.png", b"a signature")}).json()
    assert Path(path).read_bytes() == b"a signature"
    for place in (f"file={path}", f"file/{path}", f"proxy={app_address}/gradio_api/file={path}", path):
        assert http.get(f"/gradio_api/{place}").status_code == 404


def test_files_are_taken_at_one_place_only(http):
    for place in ("component_server", "component_server/", "queue/join", "call/compare"):
        files = {"file": ("a.png", b"anything")}
        assert http.post(f"/gradio_api/{place}", files=files).status_code == 415


def test_functions_that_are_on_no_list_cannot_be_called(http):
    components = {one["id"]: one["props"] for one in http.get("/config").json()["components"]}
    with_functions = {number: props["server_fns"] for number, props in components.items() if props.get("server_fns")}
    first = next(iter(with_functions))
    for number, name in (
        (first, "preprocess"),
        (first, "get_config"),
        (first, "__class__"),
        (first, "no_such"),
        (next(number for number in components if number not in with_functions), "challenge_deal"),
    ):
        body = {"session_hash": "test", "component_id": number, "fn_name": name, "data": {}}
        assert http.post("/gradio_api/component_server", json=body).status_code == 404


def test_numbers_and_choices_are_checked_past_the_components(http):
    """Gradio lets values beyond a component's range, and of another kind, through to the function."""
    for data, words in (
        ([10**6, "invented", ""], "n_way must be one of"),
        (["10", "invented", ""], "n_way must be one of"),
        ([[5], "invented", ""], "n_way must be one of"),
        ([5, {"a": 1}, ""], "data must be one of"),
        ([5, "invented", 7], "is not a challenge"),
        ([5, "invented", "5i-" + "a" * 1_000_000], "is not a challenge"),
    ):
        answer = called(http, "new_challenge", data)
        assert answer.startswith("event: error")
        assert words in answer


def test_a_data_url_of_a_program_is_bounded_like_a_file(http):
    answer = called(http, "compare", [{"url": "data:image/png;base64," + "A" * (11 << 20)}, None])
    assert "larger than 8 MB" in answer


def test_the_page_gives_no_answer_away_and_asks_no_other_host(http):
    page = http.get("/").text
    assert "challenge_answer" not in json.dumps(http.get("/config").json()["dependencies"])
    assert not re.findall(r"(?:src|href)=[\"']https?://", page)
    assert "fonts.googleapis" not in page
    assert "fonts.googleapis" not in http.get("/theme.css").text


def test_what_pages_may_call_answers_every_nonsense_with_a_sentence(http):
    components = http.get("/config").json()["components"]
    tried = 0
    for component in components:
        for name in component["props"].get("server_fns") or []:
            for data in (None, [], "x", 3, {"n_way": 10**400}, {"round": {"a": 1}, "choice": 1e308}, {"link": ["x"]}):
                body = {"session_hash": "test", "component_id": component["id"], "fn_name": name, "data": data}
                response = http.post("/gradio_api/component_server", json=body)
                assert response.status_code == 200
                answer = response.json()
                if "error" in answer:
                    assert "Traceback" not in answer["error"]
                    assert "went wrong" not in answer["error"], (name, data)
                    tried += 1
    assert tried > 60


def test_nothing_of_a_signature_stays_on_the_disk(client, files, http):
    uploaded = http.post("/gradio_api/upload", files={"files": ("mine.png", b"not a picture at all")})
    (path,) = uploaded.json()
    assert Path(path).exists()
    answer = called(http, "verify", [[{"path": path}], {"path": path}, ""])
    assert "not a PNG" in answer
    assert not Path(path).exists()


def test_an_import_of_the_app_loads_no_data_sets_and_no_plots():
    code = "import sys, siamese.ui.app; print([m for m in ('datasets', 'matplotlib') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=240)
    assert done.stdout.strip().splitlines()[-1] == "[]", done.stdout + done.stderr


def test_the_page_describes_itself_first_and_is_sent_compressed(http, app_address):
    plain = http.get("/", headers={"accept-encoding": "identity"})
    page = plain.text
    assert page.index("<title>One Look</title>") < page.index('property="og:title"') < page.index("<script")
    for name in ('property="og:title"', 'property="og:image"', 'name="twitter:card"', 'rel="manifest"', "<title>"):
        assert page.count(name) == 1
    assert f'content="{app_address}/images/preview.png"' in page
    with http.stream("GET", "/", headers={"accept-encoding": "gzip"}) as response:
        sent = sum(map(len, response.iter_raw()))
    assert response.headers["content-encoding"] == "gzip"
    assert sent < len(plain.content) / 3
    assert http.get("/favicon.ico").content[:4] == b"\x89PNG"


def test_each_parameter_and_result_is_described_with_its_range(http):
    endpoints = http.get("/gradio_api/info").json()["named_endpoints"]
    for endpoint in endpoints.values():
        assert len(endpoint["description"]) > 20
        assert all(len(one["python_type"]["description"]) > 10 for one in endpoint["parameters"])
        assert endpoint["returns"][0]["python_type"]["type"].count(" (") >= 4
    assert "in [0, 1]" in endpoints["/compare"]["returns"][0]["python_type"]["type"]
    assert "at most 32 MB" in endpoints["/verify"]["parameters"][0]["python_type"]["description"]


@pytest.mark.parametrize("endpoint", sorted(PUBLIC))
def test_the_api_page_s_examples_run_as_they_stand(http, endpoint, capsys):
    info = http.get("/gradio_api/info").json()["named_endpoints"][endpoint]
    exec(compile(info["code_snippets"]["python"].replace('")\n', '", verbose=False)\n', 1), endpoint, "exec"), {})
    printed = ast.literal_eval(capsys.readouterr().out)
    assert len(printed) >= 4
    if shutil.which("curl") and shutil.which("bash"):
        script = info["code_snippets"]["bash"]
        done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, timeout=120)
        assert "event: complete" in done.stdout, (script, done.stdout, done.stderr)


@pytest.mark.parametrize("place", ["gradio_api/mcp/schema", "monitoring/summary"])
def test_no_request_of_the_api_page_fails(http, place):
    assert http.get(f"/{place}").status_code < 400
