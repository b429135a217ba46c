"use strict";
(() => {
  const all = (selector, root = document) => [...root.querySelectorAll(selector)];

  // Sorting: a button in every head; what is missing stays last either way.
  const sort = (table, index, head, direction) => {
    const body = table.tBodies[0];
    const numeric = head.dataset.sort === "number";
    const sign = direction === "ascending" ? 1 : -1;
    const key = (row) => row.cells[index].dataset.value;
    const rows = [...body.rows].sort((one, two) => {
      const [a, b] = [key(one), key(two)];
      if (a === undefined || b === undefined) return (a === undefined) - (b === undefined);
      return sign * (numeric ? Number(a) - Number(b) : a.localeCompare(b));
    });
    body.append(...rows);
    all("thead th", table).forEach((th) => th.removeAttribute("aria-sort"));
    head.setAttribute("aria-sort", direction);
  };
  for (const table of all("table.sortable")) {
    all("thead th", table).forEach((head, index) => {
      const button = document.createElement("button");
      button.type = "button";
      button.append(...head.childNodes);
      head.append(button);
      button.addEventListener("click", () => {
        const first = head.dataset.first || "ascending";
        const second = first === "ascending" ? "descending" : "ascending";
        sort(table, index, head, head.getAttribute("aria-sort") === first ? second : first);
      });
    });
  }

  // What a mark says, beside the pointer.
  const tip = document.getElementById("tip");
  const show = (event) => {
    const mark = event.target.closest ? event.target.closest("[data-tip]") : null;
    tip.hidden = !mark;
    if (!mark) return;
    tip.textContent = mark.dataset.tip;
    const box = tip.getBoundingClientRect();
    const left = Math.min(event.clientX + 14, window.innerWidth - box.width - 8);
    const below = event.clientY + 16 + box.height < window.innerHeight;
    tip.style.left = `${Math.max(8, left)}px`;
    tip.style.top = `${below ? event.clientY + 16 : event.clientY - box.height - 12}px`;
  };
  for (const plot of all(".plot")) {
    plot.addEventListener("pointermove", show);
    plot.addEventListener("pointerdown", show);
    plot.addEventListener("pointerleave", () => { tip.hidden = true; });
  }
  document.addEventListener("keydown", (event) => { if (event.key === "Escape") tip.hidden = true; });
  document.addEventListener("scroll", () => { tip.hidden = true; }, { passive: true });

  // The browser of examples.
  const tools = document.getElementById("tools");
  if (tools) {
    const list = document.getElementById("list");
    const search = document.getElementById("search");
    const order = document.getElementById("order");
    const found = document.getElementById("found");
    const articles = all(".example", list);
    tools.hidden = false;
    tools.addEventListener("submit", (event) => event.preventDefault());
    const filter = () => {
      const wanted = search.value.trim().toLowerCase();
      let shown = 0;
      for (const article of articles) {
        article.hidden = wanted !== "" && !article.textContent.toLowerCase().includes(wanted);
        shown += article.hidden ? 0 : 1;
      }
      found.textContent = wanted === "" ? "" : `${shown} of ${articles.length}`;
    };
    search.addEventListener("input", filter);
    order.addEventListener("change", () => {
      const key = order.value;
      list.append(...articles.sort((a, b) => Number(a.dataset[key]) - Number(b.dataset[key])));
    });
    for (const box of all("input[data-method]", tools)) {
      box.addEventListener("change", () => {
        for (const card of all(".card", list)) {
          if (card.dataset.method === box.dataset.method) card.hidden = !box.checked;
        }
      });
    }
  }

  // Paper cannot be unfolded.
  let folded = [];
  window.addEventListener("beforeprint", () => {
    folded = all("details:not([open])");
    folded.forEach((part) => { part.open = true; });
  });
  window.addEventListener("afterprint", () => { folded.forEach((part) => { part.open = false; }); });
})();
