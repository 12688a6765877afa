"use strict";
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
  for (const other of document.querySelectorAll("#map .chosen, #tree .chosen")) other.classList.remove("chosen");
  shape.classList.add("chosen");
  try {
    const found = await ask(route(index.name, `map/${list.number}${asQuery(whose(index))}`));
    const lines = found.documents.map((one) => make("li", {}, one.title || one.id));
    const first = list.rows > lines.length ? `, the first ${lines.length}` : "";
    $("members").replaceChildren(make("h3", {}, `List ${list.number}: ${list.rows.toLocaleString("en")} rows${first}`), make("ol", {}, ...lines));
  } catch (error) {
    fail(error);
  }
}

$("map").addEventListener("keydown", (event) => {
  const from = document.activeElement;
  if (event.key === "Enter" || event.key === " ") {
    event.preventDefault();
    from.dispatchEvent(new MouseEvent("click", {bubbles: true}));
    return;
  }
  const to = nearest($("map").children, from, event.key);
  if (event.key.startsWith("Arrow")) event.preventDefault();
  if (to) moveTo($("map"), from, to);
});
