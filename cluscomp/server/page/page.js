"use strict";
const $ = (id) => document.getElementById(id);
const OPTIONS = ["nprobe", "refine_factor", "candidates"];
const FIELDS = ["query", "filter", "first", "second", "k", ...OPTIONS];
const state = {indexes: [], asked: 0, timer: 0};

// Everything that is shown is made here: what documents hold becomes text, never markup.
function make(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name === "class") element.className = value;
    else if (name.startsWith("aria-")) element.setAttribute(name, value);
    else element[name] = value;
  }
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
}

async function ask(path, body) {
  const headers = {};
  const token = sessionStorage.getItem("token");
  if (token) headers.Authorization = `Bearer ${token}`;
  if (body) headers["Content-Type"] = "application/json";
  let answer;
  try {
    answer = await fetch(path, {headers, method: body ? "POST" : "GET", body: body && JSON.stringify(body)});
  } catch {
    throw new Error("The server does not answer.");
  }
  const found = await answer.json().catch(() => null);
  if (answer.ok && found) return found;
  if (answer.status === 401) openDialog($("token-dialog"), $("token"));
  throw new Error((found && found.detail) || `The server answers with status ${answer.status}.`);
}

const route = (name, rest) => `v1/indexes/${encodeURIComponent(name)}/${rest}`;
const factsOf = (name) => state.indexes.find((index) => index.name === name);
const milliseconds = (value) => `${value < 10 ? value.toFixed(2) : value.toFixed(0)} ms`;

function bytes(value) {
  if (value === null) return "-";
  if (value < 1000) return `${Math.round(value)} B`;
  return value < 1e6 ? `${(value / 1e3).toFixed(1)} kB` : value < 1e9 ? `${(value / 1e6).toFixed(1)} MB` : `${(value / 1e9).toFixed(1)} GB`;
}

function fail(error) {
  $("error").textContent = error ? error.message : "";
  $("error").hidden = !error;
}

// ---- searching ----

function options(index) {
  const found = {};
  for (const name of OPTIONS) {
    const value = parseInt($(name).value, 10);
    if (name in index.search_defaults && value >= 1) found[name] = name === "nprobe" && index.nlist ? Math.min(value, index.nlist) : value;
  }
  return found;
}

async function search(index, query, k) {
  const body = {k: Math.min(k, 1000), include: ["text", "attributes"], ...options(index)};
  const filter = $("filter").value.trim();
  if (filter && Object.keys(index.columns).length) body.filter = filter;
  if (index.encoder) return ask(route(index.name, "search"), {...body, text: query});
  const like = await ask(route(index.name, "documents:get"), {ids: [query], include: ["vector"]});
  const vectors = like.documents[0].vectors;
  if (!vectors) throw new Error(`The codes of ${index.name} have no way back to vectors, so it cannot be searched by a document.`);
  if (!index.several_vectors) return ask(route(index.name, "search"), {...body, vectors});
  return ask(route(index.name, "search"), {...body, tokens_b64: {...packed(vectors), lengths: [vectors.length]}});
}

function packed(rows) {
  const numbers = new Float32Array(rows.flat());
  let text = "";
  for (const byte of new Uint8Array(numbers.buffer)) text += String.fromCharCode(byte);
  return {dtype: "float32", shape: [rows.length, rows[0].length], data: btoa(text)};
}

function chosen() {
  return [$("first").value, $("second").value].filter((name, place, all) => name && all.indexOf(name) === place).map(factsOf).filter(Boolean);
}

async function run() {
  clearTimeout(state.timer);
  const number = ++state.asked;
  const query = $("query").value.trim();
  const k = Math.max(1, parseInt($("k").value, 10) || 10);
  remember();
  const indexes = chosen();
  if (!query || !indexes.length) {
    $("results").replaceChildren();
    $("status").textContent = "";
    fail(null);
    return;
  }
  try {
    const answers = [];  // one after the other, so that the times are those of searches alone
    for (const index of indexes) answers.push(await search(index, query, k));
    if (number !== state.asked) return;
    fail(null);
    show(indexes, answers, query);
  } catch (error) {
    if (number === state.asked) fail(error);
  }
}

function show(indexes, answers, query) {
  const hits = answers.map((answer) => answer.results[0].hits);
  const ranks = hits.map((list) => new Map(list.map((hit, place) => [hit.id, place + 1])));
  const columns = indexes.map((index, place) => column(index, answers[place], ranks[1 - place], place, query));
  $("results").className = indexes.length > 1 ? "two" : "";
  $("results").replaceChildren(...columns);
  const both = ranks[1] ? [...ranks[0].keys()].filter((id) => ranks[1].has(id)).length : 0;
  $("status").textContent = ranks[1]
    ? `${both} common, ${hits[0].length - both} lost, ${hits[1].length - both} won from ${indexes[0].name} to ${indexes[1].name}.`
    : `${hits[0].length} hits.`;
}

