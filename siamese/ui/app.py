"""The page with its masthead, tabs and endpoints, and the options with which it is launched."""

import logging
import os
from typing import Any

import gradio as gr
import httpx
from gradio.themes import Base
from starlette.middleware import Middleware

from siamese.characters.recognizer import Recognizer
from siamese.signatures.verifier import Verifier
from siamese.ui import api as programs
from siamese.ui.assets import bundle, script
from siamese.ui.game_session import GameSession
from siamese.ui.metadata import IMAGES, TITLE, routes
from siamese.ui.middleware import BodyLimit, DocumentHead, RouteAllowlist, TextCompression
from siamese.ui.pages import about, challenge, compare, own_classes, verify
from siamese.ui.server import UPLOAD_LIFE_S, cleanup
from siamese.ui.startup import Settings, StartupError, without_proxies
from siamese.ui.trials import TrialSource

WAITING_CALLS = 64  # of programs; the next one is told that the queue is full
CALLS_AT_ONCE = 4
FILE_LIFE_S = (600, UPLOAD_LIFE_S)  # uploads are looked through every ten minutes and dropped after half an hour
MAX_FILE_BYTES = 32 << 20

log = logging.getLogger("one_look")

# An eye under one stroke: "one" and "look", cut into a seal.
MASTHEAD = """
<header class="masthead">
<svg class="stamp" viewBox="0 0 64 64" aria-hidden="true">
<rect x="2" y="2" width="60" height="60" rx="9" fill="currentColor"/>
<g fill="none" stroke="var(--seal-ink)" stroke-width="4.6" stroke-linecap="round" stroke-linejoin="round">
<path d="M15 16.5 C25 14.5 39 14.5 49 16.5"/><path d="M12 38 C20 25.5 44 25.5 52 38 C44 50.5 20 50.5 12 38 Z"/>
<circle cx="32" cy="38" r="4.6" fill="var(--seal-ink)" stroke="none"/></g></svg>
<div><h1>One Look</h1><p>A network that recognises a character after seeing it once. Can you?</p></div>
</header>
"""


def theme() -> Base:
    """Returns Gradio's plainest theme with system fonts, so that no font is loaded from another host."""
    plain = Base(font=["system-ui", "sans-serif"], font_mono=["ui-monospace", "monospace"])
    return plain.set(
        body_background_fill="#f5efe3",
        body_background_fill_dark="#171411",
        body_text_color="#1d1916",
        body_text_color_dark="#efe7d8",
        background_fill_primary="#f5efe3",
        background_fill_primary_dark="#171411",
        border_color_primary="#d9cdb8",
        border_color_primary_dark="#42392f",
        color_accent="#bf3420",
    )


def build_demo(
    recognizer: Recognizer,
    secret: str | None = None,
    verifier: Verifier | None = None,
) -> gr.Blocks:
    """Builds the app around a recogniser.

    Args:
        recognizer: Compares characters.
        secret: Keys the links of challenges, see trials.py.
        verifier: Judges signatures, by default with the recogniser's own network.
    """
    verifier = verifier or Verifier(recognizer.encoder, preprocessing=recognizer.preprocessing)
    session = GameSession(recognizer, TrialSource(secret))
    with gr.Blocks(title=TITLE, analytics_enabled=False, delete_cache=FILE_LIFE_S) as demo:
        gr.HTML(MASTHEAD, apply_default_css=False, js_on_load=None)
        with gr.Tabs(overflow_behavior="wrap"):
            with gr.Tab("One-shot challenge", id="challenge", elem_id="challenge"):
                challenge.build(session)
            with gr.Tab("Compare", id="compare", elem_id="compare"):
                compare.build(recognizer)
            with gr.Tab("Verify a signature", id="verify", elem_id="verify"):
                verify.build(verifier)
            with gr.Tab("Your own classes", id="own", elem_id="own"):
                own_classes.build(recognizer)
            with gr.Tab("About", id="about", elem_id="about"):
                about.build(recognizer, verifier)
        programs.build(recognizer, session, verifier)
    demo.queue(max_size=WAITING_CALLS, default_concurrency_limit=CALLS_AT_ONCE, api_open=False)
    return demo


def launch_settings(settings: Settings) -> dict[str, Any]:
    """Returns the arguments of `demo.launch`: no sharing, no error details, no stored data."""
    return {
        "server_name": settings.url_host,
        "server_port": settings.port,
        "root_path": settings.root_path,
        "share": False,
        "show_error": False,
        "quiet": True,
        "theme": theme(),
        "css": script("style.css", "challenge.css", "tabs.css"),
        "head": "<script>" + bundle("page.js") + "</script>",
        "favicon_path": str(IMAGES / "icon-192.png"),
        "footer_links": ["api"],
        "run_history": False,
        "enable_monitoring": False,
        "pwa": False,
        "ssr_mode": False,
        "max_file_size": MAX_FILE_BYTES,
        "mcp_server": settings.has_mcp,
        "_frontend": False,  # Gradio would ask for the page and end the app where that takes 3 s, as on a busy machine
        "app_kwargs": {
            "middleware": [
                Middleware(RouteAllowlist),
                Middleware(BodyLimit),
                Middleware(TextCompression),
                Middleware(DocumentHead, root_path=settings.root_path),
            ],
            "routes": routes(settings.has_mcp),
            "lifespan": cleanup,
            "docs_url": None,
            "redoc_url": None,
        },
    }


def serve(demo: gr.Blocks, settings: Settings) -> None:
    """Serves the app until it is interrupted.

    Raises:
        StartupError: It cannot listen, or does not answer.
    """
    try:
        with without_proxies(os.environ):  # Gradio asks the app for a sign of life
            demo.launch(**launch_settings(settings), prevent_thread_lock=True)
    except (OSError, ValueError, httpx.HTTPError) as error:
        raise StartupError(f"The app could not be started at {settings.address}: {error}") from error
    print(f"One Look is at {settings.address}", flush=True)
    demo.block_thread()
