// The answer of novawire explain.

import { h } from "./dom.js";
import { chip } from "./wiring.js";
import { command } from "./overview.js";
import { count } from "./format.js";

export function explanationView(answer) {
  return [
    answer.groups.map((group) => h("section.why", null,
      h("p.why-head", null, chip(group.state), h("span.muted", null, who(answer, group))),
      group.cause ? h("p", null, h("strong", null, group.cause), ": " + group.text) : h("p", null, "As the configuration says."),
      group.commands && [h("h3", null, group.commands.length > 1 ? "Mend it: run these in their order" : "Mend it"), group.commands.map(command)])),
    h("h3", null, "At the webhook now"),
    h("p", null, answer.decision.action + ": " + answer.decision.reason, (answer.decision.notes || []).map((note) => h("span.note", null, note))),
    values(answer.decision.values || []),
    h("p.fine", null, "Configuration ", h("code", null, answer.hash), ", from " + answer.configuration),
    h("h3", null, "The same in a terminal"),
    command(answer.command),
  ];
}

function who(answer, group) {
  if (group.count === 0) return "no pods; a new one would be so";
  if (answer.kind === "Pod") return "";
  return group.count === 1 ? "pod " + group.name : "pod " + group.name + " and " + (group.count - 1) + " more";
}

function values(lines) {
  if (lines.length === 0) return null;
  return h("details", null, h("summary", null, count(lines.length, "value") + " that it sets, with rule and source"), h("div.scroll", { tabindex: "0", role: "region", "aria-label": "Values" },
    h("table", null,
      h("thead", null, h("tr", null, ["Where", "What", "Value", "Rule", "Source"].map((name) => h("th", { scope: "col" }, name)))),
      h("tbody", null, lines.map((l) => h("tr", null,
        h("td", null, l.container || "pod"), h("th", { scope: "row" }, l.subject), h("td.value", null, l.value), h("td", null, l.rule), h("td", null, l.source)))))));
}
