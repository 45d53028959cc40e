// The small curves: the mouse, a tap or the arrow keys pick an operating point on one, and a box beside it tells what the
// point gives. Without this script there is no box.
(() => {
  const box = document.querySelector(".reading");
  if (!box) return;
  const dot = document.createElementNS("http://www.w3.org/2000/svg", "circle");
  const values = [...box.querySelectorAll("[data-value]")];
  const gap = 8; // pixels between the box and the edges of the window, or the curve above it
  const steps = { ArrowRight: 1, ArrowUp: 1, ArrowLeft: -1, ArrowDown: -1, PageUp: 10, PageDown: -10 };
  dot.setAttribute("class", "dot");
  dot.setAttribute("r", "2.6");

  // The points of a curve, from the highest threshold to the lowest: where each lies, and what it gives, as texts.
  function pointsOf(figure) {
    const kind = figure.dataset.curve, finding = points.findings[figure.dataset.place];
    if (finding) {
      const places = finding.thresholds.map((_, i) => points.at[kind](finding, i));
      return { places, start: finding.start, texts: (i) => points.texts(finding, i) };
    }
    // Only an ROC curve comes without points of its own: see `pointed` in report.html.j2.
    const drawn = figure.querySelector(".curve").getAttribute("d").slice(1).split(" ");
    const places = drawn.map((pair) => pair.split(",").map(Number));
    const youden = places.map(([x, y]) => -x - y);
    const texts = (i) => ({ sensitivity: (1 - places[i][1] / 100).toFixed(3), specificity: (1 - places[i][0] / 100).toFixed(3) });
    return { places, start: youden.indexOf(Math.max(...youden)), texts };
  }

  function hide() {
    box.hidden = true;
    dot.remove();
  }

  // The box goes above the curve and its name, where a finger does not cover it, or below where there is no room above.
  function put(picture) {
    const curve = picture.getBoundingClientRect(), caption = picture.parentElement.getBoundingClientRect(), { width, height } = box.getBoundingClientRect();
    const most = document.documentElement.clientWidth - width - gap;
    const left = Math.max(gap, Math.min(curve.left + (curve.width - width) / 2, most));
    const above = caption.top - height;
    const top = above < 0 ? curve.bottom + gap : above;
    box.style.left = `${left + window.scrollX}px`;
    box.style.top = `${top + window.scrollY}px`;
  }

  function makeReadable(figure) {
    const picture = figure.querySelector("svg"), { places, start, texts } = pointsOf(figure);
    const name = figure.querySelector("figcaption b").textContent;
    let chosen = start;

    function show(i) {
      chosen = Math.max(0, Math.min(i, places.length - 1));
      const told = { name, ...texts(chosen) };
      for (const value of values) {
        value.textContent = told[value.dataset.value] ?? "";
        value.parentElement.hidden = value.dataset.value !== "name" && !(value.dataset.value in told);
      }
      picture.append(dot);
      points.move(dot, places[chosen]);
      picture.setAttribute("aria-valuenow", String(chosen));
      picture.setAttribute("aria-valuetext", Object.entries(told).slice(1)
        .map(([what, text]) => `${what.replace("_", " ")} ${text}`).join(", "));
      box.hidden = false;
      put(picture);
    }

    picture.setAttribute("tabindex", "0");
    picture.setAttribute("role", "slider");
    picture.setAttribute("aria-label", `${name}: ${picture.getAttribute("aria-label")}`);
    picture.setAttribute("aria-valuemin", "0");
    picture.setAttribute("aria-valuemax", String(places.length - 1));
    picture.setAttribute("aria-valuenow", String(start));
    for (const kind of ["pointermove", "click"]) {
      picture.addEventListener(kind, (event) => show(points.nearest(picture, event, places)));
    }
    picture.addEventListener("pointerleave", (event) => {
      if (event.pointerType !== "touch" && document.activeElement !== picture) hide();
    });
    picture.addEventListener("pointercancel", hide); // the finger scrolls
    picture.addEventListener("focus", () => {
      if (picture.matches(":focus-visible")) show(chosen); // reached by the keyboard
    });
    picture.addEventListener("blur", hide);
    picture.addEventListener("keydown", (event) => {
      if (event.key === "Escape") return hide();
      const step = event.key === "Home" ? -places.length : event.key === "End" ? places.length : steps[event.key];
      if (!step || event.ctrlKey || event.altKey || event.metaKey) return;
      event.preventDefault();
      show(chosen + step);
    });
  }

  document.querySelectorAll(".panel[data-curve]").forEach(makeReadable);
  document.addEventListener("pointerdown", (event) => {
    if (!event.target.closest(".panel[data-curve]")) hide();
  });
  for (const hint of document.querySelectorAll(".pointing")) hint.hidden = false;
})();
