// Namespaces, their workloads and pods. Rows are made only for what is open.

import { h } from "./dom.js";
import { chevron } from "./calendar.js";
import { age, count, drift, drifted, number, states, total } from "./format.js";

const pageSize = 50; // of workloads and of pods: "Show more" adds as many

export function wiringView(status, ui, now) {
  const all = status.namespaces.filter((ns) => total(ns.pods) > 0 || ns.configuration);
  const shown = all.map((ns) => [ns, workloadsShown(ns, ui)]).filter(([ns, workloads]) => workloads.length > 0 || (ui.find === "" && !ui.onlyDrifted) || (!ui.onlyDrifted && matches(ui, ns.name)));
  return h("section", { id: "wiring", "aria-labelledby": "wiring-title" },
    h("div.section-head", null,
      h("h2", { id: "wiring-title" }, "Wiring"),
      h("p.muted", null, all.length === 0 ? "" : [count(all.length, "namespace") + ", configuration ", h("code", { title: status.configurationFrom }, status.configuration)])),
    all.length === 0
      ? h("p.empty", null, status.namespace ? "The namespace " + status.namespace + " did not opt in: " : "No namespace has opted in: ", h("code", null, "kubectl label namespace " + (status.namespace || "NAMESPACE") + " nova.dev/wiring=enabled"))
      : [filters(ui),
        shown.length === 0 ? h("p.empty", { "data-key": "none" }, "Nothing matches.") : h("div.card.list", { "data-key": "list" }, shown.map(([ns, workloads]) => namespaceView(ns, workloads, status, ui, now)))]);
}

function filters(ui) {
  return h("div.filters", { role: "search", "aria-label": "Filter the workloads", "data-key": "filters" },
    h("label", null, h("span.hidden", null, "Find a namespace or workload"), h("input", { type: "search", id: "find", placeholder: "Find a namespace or workload", autocomplete: "off", spellcheck: "false" })),
    h("label.check", null, h("input", { type: "checkbox", id: "only-drifted" }), "Only what needs attention"));
}

const matches = (ui, name) => name.toLowerCase().includes(ui.find);

function workloadsShown(ns, ui) {
  const inNamespace = matches(ui, ns.name);
  return (ns.workloads || []).filter((w) => (inNamespace || matches(ui, w.name)) && (!ui.onlyDrifted || drifted(w.pods) > 0));
}

function namespaceView(ns, workloads, status, ui, now) {
  const key = "ns " + ns.name;
  const filtered = (ui.find !== "" || ui.onlyDrifted) && workloads.length > 0 && workloads.length <= 20;
  const open = ui.open.get(key) ?? filtered;
  return h("div.namespace", { "data-key": key, id: "ns-" + ns.name },
    h("h3", null,
      h("button.disclosure", { type: "button", "data-action": "toggle", "data-open": key, "data-default": filtered ? "open" : "closed", "aria-expanded": String(open) },
        chevron(), h("span.name", null, ns.name), h("span.chips", null, chips(ns.pods, true)), bar(ns.pods), h("span.figure", null, count(total(ns.pods), "pod")))),
    open && h("div.namespace-body", { "data-key": "body" },
      workloads.length === 0 ? h("p.empty", null, "No pods run here.") : workloadTable(ns, workloads, status, ui, now)));
}

function workloadTable(ns, workloads, status, ui, now) {
  const key = "workloads " + ns.name;
  const limit = ui.limit.get(key) || pageSize;
  const rows = workloads.slice(0, limit).flatMap((w) => workloadRows(ns, w, status, ui, now));
  return [
    h("div.scroll", { tabindex: "0", role: "region", "aria-label": "Workloads of " + ns.name, "data-key": "table" },
      h("table.workloads", null,
        h("thead", null, h("tr", null, ["Workload", "Pods", "State", "Configuration", "Reason"].map((name) => h(name === "Pods" ? "th.num" : "th", { scope: "col" }, name)), h("th", { scope: "col" }, h("span.hidden", null, "Actions")))),
        h("tbody", null, rows))),
    more(key, workloads.length, limit, "workloads")];
}

