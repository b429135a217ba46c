"use strict";
(() => {
  const all = (selector, root = document) => [...root.querySelectorAll(selector)];

  // What a link leads to is shown, also where it is folded away.
  const unfold = () => {
    const target = document.getElementById(decodeURIComponent(location.hash.slice(1)));
    const folded = target && target.closest("details:not([open])");
    if (folded) {
      folded.open = true;
      target.scrollIntoView();
    }
  };
  window.addEventListener("hashchange", unfold);
  unfold();

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

  // What a mark says, beside the pointer; and whose it is, in every figure.
  const tip = document.getElementById("tip");
  const figures = document.getElementById("figures");
  const series = new Map();
  for (const mark of all(".plot [data-series]")) {
    const known = series.get(mark.dataset.series) || [];
    series.set(mark.dataset.series, [...known, mark]);
  }
  let pinned = null, lit = null;
  const light = (name) => {
    if (name === lit || !figures) return;
    (series.get(lit) || []).forEach((mark) => mark.classList.remove("on"));
    lit = series.has(name) ? name : null;
    (series.get(lit) || []).forEach((mark) => mark.classList.add("on"));
    figures.classList.toggle("lit", lit !== null);
  };
  const show = (event) => {
    const mark = event.target.closest ? event.target.closest("[data-tip]") : null;
    light(mark && mark.dataset.series ? mark.dataset.series : pinned);
    tip.hidden = !mark;
    if (!mark) return;
    // Marks may cover one another; what lies below is read as well.
    const under = document.elementsFromPoint(event.clientX, event.clientY)
      .map((one) => one.closest(".plot [data-tip]")).filter((one) => one !== null);
    tip.textContent = [...new Set([mark, ...under].map((one) => one.dataset.tip))].join("\n");
    const box = tip.getBoundingClientRect();
    const left = Math.min(event.clientX + 14, window.innerWidth - box.width - 8);
    const below = event.clientY + 16 + box.height < window.innerHeight;
    tip.style.left = `${Math.max(8, left)}px`;
    tip.style.top = `${below ? event.clientY + 16 : event.clientY - box.height - 12}px`;
  };
  const hide = () => { tip.hidden = true; light(pinned); };
  for (const plot of all(".plot")) {
    plot.addEventListener("pointermove", show);
    plot.addEventListener("pointerdown", show);
    plot.addEventListener("pointerleave", hide);
  }
  const legend = document.getElementById("legend");
  if (legend) {
    const buttons = all("button", legend);
    buttons.forEach((button) => {
      button.hidden = !series.has(button.dataset.series);
      button.addEventListener("click", () => {
        pinned = pinned === button.dataset.series ? null : button.dataset.series;
        buttons.forEach((one) => one.setAttribute("aria-pressed", String(one.dataset.series === pinned)));
        light(pinned);
      });
      button.addEventListener("pointerenter", () => light(button.dataset.series));
      button.addEventListener("pointerleave", () => light(pinned));
    });
    legend.hidden = false;
  }
  document.addEventListener("keydown", (event) => { if (event.key === "Escape") hide(); });
  document.addEventListener("scroll", () => { tip.hidden = true; }, { passive: true });
})();