function column(index, answer, others, place, query) {
  const list = make("ol", {class: "hits"});
  answer.results[0].hits.forEach((hit, rank) => list.append(item(index, hit, rank + 1, others, place, query)));
  const facts = {"key": index.key, "rows": index.rows.toLocaleString("en"), "a document": bytes(index.bytes_per_document),
                 "search": milliseconds(answer.took_ms)};
  if (answer.encode_ms) facts.encoding = milliseconds(answer.encode_ms);
  if (answer.results[0].probed) facts.lists = `${answer.results[0].probed} of ${index.nlist}`;
  const shown = Object.entries(facts).map(([name, value]) => make("div", {}, make("dt", {}, name), make("dd", {}, value)));
  return make("div", {class: "column"}, make("h2", {}, index.name), make("dl", {}, ...shown), list);
}

function item(index, hit, rank, others, place, query) {
  const [kind, words] = mark(hit.id, rank, others, place);
  const text = hit.text ? make("p", {class: "text"}, hit.text) : null;
  const tools = make("div", {class: "tools"});
  if (hit.text && hit.text.length > 240) tools.append(more(text));
  if (index.several_vectors && index.encoder) {
    tools.append(make("button", {type: "button", onclick: () => why(index, hit, query), "aria-label": `Why ${hit.title || hit.id}`}, "Why"));
  }
  return make("li", {class: kind},
    make("div", {class: "line"}, make("span", {class: "rank"}, `${rank}.`), hit.title ? make("span", {class: "title"}, hit.title) : null,
      make("span", {class: "id"}, hit.id), words ? make("span", {class: `mark ${kind}`}, words) : null,
      make("span", {class: "score", title: "score"}, hit.score.toFixed(4))),
    text, hit.attributes ? make("p", {class: "soft attributes"}, shownAttributes(hit.attributes)) : null, tools.childElementCount ? tools : null);
}

const shownAttributes = (attributes) => Object.entries(attributes).map(([name, value]) => `${name}: ${Array.isArray(value) ? value.join(", ") : value}`).join("; ");

function mark(id, rank, others, place) {
  if (!others) return ["", ""];
  const other = others.get(id);
  if (other === undefined) return place ? ["won", "+ won"] : ["lost", "\u2212 lost"];
  return ["", other === rank ? "= same rank" : `other rank ${other}`];
}

function more(text) {
  const button = make("button", {type: "button", "aria-expanded": "false"}, "More");
  button.addEventListener("click", () => {
    const all = text.classList.toggle("all");
    button.textContent = all ? "Less" : "More";
    button.setAttribute("aria-expanded", String(all));
  });
  return button;
}

// ---- products of late interaction ----

async function why(index, hit, query) {
  try {
    const found = await ask(route(index.name, "explain"), {id: hit.id, text: query});
    $("why-title").textContent = `${hit.title || hit.id}: ${found.score.toFixed(4)}`;
    heat(found);
    openDialog($("why"), $("why").querySelector("[data-close]"));
  } catch (error) {
    fail(error);
  }
}

function heat(found) {
  const largest = Math.max(1e-9, ...found.products.flat());
  const head = make("tr", {}, make("th", {scope: "col"}, "query"));
  found.vectors.forEach((words, number) => head.append(make("th", {scope: "col", title: words.join(" ")}, behind(words, number))));
  const body = make("tbody");
  found.products.forEach((row, number) => {
    const line = make("tr", {}, make("th", {scope: "row"}, found.query[number]));
    row.forEach((value, place) => {
      const cell = make("td", {class: place === found.best[number] ? "best" : ""}, value.toFixed(2));
      cell.style.setProperty("--part", Math.max(0, value / largest).toFixed(3));
      line.append(cell);
    });
    body.append(line);
  });
  $("heat").replaceChildren(make("thead", {}, head), body);
}