function workloadRows(ns, w, status, ui, now) {
  const key = "pods " + ns.name + "/" + w.kind + "/" + w.name;
  const open = ui.open.get(key) || false;
  const reasons = Object.entries(w.reasons || {}).sort();
  return [
    h("tr", { "data-key": key },
      h("th", { scope: "row" },
        h("button.disclosure", { type: "button", "data-action": "pods", "data-open": key, "aria-expanded": String(open) }, chevron(), h("span.name", null, w.name, " ", h("span.kind", null, w.kind)))),
      h("td.num", null, number.format(total(w.pods))),
      h("td", null, h("span.chips", null, chips(w.pods, false))),
      h("td", null, (w.configurations || []).map((u) => h("div", null, h("code", null, u.hash), h("span.muted", null, " since " + age(u.since, now)))), !w.configurations && "–"),
      h("td", null, reasons.length === 0 ? "–" : reasons.map(([reason, n]) => h("div", null, reason, h("span.muted", null, " (" + n + ")")))),
      h("td.actions", null, status.explained.includes(w.kind) && explainButton(ns.name, w.kind, w.name))),
    open && h("tr.pods", { "data-key": key + " pods" }, h("td", { colspan: "6" }, podTable(key, ns, w, ui, now))),
  ];
}

function podTable(key, ns, w, ui, now) {
  const answer = ui.pods.get(key);
  if (!answer) return h("p.empty", null, "Reading the pods…");
  if (answer.error) return h("p.problem", null, answer.error);
  if (answer.pods.length === 0) return h("p.empty", null, "Its pods have ended meanwhile.");
  const limit = ui.limit.get(key) || pageSize;
  return [
    h("table.list-of-pods", { "data-key": "table" },
      h("caption.hidden", null, "Pods of " + w.kind + " " + w.name),
      h("thead", null, h("tr", null, ["Pod", "State", "Age", "Configuration", "Reason"].map((name) => h("th", { scope: "col" }, name)), h("th", { scope: "col" }, h("span.hidden", null, "Actions")))),
      h("tbody", null, urgent(answer.pods).slice(0, limit).map((p) => h("tr", { "data-key": p.name },
        h("th", { scope: "row" }, p.name),
        h("td", null, chip(p.state)),
        h("td", null, age(p.created, now)),
        h("td", null, p.configuration ? h("code", null, p.configuration) : "–"),
        h("td.reason", null, p.state === "wired" ? "–" : p.text.replace(p.state + ": ", "")),
        h("td.actions", null, explainButton(ns.name, "Pod", p.name)))))),
    more(key, answer.pods.length, limit, "pods")];
}

// urgent returns the pods that need somebody before the others.
function urgent(pods) {
  const needs = (p) => (drift.includes(p.state) ? 0 : 1);
  return [...pods].sort((a, b) => needs(a) - needs(b));
}

function more(key, length, limit, noun) {
  if (length <= limit) return null;
  return h("p.more", { "data-key": "more" },
    h("button", { type: "button", "data-action": "more", "data-open": key, "data-limit": limit + pageSize }, "Show " + Math.min(pageSize, length - limit) + " more"),
    h("span.muted", null, number.format(limit) + " of " + number.format(length) + " " + noun));
}

function explainButton(namespace, kind, name) {
  return h("button.quiet", { type: "button", "data-action": "explain", "data-namespace": namespace, "data-kind": kind, "data-name": name, "aria-label": "Explain " + kind + " " + name }, "Explain");
}

export function chip(state, n) {
  return h("span.chip." + state, null, n === undefined ? state : number.format(n) + " " + state);
}

// chips returns a chip for each state that has pods; of a healthy row only if it is asked for.
function chips(counts, onlyOthers) {
  return states.filter((s) => (counts || {})[s] > 0 && !(onlyOthers && s === "wired" && total(counts) !== counts[s])).map((s) => chip(s, onlyOthers && s === "wired" ? undefined : counts[s]));
}

// bar shows the shares of the states. Chips beside it say the same in words.
export function bar(counts) {
  const sum = total(counts);
  let x = 0;
  return h("svg.bar", { viewBox: "0 0 100 8", preserveAspectRatio: "none", "aria-hidden": "true", focusable: "false" },
    h("rect.rest", { x: 0, y: 0, width: 100, height: 8 }),
    states.filter((s) => counts[s] > 0).map((s) => {
      const width = Math.max((counts[s] * 100) / sum, 1);
      const rect = h("rect." + s, { x: x.toFixed(2), y: 0, width: width.toFixed(2), height: 8 });
      x += width;
      return rect;
    }));
}
