"""The endpoints as tools of the Model Context Protocol, called by its own client; a small network answers."""

import ast
import asyncio
import base64
from concurrent.futures import ThreadPoolExecutor

import pytest
from gradio import route_utils, routes

from siamese.characters.recognizer import Recognizer
from siamese.ui.app import build_demo, launch_settings
from siamese.ui.metadata import example_images
from siamese.ui.startup import UPLOADS, Settings
from tests.networks import narrow_network
from tests.running_app import free_port

pytestmark = [  # see conftest.py
    pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning"),
    pytest.mark.filterwarnings("ignore:There is no current event loop:DeprecationWarning"),
]

TOOLS = {"compare", "verify", "classify", "new_challenge", "answer_challenge"}


@pytest.fixture(scope="module")
def tools(tmp_path_factory):
    """A function that lists the tools, or calls one of them, on an app that serves them."""
    patch = pytest.MonkeyPatch()
    folder = tmp_path_factory.mktemp("temporary") / UPLOADS
    folder.mkdir()
    patch.setenv("GRADIO_TEMP_DIR", str(folder))
    patch.setenv("NO_PROXY", "*")
    for module, name in ((route_utils, "GradioUploadFile"), (routes, "generate_code_snippets")):
        patch.setattr(module, name, getattr(module, name))
    settings = Settings("127.0.0.1", free_port(), "", has_mcp=True)
    demo = build_demo(Recognizer(narrow_network()))
    demo.launch(**launch_settings(settings), prevent_thread_lock=True)

    async def used(tool=None, arguments=None):
        from mcp import ClientSession
        from mcp.client.streamable_http import streamable_http_client

        async with (
            streamable_http_client(f"{settings.address}/gradio_api/mcp/") as (incoming, outgoing, _),
            ClientSession(incoming, outgoing) as session,
        ):
            await session.initialize()
            return await (session.list_tools() if tool is None else session.call_tool(tool, arguments))

    def run(*given):
        with ThreadPoolExecutor(1) as thread:
            return thread.submit(asyncio.run, used(*given)).result(120)

    yield run
    demo.close(verbose=False)
    patch.undo()


def test_five_tools_are_listed_with_their_descriptions(tools):
    listed = {tool.name: tool for tool in tools().tools}
    assert set(listed) == TOOLS
    assert "operating point" in listed["verify"].description
    for tool in listed.values():
        assert "Returns: " in tool.description
        assert "in [0, 1]" in tool.description or tool.name == "new_challenge"
        for parameter in tool.inputSchema["properties"].values():
            assert len(parameter["description"]) > 10
    assert listed["compare"].inputSchema["properties"]["first"]["type"] == "string"
    assert listed["compare"].inputSchema["required"] == ["first", "second"]


def answered(result) -> dict:
    assert not result.isError, result.content
    return ast.literal_eval(result.content[0].text)


def test_each_tool_answers(tools):
    urls = {name: "data:image/png;base64," + base64.b64encode(data).decode() for name, data in example_images().items()}
    one, two, other = (urls[name] for name in ("character-1.png", "character-2.png", "other-character.png"))
    signatures = [urls[f"signature-{number}.png"] for number in (1, 2, 3)]
    assert 0 <= answered(tools("compare", {"first": one, "second": two}))["similarity"] <= 1
    judged = answered(tools("verify", {"references": signatures[:2], "questioned": signatures[2]}))
    assert len(judged["similarities"]) == 2
    assert answered(tools("classify", {"support": [one, other], "query": two}))["best"] in (0, 1)
    dealt = answered(tools("new_challenge", {"n_way": 5}))
    assert len(dealt["candidates"]) == 5
    result = answered(tools("answer_challenge", {"challenge_id": dealt["challenge_id"], "choice": 4}))
    assert result["choice"] == 4


def test_a_refusal_is_a_sentence(tools):
    refused = tools("compare", {"first": "https://example.org/a.png", "second": "x"})
    assert refused.isError
    assert "nothing is fetched from there" in refused.content[0].text
