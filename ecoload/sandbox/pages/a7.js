// Tells that the call to action was seen, once, and that it was clicked. One lineage for one view of a
// page; it stands on the button once the first of it is known, for whoever follows the events.
(() => {
  "use strict";
  const button = document.querySelector("button[data-cta]");
  if (!button) return;

  const bytes = crypto.getRandomValues(new Uint8Array(16));
  const lineage = Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");

  const tell = async (action) => {
    const what = { namespace: "perf_test", page: location.pathname, cta: button.dataset.cta, action, lineage_id: lineage };
    const answer = await fetch("/api/cta", {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify(what),
      keepalive: true, // a click leads away from the page
    });
    if (!answer.ok) return;
    const told = await answer.json();
    button.dataset.emitted = String(told.emitted);
    button.dataset.lineage = told.lineage_id;
  };
  const silently = () => {}; // a page is not broken by what it cannot tell

  const seen = new IntersectionObserver((entries) => {
    if (!entries.some((entry) => entry.isIntersecting)) return;
    seen.disconnect();
    tell("impression").catch(silently);
  }, { threshold: 0.5 });
  seen.observe(button);
  button.form.addEventListener("submit", () => { tell("click").catch(silently); });
})();
