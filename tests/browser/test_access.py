"""How the page is reached: the API page, a proxy with a prefix, a slow line."""

import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import httpx


def test_the_api_page_opens_by_its_address_and_none_of_its_requests_fails(open_page):
    page = open_page()
    failed = []
    page.on("response", lambda response: failed.append(response.url) if response.status >= 400 else None)
    page.goto(page.url + "?view=api")
    page.get_by_text("How alike two images of one character are.").first.wait_for()
    page.get_by_text("examples/signature-1.png").first.wait_for()
    assert page.get_by_text("as a data URL").count() >= 5
    assert page.get_by_text("bus.png").count() == 0
    page.wait_for_load_state("networkidle")
    assert failed == []


@contextmanager
def proxy(address: str, prefix: str):
    """A server that passes on what lies under a prefix, without it, and knows nothing else."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            if not self.path.startswith(f"{prefix}/"):
                self.send_error(404)
                return
            answer = httpx.get(address + self.path.removeprefix(prefix), headers={"host": self.headers["host"]})
            self.send_response(answer.status_code)
            self.send_header("content-type", answer.headers["content-type"])
            self.end_headers()
            self.wfile.write(answer.content)

        def log_message(self, *_args):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield f"http://127.0.0.1:{server.server_port}{prefix}/"
        finally:
            server.shutdown()


def test_a_prefix_that_the_app_was_not_told_of_is_named_on_the_page(browser, app_address):
    with proxy(app_address, "/one-look") as address:
        page = browser.new_page()
        page.goto(address)
        notice = page.get_by_role("alert").filter(has_text="GRADIO_ROOT_PATH")
        notice.wait_for()
        assert "served under /one-look" in notice.inner_text()
        assert "GRADIO_ROOT_PATH=/one-look" in notice.inner_text()
        page.close()


def test_without_a_prefix_nothing_is_said(open_page):
    page = open_page(query="/?challenge=daily")
    page.locator(".candidate").first.wait_for()
    assert page.locator(".wrong-root-path").count() == 0
