// Releases that wait for a person: what the gate saw, both chatbots on the same questions, and a word on it. All that is shown is text.
import { ApiError, call } from "./api.js";
import { explained, language, setLanguage, t, translate } from "./i18n.js";
import { button, make } from "./view.js";

const $ = (id) => document.getElementById(id);
let waiting = []; // as the server tells it, each with its conversations
let loaded = false;
let told = null; // what was done last, or went wrong, as a function that says it in the page's language

function tell(words, wrong = false) {
  told = { words, wrong };
  $("status").textContent = words();
  $("status").classList.toggle("error", wrong);
}

/** Do something with the server; trouble is told. Returns whether it was done. */
async function attempt(work) {
  try {
    await work();
    return true;
  } catch (error) {
    if (!(error instanceof ApiError)) throw error;
    const code = error.code === "invalid_token" ? "sign_in" : error.code;
    tell(() => explained(code, error.message), true);
    return false;
  }
}

async function load() {
  const found = (await call("GET", "api/approvals")).waiting;
  loaded = true;
  waiting = await Promise.all(found.map(async (one) => ({ ...one, ...(await call("GET", `api/approvals/${encodeURIComponent(one.id)}`)) })));
  draw();
}

function draw() {
  $("waiting").replaceChildren(...(waiting.length ? waiting.map(decision) : [make("p", "none", t("nothingWaits"))]));
}

function decision(one) {
  const facts = [t(`would_${one.would}`), t("waitsSince", { time: time(one.since) }), t("waitsUntil", { time: time(one.until) })];
  const node = make(
    "article", "decision",
    make("h2", "", t("releaseWaits", { release: one.release.slice(0, 12) })),
    make("p", "facts", facts.join(" · ")),
    gate(one),
    reason(one.reason),
    make("h3", "", t("sideBySide", { count: one.conversations.length })),
    ...one.conversations.map((pair) => beside(pair, one.held_against)),
    word(one),
  );
  node.dataset.id = one.id;
  return node;
}

function time(text) {
  return new Date(`${text}Z`).toLocaleString(language(), { dateStyle: "medium", timeStyle: "short" });
}

/** What the gate decided by, as a table. */
function gate(one) {
  const number = (value, sign) => (value === null ? "–" : value.toLocaleString(language(), { maximumFractionDigits: 3, signDisplay: sign }));
  const cells = [
    ["gateMetric", one.metric ? t(`metric_${one.metric}`) : "–"],
    ["gateDifference", number(one.difference, "exceptZero")],
    ["gateInterval", one.low === null ? "–" : t("between", { low: number(one.low, "exceptZero"), high: number(one.high, "exceptZero") })],
    ["gateItems", number(one.items, "auto")],
    ["gateSmallest", number(one.smallest, "auto")],
    ["gateNeeded", number(one.needed, "auto")],
  ];
  const head = make("tr", "", ...cells.map(([name]) => headed(make("th", "", t(name)))));
  const row = make("tr", "", ...cells.map(([, value]) => make("td", "", value)));
  return make("div", "wide", make("table", "gate", make("thead", "", head), make("tbody", "", row)));
}

function headed(cell) {
  cell.scope = "col";
  return cell;
}

/** The gate's own words, which are English. */
function reason(text) {
  const words = make("p", "", text);
  words.lang = "en";
  return make("details", "reason", make("summary", "", t("inTheGatesWords")), words);
}

function beside(pair, role) {
  const asked = make("p", "asked", pair.question);
  const notes = [t(`suite_${pair.suite}`), pair.accepted && t("accepted", { text: pair.accepted })].filter(Boolean);
  const node = make(
    "section", "beside", asked, ...(notes.length ? [make("p", "notes-of", notes.join(" · "))] : []),
    make("div", "both", said(t(role), pair.before, pair.lang), said(t("candidate"), pair.after, pair.lang)),
  );
  asked.lang = pair.lang;
  return node;
}

function said(who, { answer, verdict }, lang) {
  const text = make("p", "text-of", answer || t("nothingSaid"));
  text.lang = answer ? lang : language();
  return make("div", "said", make("p", "who", make("span", "", who), make("span", `verdict-of ${verdict}`, t(`verdict_${verdict}`))), text);
}

function word(one) {
  const field = make("textarea", "");
  field.id = `why-${one.id}`;
  field.rows = 2;
  field.maxLength = 2000;
  field.required = true;
  const label = make("label", "", t("why"));
  label.htmlFor = field.id;
  const approve = button("primary", t("approve"), t("approve"), () => decide(one, "approve", field));
  approve.disabled = Boolean(one.against);
  const refuse = button("", t("refuse"), t("refuse"), () => decide(one, "refuse", field));
  const against = one.against ? [make("p", "error", explained(one.against, one.against_why))] : [];
  return make("form", "word", ...against, label, field, make("p", "hint-of", t("whyWhy")), make("div", "buttons", refuse, approve));
}

async function decide(one, what, field) {
  if (!field.value.trim()) {
    tell(() => explained("no_reason", ""), true);
    field.focus();
    return;
  }
  const done = await attempt(() => call("POST", `api/approvals/${encodeURIComponent(one.id)}`, { decision: what, why: field.value }));
  const words = done ? () => t(`done_${what}`, { release: one.release.slice(0, 12) }) : told.words;
  await attempt(load); // whatever came of it: somebody else may have decided
  tell(words, !done);
  $("status").scrollIntoView({ block: "center" });
}

function speak(name) {
  setLanguage(name);
  words();
}

function words() {
  translate(document);
  document.title = `${t("decisions")} · Migaki`;
  for (const node of document.querySelectorAll("[data-language]")) {
    node.setAttribute("aria-pressed", String(node.dataset.language === language()));
  }
  if (told) tell(told.words, told.wrong);
}

for (const node of document.querySelectorAll("[data-language]")) {
  node.addEventListener("click", () => {
    const typed = new Map([...document.querySelectorAll(".word textarea")].map((field) => [field.id, field.value]));
    speak(node.dataset.language);
    if (loaded) draw();
    for (const [id, value] of typed) if ($(id)) $(id).value = value;
  });
}
words();
await attempt(load);
