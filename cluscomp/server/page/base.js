"use strict";
const $ = (id) => document.getElementById(id);
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

// Whose documents are asked for, where an index has tenants.
function whose(index) {
  const tenant = $("tenant").value.trim();
  return index.tenant_column && tenant ? {tenant} : {};
}

const asQuery = (fields) => Object.keys(fields).length ? `?${new URLSearchParams(fields)}` : "";

// Of elements that stand in the plane, the nearest in the direction of an arrow key.
function nearest(shapes, from, key) {
  const step = {ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1]}[key];
  if (!step) return null;
  const at = (shape) => {
    const box = shape.getBoundingClientRect();
    return [box.left + box.width / 2, box.top + box.height / 2];
  };
  const [x, y] = at(from);
  let best = null, least = Infinity;
  for (const shape of shapes) {
    const [a, b] = at(shape);
    const along = (a - x) * step[0] + (b - y) * step[1], across = Math.abs((a - x) * step[1]) + Math.abs((b - y) * step[0]);
    if (shape !== from && along > 0 && along + 2 * across < least) [best, least] = [shape, along + 2 * across];
  }
  return best;
}

// Arrow keys move among the elements of a group, of which one is a stop of the tab key.
function moveTo(group, from, to) {
  for (const other of group.children) other.setAttribute("tabindex", "-1");
  to.setAttribute("tabindex", "0");
  to.focus();
}
