// An operating point that the reader moves along the curves of a finding: by the slider, by the arrow keys, or by
// pointing at a curve. The table beside the curves follows. Without this script the part is not shown.
(() => {
  const part = document.querySelector("section.operating");
  if (!part) return;
  const findings = JSON.parse(part.dataset.findings);
  const choice = part.querySelector("select"), slider = part.querySelector("input");
  const roc = part.querySelector("svg.roc"), recall = part.querySelector("svg.recall");
  let chosen = findings[0];

  const share = (value, whole) => (whole ? value / whole : null);
  const shareText = (value) => (value === null ? "none" : value.toFixed(3));
  const thresholdText = (value) => (value === 0 || Math.abs(value) >= 0.1 ? value.toFixed(3) : value.toPrecision(3));
  const rocAt = (i) => [chosen.false[i] / chosen.negative, chosen.true[i] / chosen.positive];
  const recallAt = (i) => [chosen.true[i] / chosen.positive, chosen.true[i] / (chosen.true[i] + chosen.false[i])];
  const pair = ([x, y]) => `${(100 * x).toFixed(2)},${(100 - 100 * y).toFixed(2)}`;
  const places = () => chosen.thresholds.map((_, i) => i);

  function show() {
    const i = Number(slider.value), positive = chosen.true[i] + chosen.false[i];
    const missed = chosen.positive - chosen.true[i], absent = chosen.negative - chosen.false[i];
    const values = {
      threshold: thresholdText(chosen.thresholds[i]),
      sensitivity: shareText(share(chosen.true[i], chosen.positive)),
      specificity: shareText(share(absent, chosen.negative)),
      ppv: shareText(share(chosen.true[i], positive)),
      npv: shareText(share(absent, absent + missed)),
      true_positives: chosen.true[i].toLocaleString("en"),
      false_positives: chosen.false[i].toLocaleString("en"),
      false_negatives: missed.toLocaleString("en"),
      true_negatives: absent.toLocaleString("en"),
    };
    for (const cell of part.querySelectorAll("[data-value]")) cell.textContent = values[cell.dataset.value];
    slider.setAttribute("aria-valuetext", `threshold ${values.threshold}`);
    for (const [picture, at] of [[roc, rocAt], [recall, recallAt]]) {
      const [x, y] = at(i), dot = picture.querySelector(".dot");
      dot.setAttribute("cx", (100 * x).toFixed(2));
      dot.setAttribute("cy", (100 - 100 * y).toFixed(2));
    }
  }

  function choose() {
    chosen = findings[Number(choice.value)];
    slider.max = String(chosen.thresholds.length - 1);
    slider.value = String(chosen.start);
    roc.querySelector(".curve").setAttribute("d", `M0,100 ${places().map((i) => pair(rocAt(i))).join(" ")}`);
    recall.querySelector(".curve").setAttribute("d", `M${places().map((i) => pair(recallAt(i))).join(" ")}`);
    const prevalence = 100 - (100 * chosen.positive) / (chosen.positive + chosen.negative);
    recall.querySelector(".chance").setAttribute("d", `M0,${prevalence.toFixed(2)}H100`);
    show();
  }

  function follow(picture, at) {
    picture.addEventListener("pointermove", (event) => {
      const here = new DOMPoint(event.clientX, event.clientY).matrixTransform(picture.getScreenCTM().inverse());
      const away = (i) => {
        const [x, y] = at(i);
        return (100 * x - here.x) ** 2 + (100 - 100 * y - here.y) ** 2;
      };
      slider.value = String(places().reduce((best, i) => (away(i) < away(best) ? i : best), 0));
      show();
    });
  }

  findings.forEach((finding, place) => choice.append(new Option(finding.name, String(place))));
  choice.addEventListener("change", choose);
  slider.addEventListener("input", show);
  follow(roc, rocAt);
  follow(recall, recallAt);
  part.hidden = false;
  choose();
})();
