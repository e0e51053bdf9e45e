// Says so where the server gives no answer: what is shown then belongs to an earlier request.
"use strict";

document.addEventListener("htmx:error", (event) => {
  const place = document.getElementById("message") ?? event.detail.ctx?.target;
  if (!place) return;
  const line = document.createElement("p");
  line.className = "verdict bad";
  line.setAttribute("role", "alert");
  line.textContent = "the server gives no answer; look whether it still runs";
  place.replaceChildren(line);
});
