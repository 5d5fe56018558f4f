// What is well and what needs somebody, before anything is opened.

import { h } from "./dom.js";
import { bar, chip } from "./wiring.js";
import { age, compact, count, drifted, number, states, total } from "./format.js";

export function overviewView(status, now) {
  const pods = {};
  for (const ns of status.namespaces) {
    for (const [state, n] of Object.entries(ns.pods)) pods[state] = (pods[state] || 0) + n;
  }
  const problems = attention(status);
  const notes = status.notes || [];
  return [
    h("section.tiles", { "aria-label": "Overview", "data-key": "tiles" }, podTile(pods), ...backupTiles(status.backups, now), telemetryTile(status.telemetry)),
    h("section", { "aria-labelledby": "attention-title", "data-key": "attention" },
      h("div.section-head", null, h("h2", { id: "attention-title" }, "Needs attention"), problems.length > 0 && h("p.count", null, number.format(problems.length))),
      problems.length === 0
        ? h("p.empty.fine-state", null, notes.length > 0 ? "Nothing, as far as the cluster can be read." : "Nothing. Every pod is wired as the configuration says, and the last backups are good.")
        : h("ul.card.attention", null, problems.slice(0, maxProblems).map((p) => h("li", { "data-key": p.key },
          p.link ? h("a", { href: p.link, "data-open": p.open }, p.title) : h("strong", null, p.title), h("span", null, p.text), p.command && command(p.command))),
        problems.length > maxProblems && h("li", { "data-key": "more" }, h("span.muted", null, "and " + count(problems.length - maxProblems, "other")))),
      notes.length > 0 && h("ul.notes", { "data-key": "notes", "aria-label": "Notes" }, notes.map((note) => h("li", { "data-key": note }, "Note: " + note)))),
  ];
}

const maxProblems = 20;

function podTile(pods) {
  const sum = total(pods);
  const wanted = sum - (pods.skipped || 0);
  return h("div.card.tile.wide", { "data-key": "pods" },
    h("h2", null, "Pods wired"),
    h("p.big", null, wanted === 0 ? "–" : number.format(pods.wired || 0), wanted > 0 && h("span.of", null, " of " + number.format(wanted))),
    bar(pods),
    h("p.chips", null, sum === 0 ? "No pods run in namespaces that opted in." : states.filter((s) => pods[s] > 0).map((s) => chip(s, pods[s]))));
}

// oldest returns the earliest of the dates; null, never, is the earliest.
const oldest = (dates) => (dates.some((d) => !d) ? null : dates.reduce((a, b) => (new Date(a) < new Date(b) ? a : b)));

function backupTiles(backups, now) {
  const databases = backups.flatMap((b) => b.databases);
  const bad = databases.filter((d) => !d.ok).length + backups.filter((b) => b.databases.length === 0).length;
  const tile = (key, title, big, unit, text, bad) => h("div.card.tile" + (bad ? ".bad" : ""), { "data-key": key },
    h("h2", null, title), h("p.big", null, big, unit && h("span.of", null, unit)), h("p.muted", null, text));
  if (databases.length === 0) return [tile("backups", "Backups", "–", "", "No database is backed up.")];
  const backup = oldest(databases.map((d) => d.lastSuccess));
  const proven = oldest(databases.map((d) => d.lastVerified));
  return [
    tile("backups", "Oldest last backup", age(backup, now), backup ? " ago" : "", count(databases.length, "database") + (bad > 0 ? ", " + bad + " not ok" : ", all ok"), bad > 0),
    tile("restores", "Oldest proven restore", age(proven, now), proven ? " ago" : "", proven ? "of every database" : count(databases.filter((d) => !d.lastVerified).length, "database") + " never restored", !proven),
  ];
}

function telemetryTile(account) {
  return h("div.card.tile", { "data-key": "telemetry" },
    h("h2", null, "Telemetry lost"),
    account && account.accepted > 0
      ? [h("p.big", null, account.loss), h("p.muted", null, number.format(account.lost) + " of " + compact.format(account.accepted))]
      : [h("p.big", null, "–"), h("p.muted", null, "Nothing is counted yet.")]);
}

// attention lists what needs somebody, each with a link to where it is shown.
export function attention(status) {
  const problems = [];
  for (const ns of status.namespaces) {
    if (drifted(ns.pods) === 0) continue;
    const parts = ["missing", "stale", "changed"].filter((s) => ns.pods[s] > 0).map((s) => number.format(ns.pods[s]) + " " + s);
    problems.push({ key: "ns " + ns.name, link: "#ns-" + ns.name, open: "ns " + ns.name, title: ns.name, text: parts.join(", ") + " of " + count(total(ns.pods), "pod") });
  }
  for (const b of status.backups) {
    const key = b.namespace + "/" + b.source;
    if (b.state) problems.push({ key: "backup " + key, link: "#backups", open: "backup " + key, title: key, text: b.state });
    for (const d of b.databases.filter((d) => !d.ok)) problems.push({ key: "db " + key + "/" + d.name, link: "#backups", open: "backup " + key, title: key + ", " + d.name, text: d.state });
  }
  (status.names || []).forEach((p, i) => problems.push({
    key: "name " + p.namespace + "/" + p.service, title: p.namespace + ": service " + p.service,
    text: p.suffix ? "ends in " + p.suffix + ", which changes with every run: each is a service of its own" : "is the name of " + p.workloads.join(" and ") + ": their telemetry cannot be told apart",
    command: (status.fixes || [])[i],
  }));
  return problems;
}

export function command(text) {
  return h("span.command", null, h("code", null, text.split(" ").flatMap((word, i) => [i > 0 && " ", h("span.word", null, word)])), h("button.quiet", { type: "button", "data-action": "copy", "data-text": text, "aria-label": "Copy the command " + text }, "Copy"));
}
