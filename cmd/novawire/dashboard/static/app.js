// The page: it asks for the status again and again, and shows what is opened.

import { h, update } from "./dom.js";
import { attention, overviewView } from "./overview.js";
import { wiringView } from "./wiring.js";
import { telemetryView } from "./telemetry.js";
import { backupsView, dayText, move } from "./calendar.js";
import { explanationView } from "./explain.js";

const byId = (id) => document.getElementById(id);

// ui is what the user has opened, found and chosen. The rest follows from the status.
const ui = { open: new Map(), limit: new Map(), pods: new Map(), day: new Map(), find: "", onlyDrifted: false };
let status = null;
let tag = "";
let updated = null;
let failed = "";
let rendered = 0;
const placed = new WeakSet(); // calendars that were scrolled to their end

async function ask(path, tag) {
  let answer;
  try {
    answer = await fetch(path, { headers: tag ? { "If-None-Match": tag } : {}, cache: "no-store" });
  } catch {
    throw new Error("novawire dashboard does not run any more: start it again.");
  }
  if (answer.status === 304) return null;
  const body = await answer.json();
  if (!answer.ok) throw new Error(body.error || "status " + answer.status);
  return { body, tag: answer.headers.get("ETag") };
}

async function poll() {
  try {
    const answer = await ask("api/status", tag);
    updated = new Date();
    const recovered = failed !== "";
    failed = "";
    if (answer) {
      status = answer.body;
      tag = answer.tag;
      await readPods();
    }
    if (answer || recovered || Date.now() - rendered > 30000) render();
  } catch (problem) {
    failed = problem.message;
    render();
  }
}

// loop polls while the page is visible.
async function loop() {
  if (!document.hidden) await poll();
  setTimeout(loop, status ? status.interval : 2000);
}

// readPods reads the pods of all open workloads again.
async function readPods() {
  const open = [...ui.pods.keys()].filter((key) => ui.open.get(key));
  ui.pods.forEach((_, key) => ui.open.get(key) || ui.pods.delete(key));
  await Promise.all(open.map(readPodsOf));
}

async function readPodsOf(key) {
  const [namespace, kind, ...name] = key.slice("pods ".length).split("/");
  const query = new URLSearchParams({ namespace, kind, name: name.join("/") });
  try {
    ui.pods.set(key, { pods: (await ask("api/pods?" + query)).body });
  } catch (problem) {
    ui.pods.set(key, { error: problem.message });
  }
}

function render() {
  const now = new Date();
  rendered = Date.now();
  update(byId("alert"), failed !== "" && h("p.alert", null, h("strong", null, "No new data. "), failed));
  freshness();
  if (!status) {
    update(byId("content"), h("p.empty", null, failed === "" ? "Reading the cluster…" : "There is nothing to show yet."));
    return;
  }
  update(byId("where"), status.context, status.namespace && h("span.muted", null, " / " + status.namespace));
  update(byId("content"), overviewView(status, now), wiringView(status, ui, now), backupsView(status, ui, now), telemetryView(status, ui),
    h("p.fine.foot", { "data-key": "foot" }, "novawire " + status.version + " · reads with the rights of your kubeconfig and changes nothing"));
  const problems = attention(status).length;
  document.title = (problems > 0 ? "(" + problems + ") " : "") + "Novawire · " + status.context;
  for (const scroll of document.querySelectorAll(".scroll.end")) {
    if (!placed.has(scroll)) scroll.scrollLeft = scroll.scrollWidth; // today is at the end
    placed.add(scroll);
  }
}

function freshness() {
  const seconds = updated ? Math.round((Date.now() - updated) / 1000) : 0;
  const text = !updated ? "" : failed ? "Data from " + updated.toLocaleTimeString() : seconds < 2 ? "Updated now" : "Updated " + seconds + " s ago";
  update(byId("fresh"), updated && h("span.dot" + (failed ? ".off" : ""), { "aria-hidden": "true" }), text);
}

const actions = {
  toggle(button) {
    const open = ui.open.get(button.dataset.open) ?? button.dataset.default === "open";
    ui.open.set(button.dataset.open, !open);
    render();
  },
  async pods(button) {
    const key = button.dataset.open;
    const open = !ui.open.get(key);
    ui.open.set(key, open);
    render();
    if (!open) return;
    await readPodsOf(key);
    render();
  },
  more(button) {
    ui.limit.set(button.dataset.open, Number(button.dataset.limit));
    render();
  },
  async copy(button) {
    try {
      await navigator.clipboard.writeText(button.dataset.text);
      button.textContent = "Copied";
    } catch {
      button.textContent = "Copy by hand";
    }
    setTimeout(() => { button.textContent = "Copy"; }, 2000);
  },
  close() {
    byId("explain").close();
  },
  async explain(button) {
    const { namespace, kind, name } = button.dataset;
    update(byId("explain-title"), kind + " " + namespace + "/" + name);
    update(byId("explain-body"), h("p.empty", null, "Asking the cluster…"));
    byId("explain").showModal();
    try {
      const answer = await ask("api/explain?" + new URLSearchParams({ namespace, kind, name }));
      update(byId("explain-body"), explanationView(answer.body));
    } catch (problem) {
      update(byId("explain-body"), h("p.problem", null, problem.message));
    }
  },
};

document.addEventListener("click", (event) => {
  const button = event.target.closest("[data-action]");
  if (button) actions[button.dataset.action](button);
  const link = event.target.closest("a[data-open]");
  if (link) {
    ui.open.set(link.dataset.open, true);
    render();
  }
  if (event.target === byId("explain")) byId("explain").close(); // beside the sheet
  const day = event.target.closest("[data-day]");
  if (day) choose(day);
});

document.addEventListener("input", (event) => {
  if (event.target.id === "find") ui.find = event.target.value.trim().toLowerCase();
  else if (event.target.id === "only-drifted") ui.onlyDrifted = event.target.checked;
  else return;
  render();
});

document.addEventListener("keydown", (event) => {
  const day = event.target.closest && event.target.closest("[data-day]");
  if (!day || event.ctrlKey || event.altKey || event.metaKey) return;
  const grid = day.closest("[data-calendar]");
  const to = move(event.key, Number(day.dataset.day), grid.querySelectorAll("[data-day]").length);
  if (to < 0) return;
  event.preventDefault();
  choose(grid.querySelector('[data-day="' + to + '"]'));
});

document.addEventListener("focusin", (event) => {
  const day = event.target.closest("[data-day]");
  if (day) choose(day);
});

document.addEventListener("mouseover", (event) => {
  const day = event.target.closest("[data-day]");
  if (day) day.closest(".calendar").querySelector(".day-text").textContent = day.getAttribute("aria-label");
});

// choose makes a day the one that Tab reaches, focuses it and shows its text.
function choose(day) {
  const grid = day.closest("[data-calendar]");
  const key = grid.dataset.calendar;
  ui.day.set(key, Number(day.dataset.day));
  for (const other of grid.querySelectorAll('[data-day][tabindex="0"]')) other.tabIndex = -1;
  day.tabIndex = 0;
  if (document.activeElement !== day) day.focus();
  const backup = status.backups.find((b) => b.namespace + "/" + b.source === key);
  day.closest(".calendar").querySelector(".day-text").textContent = dayText(backup, Number(day.dataset.day));
}

document.addEventListener("visibilitychange", () => { if (!document.hidden) poll(); });
setInterval(freshness, 1000);
loop();
