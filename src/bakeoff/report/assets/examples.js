"use strict";
// The browser of examples. Texts are in the page as blocks of JSON; a row is built when it comes
// near the window and taken down when it is far, so that thousands scroll like ten.
document.addEventListener("DOMContentLoaded", () => {
  const head = document.getElementById("rows-head");
  if (!head) return;
  const { chunk, metric, names, rows } = JSON.parse(head.textContent);
  const FIRST = names.length > 6 ? 2 : 3, MORE = 100, GROUP = 50, LONG = 150;
  const byId = (id) => document.getElementById(id);
  const tools = byId("tools"), list = byId("list"), search = byId("search"), order = byId("order");
  const only = byId("only"), found = byId("found"), more = byId("more");
  const boxes = names.map((_, i) => tools.querySelector(`input[data-column="${i}"]`));
  const labels = boxes.map((box) => box.closest("label"));
  const count = (n) => n.toLocaleString("en");
  // As Python writes it: what rounds to zero has no minus.
  const written = (value) => (Number(value.toFixed(metric.digits)) + 0).toFixed(metric.digits);
  const score = (value) => value === null || value === undefined ? "–"
    : written(metric.factor * value);
  const make = (tag, name, text) => {
    const element = document.createElement(tag);
    if (name) element.className = name;
    if (text !== undefined) element.textContent = text;
    return element;
  };

  // Texts, read block by block.
  const sources = [...document.querySelectorAll("script.rows")];
  const blocks = [];
  const texts = (at) => {
    const block = Math.floor(at / chunk);
    blocks[block] ??= JSON.parse(sources[block].textContent);
    return blocks[block][at % chunk];
  };
  const haystacks = [];
  const haystack = (at) => {
    if (haystacks[at] === undefined) {
      const [text, , reference, written] = texts(at);
      haystacks[at] = [text, reference, ...written].join("\n").toLowerCase();
    }
    return haystacks[at];
  };

  // Runs of two or more words that the reference holds, compared without case.
  const WORD = /[\p{L}\p{M}\p{N}_]+/gu;
  const wordsOf = (text) => [...text.matchAll(WORD)].map((m) => (
    { word: m[0].toLowerCase(), start: m.index, end: m.index + m[0].length }));
  const pairsOf = (text) => {
    const known = wordsOf(text);
    return new Set(known.slice(1).map((w, i) => `${known[i].word} ${w.word}`));
  };
  const marked = (text, pairs) => {
    const part = document.createDocumentFragment();
    const known = wordsOf(text), spans = [];
    known.slice(1).forEach((right, i) => {
      const left = known[i];
      if (!pairs.has(`${left.word} ${right.word}`)) return;
      const last = spans[spans.length - 1];
      if (last && last.end > left.start) last.end = right.end;
      else spans.push({ start: left.start, end: right.end });
    });
    let at = 0;
    for (const { start, end } of spans) {
      if (start > at) part.append(text.slice(at, start));
      part.append(make("mark", "", text.slice(start, end)));
      at = end;
    }
    part.append(text.slice(at));
    return part;
  };

  const box = (title, text, name) => {
    const outer = make("div");
    const inner = make("div", "text box");
    inner.dir = "auto";
    inner.tabIndex = 0;
    inner.setAttribute("role", "region");
    inner.setAttribute("aria-label", name);
    inner.append(text);
    outer.append(make("h4", "", title), inner);
    return outer;
  };
  const card = (column, at, text, pairs) => {
    const outer = make("div", "card");
    outer.dataset.column = column;
    outer.hidden = !boxes[column].checked;
    const title = make("h4");
    const value = make("b", "", score(rows[at][2][column]));
    value.title = `${metric.title} ${metric.unit}`.trim();
    title.append(labels[column].querySelector("svg").cloneNode(true),
      make("span", "", labels[column].textContent.trim()), value);
    const summary = make("p", "text");
    summary.dir = "auto";
    if (text.length > LONG) {
      // What scrolls must be reached by keyboard; short texts need no stop.
      summary.classList.add("long");
      summary.tabIndex = 0;
      summary.setAttribute("role", "region");
      summary.setAttribute("aria-label", `${names[column]} on row ${rows[at][0]}`);
    }
    if (text === "") summary.append(make("i", "", "empty"));
    else summary.append(marked(text, pairs));
    outer.append(title, summary);
    return outer;
  };
  const fill = (article) => {
    if (article.childElementCount > 1) return;
    const at = Number(article.dataset.at);
    const [text, isCut, reference, written] = texts(at);
    const pairs = pairsOf(reference);
    const source = make("div", "source");
    const shown = document.createDocumentFragment();
    shown.append(text);
    if (isCut) shown.append(" ", make("i", "", "[only the start is shown]"));
    const row = rows[at][0];
    source.append(box(head.input, shown, `${head.input} of row ${row}`),
      box("Reference", reference, `Reference of row ${row}`));
    const cards = make("div", "cards");
    written.forEach((summary, column) => {
      if (summary !== null) cards.append(card(column, at, summary, pairs));
    });
    article.classList.remove("wait");
    article.style.minHeight = "";
    article.append(source, cards);
  };
  const empty = (article, height) => {
    if (article.childElementCount < 2 || article.contains(document.activeElement)) return;
    article.style.minHeight = `${height}px`;
    while (article.childElementCount > 1) article.lastChild.remove();
  };
  // Some milliseconds of building a frame, and the rest in the next: a fling never waits for it.
  const due = new Set();
  let isDraining = false;
  const drain = () => {
    const until = performance.now() + 6;
    for (const article of due) {
      due.delete(article);
      fill(article);
      if (performance.now() > until) break;
    }
    isDraining = due.size > 0;
    if (isDraining) requestAnimationFrame(drain);
  };
  const watcher = new IntersectionObserver((entries) => {
    for (const { target, isIntersecting, boundingClientRect } of entries) {
      due.delete(target);
      if (isIntersecting) due.add(target);
      else empty(target, boundingClientRect.height);
    }
    if (due.size > 0 && !isDraining) {
      isDraining = true;
      requestAnimationFrame(drain);
    }
  }, { rootMargin: "1600px 0px" });
  // Rows are watched only in the groups near the window: watching thousands costs every frame.
  const groups = new IntersectionObserver((entries) => {
    for (const { target, isIntersecting } of entries) {
      for (const article of target.children) {
        if (isIntersecting) watcher.observe(article);
        else {
          watcher.unobserve(article);
          due.delete(article);
          if (article.childElementCount > 1) empty(article, article.offsetHeight);
        }
      }
    }
  }, { rootMargin: "4000px 0px" });

  // Which rows, in which order.
  let wanted = [], numShown = 0;
  const choose = () => {
    const text = search.value.trim().toLowerCase();
    const best = only.value === "" ? null : Number(only.value);
    wanted = rows.map((_, at) => at);
    if (best !== null) {
      wanted = wanted.filter((at) => {
        const scores = rows[at][2], top = scores[best];
        return top !== null && scores.every((s, i) => i === best || s === null || s < top);
      });
    }
    if (text !== "") wanted = wanted.filter((at) => haystack(at).includes(text));
    const [by, column] = order.value.split(":");
    if (by === "index") wanted.sort((a, b) => rows[a][0] - rows[b][0]);
    if (by === "low" || by === "high") {
      const sign = by === "low" ? 1 : -1;
      const key = (at) => rows[at][2][column] ?? sign * 9;
      wanted.sort((a, b) => sign * (key(a) - key(b)));
    }
    watcher.disconnect();
    groups.disconnect();
    due.clear();
    list.replaceChildren();
    numShown = 0;
    show(FIRST);
    found.textContent = wanted.length === rows.length ? `${count(rows.length)} rows`
      : `${count(wanted.length)} of ${count(rows.length)} rows`;
  };
  const placeholder = (at) => {
    const [index, spread] = rows[at];
    const article = make("article", "example wait");
    article.dataset.at = at;
    article.dataset.index = index;
    const title = make("h3", "", `Row ${index}`);
    title.tabIndex = -1;
    if (spread !== null) title.append(" ", make("small", "", `${metric.title} differs by ${score(spread)}`));
    article.append(title);
    return article;
  };
  const show = (number) => {
    const fresh = wanted.slice(numShown, numShown + number).map(placeholder);
    const isFirst = numShown === 0;
    for (let i = 0; i < fresh.length; i += GROUP) {
      const group = make("div");
      group.append(...fresh.slice(i, i + GROUP));
      list.append(group);
      if (!isFirst) groups.observe(group);
    }
    // The first rows are always there, for paper too.
    if (isFirst) fresh.forEach(fill);
    numShown += fresh.length;
    const left = wanted.length - numShown;
    more.hidden = left === 0;
    const [some, all] = more.children;
    some.hidden = left <= MORE;
    some.textContent = `Show ${MORE} more`;
    all.textContent = left <= MORE ? `Show the other ${left}` : `Show all ${count(wanted.length)}`;
    return fresh[0];
  };
  const extend = (number) => {
    const next = show(number);
    if (next) next.firstChild.focus({ preventScroll: true });
  };

  let timer = 0;
  search.addEventListener("input", () => {
    clearTimeout(timer);
    timer = setTimeout(choose, 120);
  });
  order.addEventListener("change", choose);
  only.addEventListener("change", choose);
  more.children[0].addEventListener("click", () => extend(MORE));
  more.children[1].addEventListener("click", () => extend(wanted.length));
  tools.addEventListener("submit", (event) => event.preventDefault());
  boxes.forEach((input, column) => input.addEventListener("change", () => {
    for (const one of list.querySelectorAll(`.card[data-column="${column}"]`)) one.hidden = !input.checked;
  }));
  tools.hidden = false;
  choose();
});
