// Follows a run that has not ended: when something happened the page is drawn again, at most once a second.
const { run, after } = document.currentScript.dataset;
let busy = false;
let again = false;

async function redraw() {
  again = true;
  if (busy) return;
  busy = true;
  while (again) {
    again = false;
    await new Promise((resolve) => setTimeout(resolve, 1000));
    try {
      const answer = await fetch(location.href);
      if (!answer.ok) throw new Error(answer.status);
      const page = new DOMParser().parseFromString(await answer.text(), "text/html");
      document.querySelector("main").replaceWith(page.querySelector("main"));
      document.title = page.title;
    } catch {
      again = true;
    }
  }
  busy = false;
}

const source = new EventSource(`/runs/${run}/events?after=${after}`);
for (const kind of ["run_started", "step_started", "batch_started", "outcome"]) source.addEventListener(kind, redraw);
source.addEventListener("run_finished", () => { source.close(); redraw(); });
