"use strict";
function show(figure, command) {
  const box = figure.querySelector(".command");
  box.querySelector("pre").textContent = command;
  box.hidden = false;
}
// In a narrow window long names would leave no room for the figure, names at marks would lie on each other, and
// the legend takes several lines.
function fit(plot) {
  const narrow = plot.closest("figure").clientWidth < 620;
  if (plot.narrow !== narrow) {
    plot.narrow = narrow;
    const change = {"margin.t": narrow ? 120 : 70};
    if (plot.layout.yaxis.autorange === "reversed") change["yaxis.tickfont.size"] = narrow ? 8 : 11;
    if (plot.layout.updatemenus) change["updatemenus[0].pad.b"] = narrow ? 64 : 32;
    Plotly.relayout(plot, change);
    const named = plot.data.flatMap((trace, i) => /markers/.test(trace.mode) && trace.text ? [i] : []);
    if (named.length) Plotly.restyle(plot, {"mode": narrow ? "markers" : "markers+text"}, named);
  }
  Plotly.Plots.resize(plot);
}
// Figures are drawn for a light page; in a dark one text, lines and boxes take the page's colours.
const dark = matchMedia("(prefers-color-scheme: dark)");
function paint(plot) {
  const style = getComputedStyle(document.documentElement);
  const [ink, line, paper] = ["--ink", "--line", "--paper"].map((name) => style.getPropertyValue(name).trim());
  const change = {"paper_bgcolor": paper, "plot_bgcolor": paper, "font.color": ink, "hoverlabel.bgcolor": paper,
                  "hoverlabel.font.color": ink};
  for (const axis of ["xaxis", "yaxis"]) {
    change[`${axis}.gridcolor`] = line;
    change[`${axis}.zerolinecolor`] = line;
    change[`${axis}.linecolor`] = line;
  }
  if (plot.layout.updatemenus) change["updatemenus[0].font.color"] = "#222222";  // the pressed button stays white
  Plotly.relayout(plot, change);
}
function paintAll() {
  document.documentElement.dataset.scheme = dark.matches ? "dark" : "light";
  document.querySelectorAll(".plotly-graph-div").forEach(paint);
}
paintAll();
dark.addEventListener("change", paintAll);
for (const plot of document.querySelectorAll(".plotly-graph-div")) {
  plot.on("plotly_click", (event) => {
    const found = event.points.find((point) => point.customdata);
    if (found) show(plot.closest("figure"), found.customdata[0]);
  });
  new ResizeObserver(() => fit(plot)).observe(plot.closest("figure"));
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
