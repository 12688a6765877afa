"use strict";
function make(tag, properties = {}, ...children) {
  const element = Object.assign(document.createElement(tag), properties);
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
}

function typeOf(schema, all) {
  if (!schema) return "anything";
  if (schema.$ref) return schema.$ref.split("/").pop();
  if (schema.anyOf) return schema.anyOf.map((one) => typeOf(one, all)).filter((name) => name !== "null").join(" or ");
  if (schema.enum) return schema.enum.map((one) => JSON.stringify(one)).join(", ");
  if (schema.const !== undefined) return JSON.stringify(schema.const);
  if (schema.type === "array") return `list of ${typeOf(schema.items, all)}`;
  return schema.type || "anything";
}

function limitsOf(schema) {
  const inner = schema.anyOf ? schema.anyOf[0] : schema;
  const names = {minimum: "at least", maximum: "at most", minLength: "characters from", maxLength: "characters to", minItems: "items from", maxItems: "items to"};
  const found = Object.entries(names).filter(([key]) => key in inner).map(([key, words]) => `${words} ${inner[key]}`);
  if (schema.default !== undefined && schema.default !== null) found.push(`default ${JSON.stringify(schema.default)}`);
  return found.join(", ");
}

function fields(name, schema, all) {
  const needed = new Set(schema.required || []);
  const rows = Object.entries(schema.properties || {}).map(([field, inner]) => make("tr", {},
    make("th", {scope: "row"}, make("code", {}, field), needed.has(field) ? " (needed)" : ""), make("td", {}, typeOf(inner, all)), make("td", {}, limitsOf(inner))));
  return make("section", {}, make("h3", {}, name), schema.description ? make("p", {className: "soft"}, schema.description) : null,
    make("table", {className: "routes"}, make("tbody", {}, ...rows)));
}

function bodyOf(content) {
  const schema = content && content["application/json"] && content["application/json"].schema;
  return schema && schema.$ref ? schema.$ref.split("/").pop() : null;
}

async function start() {
  const main = document.getElementById("routes");
  try {
    const found = await (await fetch("openapi.json")).json();
    const all = found.components.schemas;
    const articles = [];
    for (const [path, methods] of Object.entries(found.paths)) {
      for (const [method, one] of Object.entries(methods)) {
        const asked = bodyOf((one.requestBody || {}).content), given = bodyOf((one.responses["200"] || {}).content);
        articles.push(make("article", {}, make("h2", {}, make("code", {}, `${method.toUpperCase()} ${path}`)), make("p", {}, one.description || ""),
          asked ? fields(`Body: ${asked}`, all[asked], all) : null, given ? fields(`Answer: ${given}`, all[given], all) : null));
      }
    }
    const used = ["Packed", "PackedTokens", "QueryHits", "Hit", "Document", "IndexFacts", "MapList", "Member", "Problem"].filter((name) => name in all);
    main.replaceChildren(make("p", {}, found.info.description), ...articles,
      make("article", {}, make("h2", {}, "Parts of bodies and answers"), ...used.map((name) => fields(name, all[name], all))));
  } catch (error) {
    main.replaceChildren(make("p", {}, `The description cannot be read: ${error.message}`));
  }
}
start();
