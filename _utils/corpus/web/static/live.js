// Keeps what is marked with data-follow as the server has it: at each event of that stream the page is fetched again,
// and the element of the same id replaced. What is marked with data-load is fetched when the page is there: another
// page's element "said"; and again, unless somebody is at it, when what is marked with data-reload hears of an end. What is
// there soon (data-again: milliseconds) is looked at again. Without JavaScript one reloads, and follows the link.
"use strict";

function page(address) {
  return fetch(address, { headers: { Accept: "text/html" } })
    .then((answer) => answer.text())
    .then((text) => new DOMParser().parseFromString(text, "text/html"));
}

function load(element) {
  page(element.dataset.load)
    .then((found) => {
      const said = found.getElementById("said") || found.querySelector(".problem");
      if (said) element.replaceChildren(...(said.id === "said" ? said.childNodes : [said]));
    })
    .catch(() => {});
}

function follow(element) {
  const source = new EventSource(element.dataset.follow);
  let waiting = null;
  const look = () => {
    waiting = null;
    page(location.href)
      .then((found) => {
        const now = document.getElementById(element.id);
        const made = found.getElementById(element.id);
        if (!now || !made) return;
        for (const part of made.querySelectorAll("[data-load]")) {
          const was = document.getElementById(part.id);
          if (was) part.replaceChildren(...was.childNodes);
        }
        now.replaceChildren(...made.childNodes);
        for (const part of now.querySelectorAll("[data-load]")) load(part);
        if (!made.dataset.follow) source.close();
        if (made.dataset.again) setTimeout(look, Number(made.dataset.again));
      })
      .catch(() => {});
  };
  const soon = () => {
    if (waiting === null) waiting = setTimeout(look, 250);
  };
  for (const kind of ["operation.step", "operation.says", "operation.state", "operation.end", "deployment.begin", "deployment.stage", "deployment.end"]) {
    source.addEventListener(kind, soon);
  }
  if ("reload" in element.dataset) {
    const reload = () => {
      for (const part of document.querySelectorAll("[data-load]")) {
        if (!part.contains(document.activeElement) && !part.querySelector("details[open]")) load(part);
      }
    };
    source.addEventListener("deployment.end", reload);
    source.addEventListener("operation.end", reload);
  }
  source.addEventListener("operation.end", () => {
    if (element.dataset.follow.includes("/operations/")) source.close();
  });
}

for (const element of document.querySelectorAll("[data-load]")) load(element);
for (const element of document.querySelectorAll("[data-follow]")) follow(element);
