"use strict";
const OPTIONS = ["nprobe", "refine_factor", "candidates"];
const FIELDS = ["query", "filter", "tenant", "first", "second", "k", ...OPTIONS, "map-index", "view"];

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
  const body = {k: Math.min(k, 1000), include: ["text", "attributes"], ...options(index), ...whose(index)};
  const filter = $("filter").value.trim();
  if (filter && Object.keys(index.columns).length) body.filter = filter;
  if (index.takes_texts) return ask(route(index.name, "search"), {...body, text: query});
  const like = await ask(route(index.name, "documents:get"), {ids: [query], include: ["vector"], ...whose(index)});
  const {vectors, terms} = like.documents[0];
  if (!vectors && !terms) throw new Error(`The codes of ${index.name} have no way back to vectors, so it cannot be searched by a document.`);
  if (terms) body.terms = [terms];
  if (vectors && index.several_vectors) body.tokens_b64 = {...packed(vectors), lengths: [vectors.length]};
  else if (vectors) body.vectors = vectors;
  return ask(route(index.name, "search"), body);
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
  const facts = {"key": index.key, "rows": index.rows.toLocaleString("en"), "a document": `${bytes(index.code_bytes_per_document)} of codes, ${bytes(index.bytes_per_document)} in all`,
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
  if (index.several_vectors && index.takes_texts) {
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
    const found = await ask(route(index.name, "explain"), {id: hit.id, text: query, ...whose(index)});
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
  const words = indexes.length > 0 && indexes.every((index) => index.takes_texts);
  $("query-label").textContent = words ? "Query" : "Like document";
  $("hint").textContent = words ? "Hits appear while you type." : "No encoder is served for this index: give the id of a document to find others like it.";
  const columns = Object.assign({}, ...indexes.map((index) => index.columns));
  $("filter").parentElement.hidden = $("columns").hidden = !Object.keys(columns).length;
  $("columns").textContent = `Columns: ${Object.entries(columns).map(([name, kind]) => `${name} (${kind})`).join(", ")}. Such as: year >= 2020 and lang in ('en', 'de')`;
  $("tenant").parentElement.hidden = !indexes.some((index) => index.tenant_column);
  for (const name of OPTIONS) $(name).parentElement.hidden = !indexes.some((index) => name in index.search_defaults);
}

// The lists, as circles in the plane or as a treemap.
function draw() {
  const asTree = $("view").value === "tree";
  $("map").toggleAttribute("hidden", asTree);  // of SVG: it has no property of that name
  $("map-hint").hidden = asTree;
  $("tree").hidden = $("tree-bar").hidden = $("tree-hint").hidden = !asTree;
  $("members").replaceChildren();
  return asTree ? drawTree() : drawMap();
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
    $("map-index").value = [kept.get("map-index"), $("first").value, mapped[0]].find((name) => mapped.includes(name)) || "";
    $("map-section").hidden = !mapped.length;
    fail(null);
    choices();
    await Promise.all([run(), draw()]);
  } catch (error) {
    fail(error);
  }
}

$("form").addEventListener("submit", (event) => {
  event.preventDefault();
  run();
});
for (const id of ["query", "filter", "tenant", "k", ...OPTIONS]) {
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
for (const id of ["map-index", "view", "tenant"]) {
  $(id).addEventListener("change", () => {
    remember();
    draw();
  });
}
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
