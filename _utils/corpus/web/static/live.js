// Keeps what is marked with data-follow as the server has it: at each event of that stream the page is fetched again,
// and the element of the same id replaced. Without JavaScript one reloads.
"use strict";

function follow(element) {
  const source = new EventSource(element.dataset.follow);
  let waiting = null;
  const look = () => {
    waiting = null;
    fetch(location.href, { headers: { Accept: "text/html" } })
      .then((answer) => (answer.ok ? answer.text() : Promise.reject(answer.status)))
      .then((text) => {
        const now = document.getElementById(element.id);
        const made = new DOMParser().parseFromString(text, "text/html").getElementById(element.id);
        if (!now || !made) return;
        now.replaceChildren(...made.childNodes);
        if (!made.dataset.follow) source.close();
      })
      .catch(() => {});
  };
  const soon = () => {
    if (waiting === null) waiting = setTimeout(look, 250);
  };
  for (const kind of ["operation.step", "operation.says", "operation.state", "operation.end", "deployment.begin", "deployment.stage", "deployment.end"]) {
    source.addEventListener(kind, soon);
  }
  source.addEventListener("operation.end", () => {
    if (element.dataset.follow.includes("/operations/")) source.close();
  });
}

for (const element of document.querySelectorAll("[data-follow]")) follow(element);
