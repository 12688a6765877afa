"use strict";
function show(figure, command) {
  const box = figure.querySelector(".command");
  box.querySelector("pre").textContent = command;
  box.hidden = false;
}
// Long names take a share of a narrow window at most: the figure would vanish beside them.
function fit(plot) {
  const axis = plot.layout.yaxis;
  if (!plot._names && axis.type !== "category" && axis.autorange !== "reversed") return;
  const narrow = plot.clientWidth < 620;
  if (plot._narrow === narrow) return;
  plot._narrow = narrow;
  Plotly.relayout(plot, {"yaxis.tickfont.size": narrow ? 8 : 11, "xaxis.nticks": narrow ? 4 : 0});
}
for (const plot of document.querySelectorAll(".plotly-graph-div")) {
  plot.on("plotly_click", (event) => {
    const found = event.points.find((point) => point.customdata);
    if (found) show(plot.closest("figure"), found.customdata[0]);
  });
  fit(plot);
  window.addEventListener("resize", () => fit(plot));
}
for (const row of document.querySelectorAll("tr[data-command]")) {
  row.addEventListener("click", () => show(row.closest("figure"), row.dataset.command));
}
for (const button of document.querySelectorAll(".command button")) {
  button.addEventListener("click", async () => {
    const text = button.parentElement.querySelector("pre").textContent;
    try {
      await navigator.clipboard.writeText(text);
    } catch {  // pages of the file system may not write to the clipboard: select the text instead
      getSelection().selectAllChildren(button.parentElement.querySelector("pre"));
    }
  });
}
function value(cell) {
  const number = parseFloat(cell.textContent.replace(/\s/g, ""));
  return Number.isNaN(number) ? cell.textContent : number;
}
for (const table of document.querySelectorAll("table")) {
  table.querySelectorAll("th").forEach((head, column) => head.addEventListener("click", () => {
    const body = table.tBodies[0];
    const down = head.dataset.sorted !== "down";
    for (const other of table.querySelectorAll("th")) delete other.dataset.sorted;
    head.dataset.sorted = down ? "down" : "up";
    const rows = [...body.rows].sort((a, b) => {
      const x = value(a.cells[column]), y = value(b.cells[column]);
      const order = typeof x === "number" && typeof y === "number" ? x - y : String(x).localeCompare(String(y));
      return down ? -order : order;
    });
    body.append(...rows);
  }));
}
document.documentElement.dataset.ready = String(document.querySelectorAll(".plotly-graph-div .main-svg").length);
