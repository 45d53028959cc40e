// An operating point that the reader moves along the curves of a finding: by the slider, by the arrow keys, or by
// pointing at a curve. The table beside the curves follows. Without this script the part is not shown.
(() => {
  const { part, findings } = points;
  if (!part) return;
  const choice = part.querySelector("select"), slider = part.querySelector("input");
  const pictures = [["roc", part.querySelector("svg.roc")], ["recall", part.querySelector("svg.recall")]];
  let chosen = findings[0];

  const places = (kind) => chosen.thresholds.map((_, i) => points.at[kind](chosen, i));
  const path = (kind) => places(kind).map(([x, y]) => `${x.toFixed(2)},${y.toFixed(2)}`).join(" ");

  function show() {
    const i = Number(slider.value), texts = points.texts(chosen, i);
    for (const cell of part.querySelectorAll("[data-value]")) cell.textContent = texts[cell.dataset.value];
    slider.setAttribute("aria-valuetext", `threshold ${texts.threshold}`);
    for (const [kind, picture] of pictures) points.move(picture.querySelector(".dot"), points.at[kind](chosen, i));
  }

  function choose() {
    chosen = findings[Number(choice.value)];
    slider.max = String(chosen.thresholds.length - 1);
    slider.value = String(chosen.start);
    const [roc, recall] = pictures.map(([, picture]) => picture);
    roc.querySelector(".curve").setAttribute("d", `M0,100 ${path("roc")}`);
    recall.querySelector(".curve").setAttribute("d", `M${path("recall")}`);
    const prevalence = 100 - (100 * chosen.positive) / (chosen.positive + chosen.negative);
    recall.querySelector(".chance").setAttribute("d", `M0,${prevalence.toFixed(2)}H100`);
    show();
  }

  findings.forEach((finding, place) => choice.append(new Option(finding.name, String(place))));
  choice.addEventListener("change", choose);
  slider.addEventListener("input", show);
  for (const [kind, picture] of pictures) {
    picture.addEventListener("pointermove", (event) => {
      slider.value = String(points.nearest(picture, event, places(kind)));
      show();
    });
  }
  part.hidden = false;
  choose();
})();
