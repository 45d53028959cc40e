"use strict";
// Tables that can be sorted by a click on a heading, and copied. Without this script the page shows the same numbers.
(() => {
  const numberIn = (text) => {
    const found = text.replace(/,/g, "").match(/[-+]?\d+(\.\d+)?/);
    return found ? Number(found[0]) : null;
  };
  const valueOf = (row, place) => row.children[place].textContent.trim();

  function sort(table, place) {
    const body = table.tBodies[0], headings = table.tHead.rows[0].children;
    const before = headings[place].getAttribute("aria-sort");
    const up = before ? before === "descending" : place === 0; // numbers: the largest first
    const rows = [...body.rows].map((row) => ({ row, text: valueOf(row, place), number: numberIn(valueOf(row, place)) }));
    const texts = place === 0;
    rows.sort((a, b) => {
      if (texts) return a.text.localeCompare(b.text) * (up ? 1 : -1);
      if (a.number === null || b.number === null) return (a.number === null) - (b.number === null);
      return (a.number - b.number) * (up ? 1 : -1);
    });
    body.append(...rows.map((each) => each.row));
    for (const heading of headings) heading.removeAttribute("aria-sort");
    headings[place].setAttribute("aria-sort", up ? "ascending" : "descending");
  }

  // What a spreadsheet would take for a formula begins with an apostrophe; signs of numbers are left as they are.
  const plain = (text) => (/^\s*[=+\-@]/.test(text) && !/^[-+]?[\d.,]+( to [-+]?[\d.,]+)?$/.test(text) ? "'" + text : text);
  const asText = (table) =>
    [...table.rows].map((row) => [...row.cells].filter((cell) => !cell.classList.contains("bar"))
      .map((cell) => plain(cell.textContent.trim().replace(/\s+/g, " "))).join("\t")).join("\n");

  async function copy(table, button) {
    const text = asText(table);
    try {
      await navigator.clipboard.writeText(text);
    } catch {
      const area = document.createElement("textarea");
      area.value = text;
      document.body.append(area);
      area.select();
      document.execCommand("copy");
      area.remove();
    }
    button.textContent = "copied";
    setTimeout(() => { button.textContent = "copy"; }, 1500);
  }

  for (const table of document.querySelectorAll("table.numbers")) {
    [...table.tHead.rows[0].children].forEach((heading, place) => {
      if (heading.classList.contains("bar")) return;
      const button = document.createElement("button");
      button.type = "button";
      button.append(...heading.childNodes);
      button.addEventListener("click", () => sort(table, place));
      heading.append(button);
    });
    const button = document.createElement("button");
    button.type = "button";
    button.className = "copy";
    button.textContent = "copy";
    button.title = "Copies the table, for a spreadsheet";
    button.addEventListener("click", () => copy(table, button));
    table.parentElement.before(button);
  }
})();
