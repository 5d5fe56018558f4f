// Numbers and times for people.

// states are those of pods, in the order of novawire status.
export const states = ["wired", "missing", "stale", "changed", "skipped"];

// drift are the states that need somebody.
export const drift = ["missing", "stale", "changed"];

export const number = new Intl.NumberFormat("en");

export const compact = new Intl.NumberFormat("en", { notation: "compact", maximumFractionDigits: 1 });

export function total(counts) {
  return Object.values(counts || {}).reduce((sum, n) => sum + n, 0);
}

export function drifted(counts) {
  return drift.reduce((sum, state) => sum + ((counts || {})[state] || 0), 0);
}

export function count(n, noun) {
  return number.format(n) + " " + noun + (n === 1 ? "" : "s");
}

// age formats the time since a date, by the rule of novawire status.
export function age(date, now) {
  if (!date) return "never";
  const seconds = Math.max(0, (now - new Date(date)) / 1000);
  if (seconds < 120) return Math.round(seconds) + "s";
  if (seconds < 2 * 3600) return Math.floor(seconds / 60) + "m";
  if (seconds < 48 * 3600) return Math.floor(seconds / 3600) + "h";
  return Math.floor(seconds / 86400) + "d";
}

// ago is age in a sentence.
export function ago(date, now) {
  return date ? age(date, now) + " ago" : "never";
}

const longDay = new Intl.DateTimeFormat("en-GB", { weekday: "long", day: "numeric", month: "long", year: "numeric", timeZone: "UTC" });
const shortMonth = new Intl.DateTimeFormat("en-GB", { month: "short", timeZone: "UTC" });

export const dayName = (day) => longDay.format(day);
export const monthName = (day) => shortMonth.format(day);

// dayAfter returns the day that is n days after a date like 2026-11-26.
export function dayAfter(date, n) {
  return new Date(Date.parse(date + "T00:00:00Z") + n * 86400000);
}
