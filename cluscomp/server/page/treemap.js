"use strict";
// The tree of the lists as a treemap: a cell is a list, or several that are alike, and opens into these.
const MOST_CELLS = 24;
const tree = {index: null, nodes: [], path: []};

// As `cluscomp.eval.report.treemap.squarify`: [x, y, width, height] of each area; areas descend and are above 0.
function squarify(areas, x, y, width, height) {
  const total = areas.reduce((sum, area) => sum + area, 0), scaled = areas.map((area) => area * width * height / total);
  const parts = [];
  for (let start = 0; start < scaled.length;) {
    const side = Math.min(width, height);
    let sum = 0, worst = Infinity, stop = start;
    for (; stop < scaled.length; stop++) {
      const next = sum + scaled[stop];
      const ratio = Math.max(side * side * scaled[start] / next ** 2, next ** 2 / (side * side * scaled[stop]));
      if (ratio > worst * (1 + 1e-12)) break;
      [worst, sum] = [ratio, next];
    }
    const thickness = sum / side, upright = width >= height;
    for (let place = start, along = 0; place < stop; place++) {
      const length = scaled[place] / thickness;
      parts.push(upright ? [x, y + along, thickness, length] : [x + along, y, length, thickness]);
      along += length;
    }
    if (upright) [x, width] = [x + thickness, Math.max(width - thickness, 1e-12)];
    else [y, height] = [y + thickness, Math.max(height - thickness, 1e-12)];
    start = stop;
  }
  return parts;
}

// Nodes of a tree: lists first, then what each merge made; rows, lists and mean cosine of each.
function nodesOf(found) {
  const nodes = found.lists.map((list) => ({rows: list.rows, cohesion: list.cohesion, lists: [list], parts: null}));
  for (const [left, right] of found.merges) {
    const [a, b] = [nodes[left], nodes[right]], rows = a.rows + b.rows;
    nodes.push({rows, cohesion: (a.rows * a.cohesion + b.rows * b.cohesion) / rows, lists: [...a.lists, ...b.lists], parts: [left, right]});
  }
  return nodes;
}

// The cells of a node: its highest merges undone, larger ones first.
function cellsOf(nodes, root) {
  const cells = [root];
  while (cells.length < MOST_CELLS) {
    const highest = Math.max(...cells.filter((number) => nodes[number].parts));
    if (!Number.isFinite(highest)) break;
    cells.splice(cells.indexOf(highest), 1, ...nodes[highest].parts);
  }
  return cells.sort((a, b) => nodes[b].rows - nodes[a].rows || a - b);
}

async function drawTree() {
  const index = factsOf($("map-index").value);
  if (!index) return;
  try {
    const found = await ask(route(index.name, `tree${asQuery(whose(index))}`));
    Object.assign(tree, {index, nodes: nodesOf(found), path: []});
    if (tree.nodes.length) tree.path.push(tree.nodes.length - 1);
    $("map-facts").textContent = `${found.lists.length} lists with rows`;
    showTree();
  } catch (error) {
    $("tree").replaceChildren();
    $("tree-place").textContent = "";
    fail(error);
  }
}

function showTree() {
  const root = tree.path[tree.path.length - 1];
  $("tree-out").disabled = tree.path.length < 2;
  if (root === undefined) {
    $("tree").replaceChildren();
    return;
  }
  const node = tree.nodes[root];
  $("tree-place").textContent = `${tree.path.length > 1 ? "Inside: " : "All: "}${node.lists.length} lists, ${node.rows.toLocaleString("en")} rows.`;
  const cells = cellsOf(tree.nodes, root), shades = cells.map((number) => tree.nodes[number].cohesion);
  const low = Math.min(...shades), range = Math.max(...shades) - low;
  const [wide, high] = [$("tree").clientWidth || 640, $("tree").clientHeight || 480];
  const parts = squarify(cells.map((number) => tree.nodes[number].rows), 0, 0, wide, high);
  $("tree").replaceChildren(...cells.map((number, place) => {
    const found = cell(number, parts[place], range > 0 ? (shades[place] - low) / range : 1);
    ["left", "top", "width", "height"].forEach((side, axis) => {
      found.style.setProperty(side, `${(100 * parts[place][axis] / (axis % 2 ? high : wide)).toFixed(4)}%`);
    });
    return found;
  }));
  $("tree").firstElementChild.setAttribute("tabindex", "0");
}

function cell(number, [, , width, height], shade) {
  const node = tree.nodes[number], many = node.lists.length > 1;
  const largest = [...node.lists].sort((a, b) => b.rows - a.rows);
  const titles = many ? largest.slice(0, 3).map((list) => list.titles[0]).filter(Boolean) : largest[0].titles;
  const rows = node.rows.toLocaleString("en");
  const name = `${many ? `${node.lists.length} lists` : `List ${largest[0].number}`}, ${rows} rows, mean cosine ${node.cohesion.toFixed(2)}`;
  const shown = width > 56 && height > 26 ? [make("b", {}, many ? `${rows} in ${node.lists.length} lists` : rows), ...texts(titles, height)] : [];
  const found = make("button", {type: "button", class: "cell", tabIndex: -1, title: [name, ...titles].join("\n"), "aria-label": [name, ...titles].join(". ")}, ...shown);
  found.style.setProperty("--part", shade.toFixed(3));
  found.addEventListener("click", () => {
    if (!many) return members(tree.index, largest[0], found);
    tree.path.push(number);
    showTree();
    return $("tree").firstElementChild.focus();
  });
  return found;
}

// As many lines of each title as a cell has room for.
function texts(titles, height) {
  const space = Math.floor((height - 28) / 19), lines = Math.max(1, Math.min(4, Math.floor(space / Math.max(1, titles.length))));
  return titles.slice(0, Math.floor(space / lines)).map((title) => {
    const line = make("span", {}, title);
    line.style.setProperty("--lines", lines);
    return line;
  });
}

function zoomOut() {
  if (tree.path.length < 2) return;
  tree.path.pop();
  showTree();
  $("tree").firstElementChild.focus();
}

$("tree").addEventListener("keydown", (event) => {
  if (event.key === "Escape" || event.key === "Backspace") {
    event.preventDefault();
    zoomOut();
    return;
  }
  if (event.key.startsWith("Arrow")) event.preventDefault();
  const to = nearest($("tree").children, document.activeElement, event.key);
  if (to) moveTo($("tree"), document.activeElement, to);
});
$("tree-out").addEventListener("click", zoomOut);
new ResizeObserver(() => {
  if (!$("tree").hidden && tree.nodes.length && !$("tree").contains(document.activeElement)) showTree();
}).observe($("tree"));
