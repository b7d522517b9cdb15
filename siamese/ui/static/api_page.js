// Opens the API page for ?view=api. Gradio knows that address, but loads what it shows only when the button at the foot
// of the page is used.
if (new URLSearchParams(location.search).get("view") === "api") {
  const tries = setInterval(() => {
    if (document.querySelector(".api-docs") !== null) clearInterval(tries);
    else document.querySelector("footer button.show-api")?.click(); // does nothing until Gradio listens to it
  }, 200);
}
