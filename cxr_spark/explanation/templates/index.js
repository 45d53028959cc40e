// Shows the pictures that have a map with all that the reader chose. Without this script the page shows all of them.
(() => {
  const form = document.querySelector("form.filters");
  if (!form) return;
  const cards = [...document.querySelectorAll(".pictured")].map((card) => ({ card, maps: [...card.querySelectorAll("li")] }));
  const told = form.querySelector("output");
  const right = ["found", "not_called"], wrong = ["false_alarm", "missed"];

  const verdictFits = (verdict, wanted) =>
    wanted === "right" ? right.includes(verdict) : wanted === "wrong" ? wrong.includes(verdict) : verdict === wanted;
  const boxFits = (map, wanted) => {
    if (wanted === "boxed") return map.place !== "";
    if (wanted === "in" || wanted === "outside") return map.place === wanted;
    return map.place !== "" && Number(map.iou) >= Number(wanted);
  };
  const fits = (map, chosen) =>
    (!chosen.finding || map.finding === chosen.finding) &&
    (!chosen.verdict || verdictFits(map.verdict, chosen.verdict)) &&
    (!chosen.place || boxFits(map, chosen.place));

  function apply() {
    const chosen = Object.fromEntries(new FormData(form));
    const any = Object.values(chosen).some(Boolean);
    let seen = 0;
    for (const { card, maps } of cards) {
      const fitting = maps.filter((map) => fits(map.dataset, chosen));
      for (const map of maps) map.classList.toggle("chosen", any && fitting.includes(map));
      card.hidden = fitting.length === 0;
      seen += fitting.length > 0 ? 1 : 0;
    }
    told.textContent = `${seen.toLocaleString("en")} of ${cards.length.toLocaleString("en")} pictures`;
  }

  form.addEventListener("change", apply);
  form.hidden = false;
  apply();
})();
