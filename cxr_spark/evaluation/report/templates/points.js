// The operating points of the findings, which are in the page as JSON, and what each of them gives.
const points = (() => {
  const part = document.querySelector("section.operating");
  const share = (value, whole) => (whole ? value / whole : null);
  const shareText = (value) => (value === null ? "none" : value.toFixed(3));
  const thresholdText = (value) => (value === 0 || Math.abs(value) >= 0.1 ? value.toFixed(3) : value.toPrecision(3));

  // What the place of an operating point gives, as texts by name.
  function texts(finding, i) {
    const positive = finding.true[i] + finding.false[i];
    const missed = finding.positive - finding.true[i], absent = finding.negative - finding.false[i];
    return {
      threshold: thresholdText(finding.thresholds[i]),
      sensitivity: shareText(share(finding.true[i], finding.positive)),
      specificity: shareText(share(absent, finding.negative)),
      ppv: shareText(share(finding.true[i], positive)),
      npv: shareText(share(absent, absent + missed)),
      true_positives: finding.true[i].toLocaleString("en"),
      false_positives: finding.false[i].toLocaleString("en"),
      false_negatives: missed.toLocaleString("en"),
      true_negatives: absent.toLocaleString("en"),
    };
  }

  // Where an operating point lies on either curve: x and y from 0 to 100, y downwards, as in the pictures.
  const at = {
    roc: (finding, i) => [(100 * finding.false[i]) / finding.negative, 100 - (100 * finding.true[i]) / finding.positive],
    recall: (finding, i) =>
      [(100 * finding.true[i]) / finding.positive, 100 - (100 * finding.true[i]) / (finding.true[i] + finding.false[i])],
  };

  // The place, among points of a picture, of the one nearest to where an event points.
  function nearest(picture, event, places) {
    const here = new DOMPoint(event.clientX, event.clientY).matrixTransform(picture.getScreenCTM().inverse());
    const away = places.map(([x, y]) => (x - here.x) ** 2 + (y - here.y) ** 2);
    return away.indexOf(Math.min(...away));
  }

  function move(dot, [x, y]) {
    dot.setAttribute("cx", x.toFixed(2));
    dot.setAttribute("cy", y.toFixed(2));
  }

  return { part, findings: part ? JSON.parse(part.dataset.findings) : [], texts, at, nearest, move };
})();
