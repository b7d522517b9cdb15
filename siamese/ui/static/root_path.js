// Says what is wrong where a proxy serves the page under a prefix that the app was not told of: the page itself is
// found, but everything that it asks the server is not.
addEventListener("DOMContentLoaded", () => {
  const trimmed = (path) => path.replace(/\/+$/, "");
  const here = trimmed(location.pathname);
  if (window.gradio_config === undefined || here === trimmed(new URL(window.gradio_config.root, location).pathname)) {
    return;
  }
  const notice = document.createElement("p");
  notice.setAttribute("role", "alert");
  notice.className = "wrong-root-path";
  notice.style.cssText = "margin:0;padding:1rem;background:#bf3420;color:#fff;font:1rem/1.5 system-ui,sans-serif";
  notice.textContent =
    `This page is served under ${here || "/"}, but the app was not told so and cannot be reached from here. ` +
    `Whoever runs it must start it with GRADIO_ROOT_PATH=${here || "/"}.`;
  document.body.prepend(notice);
});
