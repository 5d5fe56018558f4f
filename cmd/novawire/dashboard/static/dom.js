// Elements are made and compared here. Texts of the cluster become text nodes and
// attributes only: nothing parses them as HTML.

const svg = "http://www.w3.org/2000/svg";

// h returns an element. A tag may have classes: "p.muted". Children that are null or
// false are left out; strings and numbers become text.
export function h(tag, attributes, ...children) {
  const [name, ...classes] = tag.split(".");
  const element = name === "svg" || name === "rect" ? document.createElementNS(svg, name) : document.createElement(name);
  if (classes.length > 0) element.setAttribute("class", classes.join(" "));
  for (const [key, value] of Object.entries(attributes || {})) {
    if (value === true) element.setAttribute(key, "");
    else if (value !== null && value !== undefined && value !== false) element.setAttribute(key, value);
  }
  append(element, children);
  return element;
}

function append(element, children) {
  for (const child of children) {
    if (Array.isArray(child)) append(element, child);
    else if (child instanceof Node) element.append(child);
    else if (child !== null && child !== undefined && child !== false) element.append(String(child));
  }
}

// update makes the children of an element like those of another one. What is equal stays
// as it is, with its focus, its selection and its scroll position.
export function update(element, ...children) {
  const wanted = document.createElement("div");
  append(wanted, children);
  morphChildren(element, wanted);
}

const keyOf = (node) => (node.nodeType === Node.ELEMENT_NODE ? node.getAttribute("data-key") || node.id || "" : "");

function alike(a, b) {
  return a.nodeType === b.nodeType && a.nodeName === b.nodeName && keyOf(a) === keyOf(b);
}

function morph(from, to) {
  if (from.nodeType === Node.TEXT_NODE) {
    if (from.data !== to.data) from.data = to.data;
    return;
  }
  for (const { name } of [...from.attributes]) {
    if (!to.hasAttribute(name)) from.removeAttribute(name);
  }
  for (const { name, value } of to.attributes) {
    if (from.getAttribute(name) !== value) from.setAttribute(name, value);
  }
  morphChildren(from, to);
}

function morphChildren(from, to) {
  const keep = new Set([...to.childNodes].map(keyOf));
  const known = new Map();
  for (const child of [...from.childNodes]) {
    const key = keyOf(child);
    if (key !== "" && !keep.has(key)) child.remove();
    else if (key !== "") known.set(key, child);
  }
  let at = from.firstChild;
  for (const child of [...to.childNodes]) {
    const key = keyOf(child);
    const match = key !== "" ? known.get(key) : at;
    if (match && alike(match, child)) {
      if (match !== at) from.insertBefore(match, at);
      else at = at.nextSibling;
      morph(match, child);
    } else if (at && key === "" && keyOf(at) === "") {
      const old = at;
      at = at.nextSibling;
      old.replaceWith(child);
    } else {
      from.insertBefore(child, at);
    }
  }
  while (at) {
    const next = at.nextSibling;
    at.remove();
    at = next;
  }
}
