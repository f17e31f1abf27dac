// Follows a run that has not ended: the page is drawn again, at most once a second, when something happened.
const run = document.currentScript.dataset.run;
let waiting = false;
const redraw = () => {
  if (waiting) return;
  waiting = true;
  setTimeout(async () => {
    waiting = false;
    const page = new DOMParser().parseFromString(await (await fetch(location.href)).text(), "text/html");
    document.querySelector("main").replaceWith(page.querySelector("main"));
  }, 1000);
};
const source = new EventSource(`/runs/${run}/events`);
for (const kind of ["outcome", "step_started", "batch_started"]) source.addEventListener(kind, redraw);
source.addEventListener("run_finished", () => { source.close(); redraw(); });
