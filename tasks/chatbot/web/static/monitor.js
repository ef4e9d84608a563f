// The chatbot as it is watched: what left its range, figures over weeks and releases, and questions that no document answers. All that is shown is text.
import { ApiError, call, setToken, token } from "./api.js";
import { explained, language, setLanguage, t, translate } from "./i18n.js";
import { make } from "./view.js";

const $ = (id) => document.getElementById(id);
const SECONDS = ["seconds_p50", "seconds_p95"];
let watched = null;
let trouble = null; // what went wrong, as a function that says it in the page's language

function signIn(wrong) {
  $("wrong").textContent = wrong ? t("wrongToken") : "";
  if (!$("sign-in").open) $("sign-in").showModal();
}

async function load() {
  trouble = null;
  try {
    watched = await call("GET", "api/monitor");
  } catch (error) {
    if (!(error instanceof ApiError)) throw error;
    if (error.code === "invalid_token") return signIn(Boolean(token()));
    trouble = () => explained(error.code, error.message);
  }
  draw();
}

function draw() {
  translate(document);
  document.title = `${t("monitor")} · Migaki`;
  for (const node of document.querySelectorAll("[data-language]")) node.setAttribute("aria-pressed", String(node.dataset.language === language()));
  $("trouble").hidden = !trouble;
  $("trouble").textContent = trouble ? trouble() : "";
  $("when").textContent = watched ? t("watchedWhen", { week: day(watched.week), answers: watched.answers, zone: watched.zone, made: time(watched.made) }) : "";
  $("watched").replaceChildren(...(watched ? [alerts(), ...weeks(), ...missing(), ...documents(), ...releases()] : []));
}

const isAlert = (one) => one.verdict.status === "above" || one.verdict.status === "below";
const day = (text) => new Date(`${text}T00:00Z`).toLocaleDateString(language(), { dateStyle: "medium", timeZone: "UTC" });
const time = (text) => new Date(`${text}Z`).toLocaleString(language(), { dateStyle: "medium", timeStyle: "short" });
const nameOf = (one) => (one.kind === "week" ? t(`figure_${one.figure}`) : one.figure);
const langOf = (code) => (code === "all" ? t("allLanguages") : new Intl.DisplayNames([language()], { type: "language" }).of(code));
const plainNumber = (value, digits) => value.toLocaleString(language(), { maximumFractionDigits: digits });

/** A value as its figure has it: a share, seconds, or a number. */
function shown(one, value) {
  if (one.kind === "release") return plainNumber(value, 3);
  if (SECONDS.includes(one.figure)) return t("secondsOf", { count: plainNumber(value, 2) });
  return value.toLocaleString(language(), { style: "percent", maximumFractionDigits: 1 });
}

const between = (one, low, high) => t("between", { low: shown(one, low), high: shown(one, high) });

function alerts() {
  const found = watched.series.filter(isAlert).map((one) => {
    const last = one.points.at(-1);
    const facts = { name: nameOf(one), lang: langOf(one.lang), value: shown(one, last.value), range: between(one, one.verdict.low, one.verdict.high) };
    const where = one.kind === "week" ? day(last.at) : t("releaseWaits", { release: last.at.slice(0, 12) });
    return t(`left_${one.verdict.status}`, { ...facts, where });
  });
  if (watched.drifted) found.push(t("questionsDrifted", drifted()));
  if (found.length) return make("ul", "alerts", ...found.map((words) => make("li", "", words)));
  return make("p", "calm", t(watched.series.some((one) => one.verdict.median !== null) ? "allInRange" : "nothingJudged"));
}

const drifted = () => {
  const { distance, p, now, before } = watched.drift;
  return { distance: plainNumber(distance, 3), p: plainNumber(p, 3), now, before };
};

function weeks() {
  const found = watched.series.filter((one) => one.kind === "week");
  const cards = found.length ? [make("div", "cards", ...byFigure(found).map(card))] : [make("p", "none", t("nobodyAsked"))];
  return [make("h2", "", t("weekByWeek")), make("p", "lead", t("rangeWhy")), ...cards];
}

