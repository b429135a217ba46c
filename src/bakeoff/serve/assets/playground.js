"use strict";
(() => {
  const at = (id) => document.getElementById(id);
  const made = (tag, text, parent) => {
    const element = document.createElement(tag);
    if (text !== undefined) element.textContent = text;
    if (parent) parent.append(element);
    return element;
  };
  const say = (text) => { at("status").textContent = text; };
  let key = "";
  let models = [];
  let row = null; // the test row that was picked
  let filled = null; // what it put into the prompt's field; null where it is shown beside it
  let isObject = false; // whether the prompt's field holds a row's columns as JSON
  let running = null;
  let pair = null; // a blind comparison that waits for its vote
  let searches = 0;
  let searching = new AbortController(), typing;

  const ask = async (path, body, signal) => {
    const headers = {};
    if (key) headers.authorization = `Bearer ${key}`;
    if (body) headers["content-type"] = "application/json";
    const response = await fetch(path, {
      method: body ? "POST" : "GET", headers, signal, body: body ? JSON.stringify(body) : undefined,
    });
    if (response.ok) return response;
    let message = `The server answered ${response.status}.`;
    try { message = (await response.json()).error.message; } catch { /* no JSON */ }
    const error = new Error(message);
    error.status = response.status;
    throw error;
  };

  const load = async () => {
    try {
      models = (await (await ask("/v1/models")).json()).data;
    } catch (error) {
      if (error.status === 401) {
        at("key-form").hidden = false;
        at("key").focus();
        say("This server wants a key.");
      } else if (error.status === 503) {
        say("The models are being loaded …");
        setTimeout(load, 1000);
      } else say(error.message || "The server cannot be reached.");
      return;
    }
    at("key-form").hidden = true;
    say(`${models.length} models are ready.`);
    const box = at("models");
    box.replaceChildren();
    models.forEach((model, place) => {
      const label = made("label", undefined, box);
      label.className = "check";
      const input = made("input", undefined, label);
      input.type = "checkbox";
      input.value = model.id;
      input.checked = place < 4;
      made("span", model.id, label);
      made("small", model.slower ? `${model.kind}, slower` : model.kind, label);
    });
    hint();
    await Promise.all([find(), tally()]);
  };

  const chosen = () => {
    const ids = [...at("models").querySelectorAll("input:checked")].map((input) => input.value);
    return models.filter((model) => ids.includes(model.id));
  };
  const study = () => (chosen()[0] || models[0] || { study: "" }).study;

  const find = async () => {
    const turn = ++searches;
    searching.abort();
    searching = new AbortController();
    const words = encodeURIComponent(at("search").value);
    let found;
    try {
      const path = `/rows?study=${encodeURIComponent(study())}&search=${words}`;
      found = await (await ask(path, undefined, searching.signal)).json();
    } catch { return; }
    if (turn !== searches) return; // a later search has been begun
    const count = found.total > found.data.length
      ? `${found.total} rows, the first ${found.data.length} shown` : `${found.total} rows`;
    at("rows-count").textContent = found.note ? `${count}; ${found.note}` : count;
    const place = study();
    at("rows").replaceChildren(...found.data.map((found_row) => {
      const one = { ...found_row, study: place };
      const item = document.createElement("li");
      const button = made("button", one.prompt, item);
      button.type = "button";
      button.setAttribute("aria-pressed", "false");
      button.addEventListener("click", () => {
        for (const other of at("rows").querySelectorAll("button")) other.setAttribute("aria-pressed", "false");
        button.setAttribute("aria-pressed", "true");
        pick(one);
      });
      return item;
    }));
  };

  // A row of one text is the prompt itself; the columns of others are shown in place of its field.
  const pick = (one) => {
    const values = one.row ? Object.values(one.row) : [one.prompt];
    const isText = values.length === 1 && typeof values[0] === "string";
    row = one;
    isObject = false;
    show(!isText);
    if (isText) {
      at("prompt").value = values[0];
      filled = at("prompt").value;
      at("prompt").focus();
    } else {
      filled = null;
      at("picked-title").textContent = `Test row ${one.index + 1}`;
      at("picked-columns").replaceChildren(...Object.entries(one.row).flatMap(([name, value]) => {
        const told = document.createElement("dd");
        told.append(...readable(value));
        return [made("dt", name), told];
      }));
      at("run").focus();
    }
  };
  const show = (isPicked) => {
    at("picked").hidden = !isPicked;
    at("written").hidden = isPicked;
    at("prompt").required = !isPicked;
  };
  const list = (items) => {
    const element = document.createElement("ul");
    for (const item of items) made("li", item, element);
    return element;
  };
  const readable = (value) => {
    const plain = (one) => ["string", "number", "boolean"].includes(typeof one);
    const texts = value && Array.isArray(value.text) ? value.text : value;
    if (plain(value)) return [made("p", String(value))];
    if (Array.isArray(texts) && texts.every(plain)) {
      const labels = value.label || [];
      return [list(texts.map((text, place) => (plain(labels[place]) ? `${labels[place]}: ${text}` : text)))];
    }
    if (Array.isArray(value) && value.every((turn) => turn && turn.role && plain(turn.content))) {
      return value.map((turn) => {
        const line = document.createElement("p");
        made("strong", `${turn.role}: `, line);
        line.append(turn.content);
        return line;
      });
    }
    return [made("p", JSON.stringify(value, null, 1))];
  };
  const write = (text, asObject) => {
    row = null;
    isObject = asObject;
    for (const button of at("rows").querySelectorAll("button")) button.setAttribute("aria-pressed", "false");
    show(false);
    at("prompt").value = text;
    at("prompt-help").textContent = asObject ? "The row's columns, as JSON." : help;
    at("prompt").focus();
  };
  const help = at("prompt-help").textContent;
  const asking = () => { // the row that is asked, if any is
    if (row && filled !== null && at("prompt").value !== filled) return null;
    return row;
  };
  const question = () => {
    const asked = asking(), isRaw = at("raw").checked;
    if (asked && !isRaw) return { test_row: { study: asked.study, index: asked.index } };
    if (asked) return { prompt: asked.prompt };
    if (!isObject || isRaw) return { prompt: at("prompt").value };
    try {
      return { row: JSON.parse(at("prompt").value) };
    } catch {
      throw new Error("The row's columns are no JSON.");
    }
  };
  const hint = () => {
    const columns = (chosen()[0] || models[0] || { columns: [] }).columns;
    at("prompt").placeholder = columns.length > 1
      ? JSON.stringify(Object.fromEntries(columns.map((name) => [name, "…"]))) : "";
  };

  // Marks what of a text is not, in this order, in another one.
  const words = (text) => text.match(/\s+|[^\s]+/g) || [];
  const differing = (text, other) => {
    const a = words(text), b = words(other);
    if (a.length * b.length > 4e6) return null;
    const width = b.length + 1;
    const best = new Uint32Array((a.length + 1) * width);
    for (let i = a.length - 1; i >= 0; i--) {
      for (let j = b.length - 1; j >= 0; j--) {
        best[i * width + j] = a[i] === b[j]
          ? best[(i + 1) * width + j + 1] + 1
          : Math.max(best[(i + 1) * width + j], best[i * width + j + 1]);
      }
    }
    const parts = [];
    for (let i = 0, j = 0; i < a.length;) {
      if (j < b.length && a[i] === b[j]) { parts.push([a[i], false]); i++; j++; }
      else if (j < b.length && best[i * width + j + 1] >= best[(i + 1) * width + j]) j++;
      else { parts.push([a[i], true]); i++; }
    }
    return parts;
  };
  const mark = (element, text, other) => {
    const parts = differing(text, other);
    if (!parts) return;
    element.replaceChildren(...parts.map(([part, isNew]) => {
      if (!isNew || !part.trim()) return document.createTextNode(part);
      return made("mark", part);
    }));
  };

  const card = (name) => {
    const article = made("article", undefined, at("grid"));
    article.className = "answer-card";
    article.setAttribute("aria-label", name);
    const found = { article, title: made("h3", name, article), body: made("p", "", article), text: "", done: null };
    found.body.className = "text";
    found.figures = made("p", "waiting", article);
    found.figures.className = "figures";
    return found;
  };

  const events = async (response, take) => {
    const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
    let held = "";
    for (;;) {
      const { value, done } = await reader.read();
      if (done) return;
      held += value;
      const parts = held.split("\n\n");
      held = parts.pop();
      for (const part of parts) {
        const data = part.replace(/^data: /, "");
        if (data !== "[DONE]") take(JSON.parse(data));
      }
    }
  };

  const settings = () => {
    const body = { raw: at("raw").checked };
    const number = (id, name) => { if (at(id).value !== "") body[name] = Number(at(id).value); };
    number("max-tokens", "max_tokens");
    number("temperature", "temperature");
    number("seed", "seed");
    return body;
  };

  const finish = (shown, asked) => {
    const reference = asked ? asked.reference : null;
    at("reference").hidden = !reference;
    if (reference) at("reference").querySelector(".text").textContent = reference;
    const first = shown.find((one) => one.done && !one.done.error);
    at("legend").textContent = reference
      ? "Marked: words that the reference does not have at that place."
      : "Marked: words that the first answer does not have at that place.";
    for (const one of shown) {
      const other = reference || (one === first ? null : first && first.text);
      if (other !== null && other !== undefined && one.text) mark(one.body, one.text, other);
    }
  };

  const run = async () => {
    if (running) return;
    let picked = chosen();
    if (picked.length < 1) { say("Choose a model."); return; }
    const isBlind = at("blind").checked;
    pair = null;
    at("ballot").hidden = true;
    if (isBlind) {
      if (picked.length < 2) { say("Choose two models or more for a blind comparison."); return; }
      if (new Set(picked.map((model) => model.study)).size > 1) { say("Choose models of one study."); return; }
      for (let i = picked.length - 1; i > 0; i--) {
        const j = Math.floor(Math.random() * (i + 1));
        [picked[i], picked[j]] = [picked[j], picked[i]];
      }
      picked = picked.slice(0, 2);
    }
    at("grid").replaceChildren();
    at("reference").hidden = true;
    const shown = picked.map((model, place) => card(isBlind ? "AB"[place] : model.id));
    const by = new Map(picked.map((model, place) => [model.id, shown[place]]));
    running = new AbortController();
    at("run").disabled = true;
    at("stop").disabled = false;
    say("The models are writing …");
    const asked = asking();
    const prompt = asked ? asked.prompt : at("prompt").value;
    try {
      const body = { models: picked.map((model) => model.id), stream: true, ...question(), ...settings() };
      await events(await ask("/compare", body, running.signal), (event) => {
        const one = by.get(event.model);
        if (event.text) { one.text += event.text; one.body.textContent = one.text; one.figures.textContent = "writing"; }
        if (!event.done) return;
        one.done = event.done;
        if (event.done.error) {
          one.article.classList.add("failed");
          one.figures.textContent = event.done.error.message;
        } else {
          if (!one.text) { one.body.textContent = "(empty answer)"; one.body.classList.add("empty"); }
          const { completion_tokens: tokens, seconds, first_token_seconds: first, scores } = event.done;
          if (scores) {
            const share = Math.max(...scores.map((choice) => choice.score));
            one.figures.textContent = isBlind ? "chosen" : `chosen with ${(100 * share).toFixed(0)} % in ${seconds.toFixed(2)} s`;
          } else {
            one.figures.textContent = isBlind ? `${tokens} tokens`
              : `${tokens} tokens in ${seconds.toFixed(2)} s, the first after ${first.toFixed(2)} s`;
          }
        }
      });
      finish(shown, asked);
      say("All have answered.");
      if (isBlind && shown.every((one) => one.done && !one.done.error)) {
        pair = { picked, shown, prompt };
        at("ballot").hidden = false;
        say("Both have answered. Which is better?");
      }
    } catch (error) {
      for (const one of shown) if (!one.done) one.figures.textContent = "stopped";
      say(error.name === "AbortError" ? "Stopped." : error.message || "The connection was lost.");
    } finally {
      running = null;
      at("run").disabled = false;
      at("stop").disabled = true;
    }
  };

  const vote = async (verdict) => {
    if (!pair) return;
    const { picked, shown, prompt } = pair;
    pair = null;
    at("ballot").hidden = true;
    try {
      await ask("/votes", {
        study: picked[0].study, a: picked[0].id, b: picked[1].id, verdict, prompt,
        answer_a: shown[0].text, answer_b: shown[1].text,
      });
      say(`Kept. A was ${picked[0].id}, B was ${picked[1].id}.`);
    } catch (error) {
      say(`The vote is not kept: ${error.message}`);
    }
    shown.forEach((one, place) => {
      one.title.textContent = `${"AB"[place]}: ${picked[place].id}`;
      one.article.setAttribute("aria-label", picked[place].id);
    });
    await tally();
  };

  const tally = async () => {
    let found;
    try {
      found = (await (await ask(`/votes?study=${encodeURIComponent(study())}`)).json()).data;
    } catch { return; }
    if (!found.length) return;
    const shown = (value) => (value === null ? "–" : value.toFixed(2));
    at("tally").replaceChildren(...found.map((one) => {
      const line = document.createElement("tr");
      const interval = one.low === null ? "–" : `${shown(one.low)} to ${shown(one.high)}`;
      for (const text of [one.a, one.b, one.better, one.tie, one.worse, shown(one.mean), interval, one.verdict]) {
        made("td", String(text), line);
      }
      return line;
    }));
  };

  at("form").addEventListener("submit", (event) => { event.preventDefault(); run(); });
  at("key-form").addEventListener("submit", (event) => {
    event.preventDefault();
    key = at("key").value;
    load();
  });
  at("stop").addEventListener("click", () => running && running.abort());
  at("search").addEventListener("input", () => { // one search for a word, not one for each letter
    clearTimeout(typing);
    typing = setTimeout(find, 200);
  });
  at("models").addEventListener("change", () => { hint(); find(); tally(); });
  at("edit").addEventListener("click", () => write(JSON.stringify(row.row, null, 2), true));
  at("unpick").addEventListener("click", () => write("", false));
  at("prompt").addEventListener("keydown", (event) => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) { event.preventDefault(); run(); }
  });
  at("ballot").addEventListener("click", (event) => {
    if (event.target.dataset.vote) vote(event.target.dataset.vote);
  });
  load();
})();
