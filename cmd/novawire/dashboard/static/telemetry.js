// The account of telemetry: what services sent, and what of it arrived.

import { h } from "./dom.js";
import { chevron } from "./calendar.js";
import { count, number } from "./format.js";

const pageSize = 20;

export function telemetryView(status, ui) {
  const account = status.telemetry;
  return h("section", { id: "telemetry", "aria-labelledby": "telemetry-title" },
    h("div.section-head", null,
      h("h2", { id: "telemetry-title" }, "Telemetry"),
      h("p.muted", null, account ? count(account.services.length + (account.more || 0), "service") + ", pods that are gone included" : "")),
    account
      ? h("div.card.telemetry", { "data-key": "account" }, table(account, ui))
      : h("p.empty", null, "Nothing is counted yet: the manager stores its account a minute after the first wired pod."));
}

function table(account, ui) {
  const limit = ui.limit.get("services") || pageSize;
  return [
    h("div.scroll", { tabindex: "0", role: "region", "aria-label": "Telemetry of services", "data-key": "table" },
      h("table", null,
        head(["Service", "Accepted", "Delivered", "Lost", "Refused", "Redacted", "Stored", "Bytes", "Share"]),
        h("tbody", null, account.services.slice(0, limit).flatMap((s) => rows(s, ui))))),
    account.services.length > limit && h("p.more", { "data-key": "more" },
      h("button", { type: "button", "data-action": "more", "data-open": "services", "data-limit": limit + pageSize }, "Show " + Math.min(pageSize, account.services.length - limit) + " more")),
    account.more > 0 && h("p.fine", { "data-key": "rest" }, count(account.more, "service") + " that lost nothing and sent less are left out: ", h("code", null, "novawire telemetry"), " prints all.")];
}

function head(names) {
  return h("thead", null, h("tr", null, names.map((name, i) => h(i === 0 || name === "Reasons" ? "th" : "th.num", { scope: "col" }, name))));
}

function rows(s, ui) {
  const key = "telemetry " + s.namespace + "/" + s.service;
  const open = ui.open.get(key) || false;
  const figure = (n) => h("td.num", null, number.format(n));
  return [
    h("tr", { "data-key": key },
      h("th", { scope: "row" },
        h("button.disclosure", { type: "button", "data-action": "toggle", "data-open": key, "aria-expanded": String(open) }, chevron(), h("span.name", null, h("span.muted", null, s.namespace + " / "), s.service))),
      figure(s.accepted), figure(s.delivered),
      h("td.num", null, s.lost > 0 ? h("span.bad-text", null, number.format(s.lost) + " (" + s.loss + ")") : "0"),
      figure(s.refused), figure(s.redacted), figure(s.stored), h("td.num", null, s.bytes), h("td.num", null, s.share)),
    open && h("tr.pods", { "data-key": key + " signals" }, h("td", { colspan: "9" },
      h("table", null,
        h("caption.hidden", null, "Signals of " + s.service),
        head(["Signal", "Accepted", "Delivered", "Dropped", "Unaccounted", "Stored", "Refused", "Bytes", "Reasons"]),
        h("tbody", null, (s.signals || []).map((g) => h("tr", { "data-key": g.signal },
          h("th", { scope: "row" }, g.signal), figure(g.accepted), figure(g.delivered), figure(g.dropped), figure(g.unaccounted), figure(g.stored), figure(g.refused),
          h("td.num", null, g.bytes), h("td.reason", null, g.reasons || "–"))))),
      h("p.fine.below", null, count(s.pods, "pod") + " counted now, " + number.format(s.gonePods) + " gone" + (s.unknownRuns > 0 ? ", " + count(s.unknownRuns, "sidecar") + " ended without a final ledger: what they counted last is not known" : "")))),
  ];
}