function releases() {
  const found = watched.series.filter((one) => one.kind === "release");
  if (!found.length) return [make("h2", "", t("releaseByRelease")), make("p", "none", t("noReleases"))];
  return [make("h2", "", t("releaseByRelease")), make("p", "lead", t("releasesWhy")), make("div", "cards", ...byFigure(found).map(card))];
}

/** Series of one figure together, those with an alert first. */
function byFigure(found) {
  const figures = new Map();
  for (const one of found) figures.set(one.figure, [...(figures.get(one.figure) ?? []), one]);
  const all = [...figures.values()];
  return [...all.filter((own) => own.some(isAlert)), ...all.filter((own) => !own.some(isAlert))];
}

function card(own) {
  const [first] = own;
  const judged = first.kind === "week" ? watched.week : watched.release;
  const rows = own.map((one) => {
    const last = one.points.at(-1);
    if (last?.at !== judged) return make("tr", "", make("td", "", langOf(one.lang)), make("td", "", "–"), make("td", "dim", t("status_none")));
    const interval = last.low === null ? "" : ` (${between(one, last.low, last.high)})`;
    const verdict = make("span", isAlert(one) ? "status-of bad" : "status-of", t(`status_${one.verdict.status}`, { items: last.items, before: one.verdict.of }));
    return make("tr", "", make("td", "", langOf(one.lang)), make("td", "", shown(one, last.value)), make("td", "dim", `${interval} `, verdict));
  });
  const svg = watched.charts[`${first.kind}.${first.figure}`];
  const node = make("section", own.some(isAlert) ? "card alert" : "card", make("h3", "", nameOf(first)), make("table", "", make("tbody", "", ...rows)));
  if (first.so_far) node.append(make("p", "dim", t("soFar", { value: shown(first, first.so_far.value), items: first.so_far.items })));
  if (svg) node.append(curve(svg, nameOf(first)));
  return node;
}

/** An image that holds its drawing: as one it can run nothing. */
function curve(svg, name) {
  const image = make("img", "");
  image.alt = t("curveOf", { name });
  image.src = `data:image/svg+xml;base64,${btoa(String.fromCharCode(...new TextEncoder().encode(svg)))}`;
  return image;
}

function missing() {
  const heading = make("h2", "", t("withoutDocuments"));
  if (watched.without) return [heading, make("p", "none", watched.index ? t("notGrouped", { why: watched.without }) : t("noIndexYet"))];
  const { since, asked, withheld, groups } = watched.questions;
  if (!asked) return [heading, make("p", "none", t("allHaveDocuments", { since: day(since) }))];
  const head = make("tr", "", ...["timesAsked", "inLanguage", "suchAs"].map((name) => make("th", "", t(name))));
  const rows = groups.map((one) => {
    const examples = make("td", "", ...one.examples.map((text) => make("p", "", text)));
    examples.lang = one.lang;
    return make("tr", "", make("td", "count", String(one.asked)), make("td", "", langOf(one.lang)), examples);
  });
  const held = withheld ? [make("p", "dim", t("withheld", { count: withheld }))] : [];
  const table = rows.length ? [make("div", "wide", make("table", "groups", make("thead", "", head), make("tbody", "", ...rows)))] : [];
  return [heading, make("p", "lead", t("withoutDocumentsWhy", { since: day(since) })), ...table, ...held];
}

function documents() {
  const lines = [];
  if (watched.drift) lines.push(t("questionsCompared", drifted()));
  const index = watched.index;
  if (index) {
    const days = { median: plainNumber(index.median_days, 0), oldest: plainNumber(index.oldest_days, 0) };
    lines.push(t("indexChanged", index), t("indexCited", index), t("indexAge", days));
  }
  return [make("h2", "", t("driftOf")), ...(lines.length ? lines : [t("nothingToCompare")]).map((words) => make("p", "", words))];
}

for (const node of document.querySelectorAll("[data-language]")) {
  node.addEventListener("click", () => {
    setLanguage(node.dataset.language);
    draw();
  });
}
$("sign-in").addEventListener("cancel", (event) => event.preventDefault());
$("sign-in-form").addEventListener("submit", () => {
  setToken($("token").value.trim());
  $("token").value = "";
  load();
});
draw();
await load();
