// Fetches the tables again every two seconds. They are escaped by the server; no script in them would run
// anyway, because the page's policy allows only this file.
"use strict";
const live = document.getElementById("live");
const state = document.getElementById("state");
async function refresh() {
  try {
    const response = await fetch("/api/v1/live", { cache: "no-store" });
    if (!response.ok) throw new Error(await response.text());
    const parsed = new DOMParser().parseFromString(await response.text(), "text/html");
    live.replaceChildren(...parsed.body.childNodes);
    state.textContent = "";
  } catch (error) {
    state.textContent = "No answer from the collector: " + error.message;
  }
  setTimeout(refresh, 2000);
}
setTimeout(refresh, 2000);
