// The backups of each database server, with a calendar of 53 weeks.

import { h } from "./dom.js";
import { age, ago, count, dayAfter, dayName, monthName } from "./format.js";

const backupTexts = {
  s: "backup succeeded",
  r: "backup succeeded after a failure",
  f: "backup failed",
  m: "no backup was made",
  w: "today's backup has not run yet",
  u: "nothing is recorded",
  ".": "no backup is scheduled",
};
const restoreTexts = { p: ", restore proven by a drill", x: ", restore drill failed" };

// dayText says what happened on a day of a calendar.
export function dayText(backup, at) {
  return dayName(dayAfter(backup.first, at)) + ": " + backupTexts[backup.days[at]] + (restoreTexts[backup.restores[at]] || "");
}

const sourceKey = (backup) => backup.namespace + "/" + backup.source;

// backupsView returns the section. Calendars are built only where they are open.
export function backupsView(status, ui, now) {
  const all = status.backups;
  return h("section", { id: "backups", "aria-labelledby": "backups-title" },
    h("div.section-head", null,
      h("h2", { id: "backups-title" }, "Backups"),
      h("p.muted", null, all.length === 0 ? "" : count(all.length, "database server"))),
    all.length === 0
      ? h("p.empty", null, "No database is backed up. ", h("code", null, "novawire backup audit"), " lists the databases that it finds and how to protect them.")
      : [all.map((backup, at) => sourceView(backup, ui, now, at < 5)), legend()]);
}

function sourceView(backup, ui, now, openByDefault) {
  const key = sourceKey(backup);
  const open = ui.open.get("backup " + key) ?? openByDefault;
  return h("article.card.source", { "data-key": key, "aria-label": "Backups of " + key },
    h("h3", null,
      h("button.disclosure", { type: "button", "data-action": "toggle", "data-open": "backup " + key, "data-default": openByDefault ? "open" : "closed", "aria-expanded": String(open) },
        chevron(), h("span.name", null, h("span.muted", null, backup.namespace + " / "), backup.source),
        h("span." + (backup.ok ? "pill.good" : "pill.bad"), null, backup.ok ? "ok" : "needs attention"))),
    open && h("div.source-body", { "data-key": "body" },
      backup.state ? h("p.problem", null, backup.state) : null,
      databaseTable(backup, now),
      calendar(backup, key, ui),
      h("p.fine", null, [
        backup.schedule && "backup " + backup.schedule + (backup.timeZone ? " " + backup.timeZone : ""),
        backup.drillSchedule && "drill " + backup.drillSchedule,
        backup.location,
      ].filter(Boolean).join(" · "))));
}

function databaseTable(backup, now) {
  if (backup.databases.length === 0) return null;
  return h("div.scroll", { tabindex: "0", role: "region", "aria-label": "Databases of " + sourceKey(backup) },
    h("table", null,
      h("thead", null, h("tr", null, ["Database", "Last backup", "Restore proven", "Size", "Stored", "State"].map((name) => h("th", { scope: "col" }, name)))),
      h("tbody", null, backup.databases.map((d) => h("tr", { "data-key": d.name },
        h("th", { scope: "row" }, d.name),
        h("td", { title: d.lastSuccess }, ago(d.lastSuccess, now)),
        h("td", { title: d.lastVerified }, d.lastVerified ? "backup of " + age(d.lastVerified, now) + " ago" : "never"),
        h("td", null, d.size || "–"), h("td", null, d.stored || "–"),
        h("td", null, h("span." + (d.ok ? "good-text" : "bad-text"), null, d.state)))))));
}

// calendar is a grid with a row for each day of the week: arrow keys move in it, and the
// line below says what happened on the day.
function calendar(backup, key, ui) {
  const days = backup.days.length;
  const lead = (dayAfter(backup.first, 0).getUTCDay() + 6) % 7; // Monday is the first row
  const weeks = Math.ceil((lead + days) / 7);
  const chosen = Math.min(ui.day.get(key) ?? days - 1, days - 1);
  const rows = [];
  for (let row = 0; row < 7; row++) {
    const cells = [h("th", { scope: "row" }, row % 2 === 0 ? weekdays[row].slice(0, 3) : h("span.hidden", null, weekdays[row].slice(0, 3)))];
    for (let week = 0; week < weeks; week++) {
      const at = week * 7 + row - lead;
      cells.push(at < 0 || at >= days ? h("td", { "aria-hidden": "true" }) : h("td", {
        class: "day " + dayClass(backup, at), role: "gridcell", tabindex: at === chosen ? "0" : "-1", "data-day": at, "aria-label": dayText(backup, at),
      }));
    }
    rows.push(h("tr", null, cells));
  }
  return h("div.calendar", null,
    h("div.scroll.end", { "data-key": "scroll" },
      h("table", { role: "grid", "aria-label": "Backups by day, the newest last", "data-calendar": key }, h("thead", null, months(backup, lead, weeks)), h("tbody", null, rows))),
    h("p.day-text", { "aria-live": "polite" }, dayText(backup, chosen)));
}

const weekdays = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"];

function dayClass(backup, at) {
  const backupClass = { s: "succeeded", r: "repeated", f: "failed", m: "gap", w: "waits", u: "unknown", ".": "free" }[backup.days[at]];
  const restore = { p: " proven", x: " unproven" }[backup.restores[at]] || "";
  return backupClass + restore;
}

// months returns the row of month names, each above the week that has its first day.
function months(backup, lead, weeks) {
  const cells = [h("td", null)];
  for (let week = 0; week < weeks;) {
    const day = dayAfter(backup.first, week * 7 - lead + 6);
    let span = 1;
    while (week + span < weeks && dayAfter(backup.first, (week + span) * 7 - lead + 6).getUTCMonth() === day.getUTCMonth()) span++;
    cells.push(span > 2 ? h("th", { scope: "colgroup", colspan: span }, monthName(day)) : h("td", { colspan: span }));
    week += span;
  }
  return h("tr", null, cells);
}

function legend() {
  const entry = (name, text) => h("li", null, h("span.day." + name, { "aria-hidden": "true" }), text);
  return h("ul.legend", { "aria-label": "What the days mean" },
    entry("succeeded", "succeeded"), entry("repeated", "after a failure"), entry("failed", "failed"), entry("gap", "missing"),
    entry("succeeded.proven", "restore proven"), entry("succeeded.unproven", "drill failed"), entry("waits", "today"), entry("free", "not scheduled"), entry("unknown", "not recorded"));
}

// move handles a key in a calendar and returns the day to go to, or -1.
export function move(key, at, days) {
  const step = { ArrowLeft: -7, ArrowRight: 7, ArrowUp: -1, ArrowDown: 1, Home: -at, End: days - 1 - at, PageUp: -28, PageDown: 28 }[key];
  if (step === undefined) return -1;
  return Math.max(0, Math.min(days - 1, at + step));
}

export function chevron() {
  return h("span.chevron", { "aria-hidden": "true" });
}
