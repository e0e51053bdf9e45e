// Keys, undo and the copied link. Everything else is htmx, and works without a script.
"use strict";

const typing = "input:not([type=range]), select, textarea";

function show() {
  for (const id of ["copy", "undo"]) {
    const button = document.getElementById(id);
    if (button) button.hidden = false;
  }
}

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.target.matches(typing)) return;
  if (event.target.matches("input[type=range]") && event.key.startsWith("Arrow")) return;
  const found = document.querySelector(`[data-key="${CSS.escape(event.key)}"]`);
  if (!found || (found.tagName === "A" && !found.hasAttribute("href"))) return;
  event.preventDefault();
  found.click();
});

document.addEventListener("click", async (event) => {
  if (event.target.id === "undo") history.back();
  if (event.target.id === "copy") {
    await navigator.clipboard.writeText(document.getElementById("link").href);
    event.target.textContent = "copied";
  }
});

// While a slider moves the address stays; when it is let go the state becomes a step that can be undone.
document.addEventListener("htmx:config:request", (event) => {
  const { ctx } = event.detail;
  if (["change", "submit", "click"].includes(ctx.sourceEvent?.type)) ctx.push = "true";
});
document.addEventListener("htmx:before:history:update", (event) => {
  event.detail.history.path = event.detail.response.headers.get("x-state") ?? event.detail.history.path;
});
document.addEventListener("htmx:after:swap", show);
show();