// Words of one vector's head: the first different ones, without special tokens and signs; the title has all.
function behind(words, number) {
  const telling = [...new Set(words)].filter((word) => /[\p{L}\p{N}]{2}/u.test(word) && !/^[[<#]/.test(word));
  if (!words.length) return `vector ${number}`;
  const first = (telling.length ? telling : [...new Set(words)]).slice(0, 6).join(" ");
  return words.length > 6 ? `${first} \u2026 (${words.length})` : first;
}

function openDialog(dialog, focus) {
  if (!dialog.open) dialog.showModal();
  focus.focus();
}

// ---- the map of lists ----

async function drawMap() {
  const index = factsOf($("map-index").value);
  if (!index) return;
  try {
    const found = await ask(route(index.name, "map"));
    $("map-facts").textContent = `${found.lists.length} lists; the two directions hold ${Math.round(found.explained * 100)} % of the variance between them`;
    const most = Math.max(1, ...found.lists.map((list) => list.rows));
    const largest = Math.max(2.2, 46 / Math.sqrt(found.lists.length));
    const circles = [...found.lists].sort((a, b) => b.rows - a.rows).map((list) => circle(index, list, largest * Math.sqrt(list.rows / most)));
    $("map").replaceChildren(...circles);
    if (circles.length) circles[0].setAttribute("tabindex", "0");
    $("members").replaceChildren();
  } catch (error) {
    fail(error);
  }
}

function circle(index, list, radius) {
  const found = document.createElementNS("http://www.w3.org/2000/svg", "circle");
  const name = `List ${list.number}, ${list.rows.toLocaleString("en")} rows`;
  const set = {cx: list.x * 100, cy: -list.y * 100, r: Math.max(.6, radius), role: "button", tabindex: "-1", "aria-label": name};
  for (const [key, value] of Object.entries(set)) found.setAttribute(key, value);
  const title = document.createElementNS("http://www.w3.org/2000/svg", "title");
  title.textContent = name;
  found.append(title);
  found.addEventListener("click", () => members(index, list, found));
  return found;
}

async function members(index, list, shape) {
  for (const other of $("map").querySelectorAll(".chosen")) other.classList.remove("chosen");
  shape.classList.add("chosen");
  try {
    const found = await ask(route(index.name, `map/${list.number}`));
    const lines = found.documents.map((one) => make("li", {}, one.title || one.id));
    const first = list.rows > lines.length ? `, the first ${lines.length}` : "";
    $("members").replaceChildren(make("h3", {}, `List ${list.number}: ${list.rows.toLocaleString("en")} rows${first}`), make("ol", {}, ...lines));
  } catch (error) {
    fail(error);
  }
}

// Arrows go to the nearest circle in their direction; Enter and space are clicks.
$("map").addEventListener("keydown", (event) => {
  const from = document.activeElement;
  if (event.key === "Enter" || event.key === " ") {
    event.preventDefault();
    from.dispatchEvent(new MouseEvent("click", {bubbles: true}));
    return;
  }
  const step = {ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1]}[event.key];
  if (!step) return;
  event.preventDefault();
  const at = (shape) => [Number(shape.getAttribute("cx")), Number(shape.getAttribute("cy"))];
  const [x, y] = at(from);
  let best = null, least = Infinity;
  for (const shape of $("map").children) {
    const [a, b] = at(shape);
    const along = (a - x) * step[0] + (b - y) * step[1], across = Math.abs((a - x) * step[1]) + Math.abs((b - y) * step[0]);
    if (shape !== from && along > 0 && along + 2 * across < least) [best, least] = [shape, along + 2 * across];
  }
  if (best) {
    from.setAttribute("tabindex", "-1");
    best.setAttribute("tabindex", "0");
    best.focus();
  }
});

// ---- set-up ----

function remember() {
  const kept = new URLSearchParams();
  for (const id of FIELDS) if ($(id).value) kept.set(id, $(id).value);
  history.replaceState(null, "", `#${kept}`);
}

function fill(select, names, none) {
  const before = select.value;
  select.replaceChildren(...(none ? [new Option(none, "")] : []), ...names.map((name) => new Option(name, name)));
  if (names.includes(before)) select.value = before;
}

function choices() {
  const indexes = chosen();
  const words = indexes.length > 0 && indexes.every((index) => index.encoder);
  $("query-label").textContent = words ? "Query" : "Like document";
  $("hint").textContent = words ? "Hits appear while you type." : "No encoder is served for this index: give the id of a document to find others like it.";
  const columns = Object.assign({}, ...indexes.map((index) => index.columns));
  $("filter").parentElement.hidden = $("columns").hidden = !Object.keys(columns).length;
  $("columns").textContent = `Columns: ${Object.entries(columns).map(([name, kind]) => `${name} (${kind})`).join(", ")}. Such as: year >= 2020 and lang in ('en', 'de')`;
  for (const name of OPTIONS) $(name).parentElement.hidden = !indexes.some((index) => name in index.search_defaults);
}

async function start() {
  try {
    const found = await ask("v1/indexes");
    state.indexes = found.indexes;
    const names = found.indexes.map((index) => index.name);
    fill($("first"), names);
    fill($("second"), names, "nothing");
    $("second").parentElement.hidden = names.length < 2;
    const kept = new URLSearchParams(location.hash.slice(1));
    if (names.length > 1 && !kept.has("first")) $("second").value = names[1];
    for (const id of FIELDS) if (kept.has(id)) $(id).value = kept.get(id);
    const mapped = found.indexes.filter((index) => index.nlist).map((index) => index.name);
    fill($("map-index"), mapped);
    $("map-section").hidden = !mapped.length;
    fail(null);
    choices();
    await Promise.all([run(), drawMap()]);
  } catch (error) {
    fail(error);
  }
}

$("form").addEventListener("submit", (event) => {
  event.preventDefault();
  run();
});
for (const id of ["query", "filter", "k", ...OPTIONS]) {
  $(id).addEventListener("input", () => {
    clearTimeout(state.timer);
    state.timer = setTimeout(run, 180);
  });
}
for (const id of ["first", "second"]) {
  $(id).addEventListener("change", () => {
    choices();
    run();
  });
}
$("map-index").addEventListener("change", drawMap);
$("token-button").addEventListener("click", () => openDialog($("token-dialog"), $("token")));
$("token-form").addEventListener("submit", () => {
  sessionStorage.setItem("token", $("token").value.trim());
  $("token").value = "";
  start();
});
for (const button of document.querySelectorAll("[data-close]")) {
  button.addEventListener("click", () => button.closest("dialog").close());
}
start();
