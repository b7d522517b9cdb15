"""The examples that are written for the API page."""

import json

from siamese.ui.snippets import code_snippets

ROOT = "https://a.org/x"
FILE = {"path": "/examples/a.png", "url": "/examples/a.png", "meta": {"_type": "gradio.FileData"}}


def parameter(name: str, example: object = None, **default: object) -> dict:
    return {
        "parameter_name": name,
        "parameter_has_default": bool(default),
        "parameter_default": default.get("default"),
        "example_input": example,
    }


def test_files_are_named_by_their_whole_address():
    info = {"parameters": [parameter("references", [FILE, FILE]), parameter("point", default="")]}
    made = code_snippets("/verify", info, ROOT)
    calls = 'handle_file("https://a.org/x/examples/a.png")'
    assert f'    references=[{calls}, {calls}],\n    point="",\n' in made["python"]
    assert made["python"].startswith("from gradio_client import Client, handle_file\n")
    assert f'  references: [{calls}, {calls}],\n  point: "",\n' in made["javascript"]
    assert "https://a.org/x/gradio_api/call/v2/verify" in made["bash"]
    body = json.loads(made["bash"].partition("-d '")[2].partition("' |")[0])
    assert body["references"][1] == {"path": "https://a.org/x/examples/a.png", "meta": FILE["meta"]}


def test_a_space_is_found_by_its_name():
    made = code_snippets("/x", {"parameters": [parameter("n", 3)]}, ROOT, space_id="user/name")
    assert 'Client("user/name")' in made["python"]
    assert 'Client.connect("user/name")' in made["javascript"]
    assert "handle_file" not in made["python"] + made["javascript"]
    assert "https://a.org/x/gradio_api/" in made["bash"]


def test_an_answer_needs_a_challenge_first():
    info = {"parameters": [parameter("challenge_id", "x"), parameter("choice", 0)]}
    made = code_snippets("/answer_challenge", info, ROOT)
    assert made["python"].index('api_name="/new_challenge"') < made["python"].index('api_name="/answer_challenge"')
    assert 'challenge_id=before["challenge_id"]' in made["python"]
    assert "challenge_id: before.data[0].challenge_id" in made["javascript"]
    assert made["bash"].count("curl") == 4
