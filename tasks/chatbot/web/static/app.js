// The page: conversations on the left, one of them open, a question at the bottom. What is kept lives on the server; the address says which is open.
import { ApiError, ask, call, setToken, token } from "./api.js";
import { explained, language, setLanguage, t, translate } from "./i18n.js";
import { Panel } from "./panel.js";
import { Answer, button, icon, make, question } from "./view.js";

const $ = (id) => document.getElementById(id);
const state = { about: null, decisions: 0, conversation: null, title: "", list: [], lists: 0, looks: "", answering: null };
const panel = new Panel();
let started = null; // settled when the server has said what it offers

// Words for ears and errors.

function say(text) {
  $("status").textContent = text;
}

function wordsOf(error) {
  if (!(error instanceof ApiError)) throw error;
  return explained(error.code, error.message);
}

/** Do something with the server; a token that is missing or wrong is asked for, other trouble is told. Returns whether it was done. */
async function attempt(work) {
  try {
    await work();
    return true;
  } catch (error) {
    if (error.code === "invalid_token") signIn(Boolean(token()));
    else notice(wordsOf(error));
    return false;
  }
}

function notice(text) {
  const note = make("p", "error", text);
  note.setAttribute("role", "alert");
  $("thread").append(note);
  follow(true);
}

// The conversation that is open.

const on = {
  say,
  rate: (turn, rating, correction) => attempt(() => call("POST", "api/rate", { turn, rating, correction })),
};

function follow(always = false) {
  const box = $("scroll");
  if (always || box.scrollHeight - box.scrollTop - box.clientHeight < 120) box.scrollTop = box.scrollHeight;
}

function welcome() {
  const { about } = state;
  const text = about.index ? t("welcomeIndex", { documents: about.documents.toLocaleString(language()) }) : t("welcomePlain");
  $("thread").replaceChildren(make("div", "welcome", make("h2", "", t("welcome")), make("p", "", text)));
}

function entitle(title) {
  state.title = title;
  $("title").textContent = title;
  document.title = title ? `${title} · Migaki` : "Migaki";
}

function begin() {
  state.conversation = null;
  entitle("");
  welcome();
  markOpen();
  $("question").focus();
}

async function open(conversation) {
  const { messages } = await call("GET", `api/conversations/${encodeURIComponent(conversation)}`);
  state.conversation = conversation;
  entitle(state.list.find((one) => one.id === conversation)?.title ?? "");
  draw(messages);
  markOpen();
  follow(true);
}

function draw(messages) {
  $("thread").replaceChildren();
  $("thread").setAttribute("aria-live", "off"); // what is old is not read out
  for (const message of messages) {
    if (message.role === "user") {
      $("thread").append(question(message.content));
    } else {
      const answer = new Answer(on);
      answer.show({ ...message, answer: message.content });
      $("thread").append(answer.node);
    }
  }
  $("thread").setAttribute("aria-live", "polite");
}

/** What the address names. An answer in progress stays with the conversation it belongs to. */
async function route() {
  const wanted = decodeURIComponent(location.hash.slice(1));
  if (wanted === (state.conversation ?? "") && $("thread").children.length) return;
  leave();
  closeSide();
  if (!wanted) return begin();
  if (!(await attempt(() => open(wanted)))) state.conversation = null;
}

// Asking.

async function submit() {
  const field = $("question");
  const text = field.value.trim();
  if (!text || state.answering) return;
  if (!state.conversation && !state.title) $("thread").replaceChildren();
  const answer = new Answer(on);
  const running = { answer, abort: new AbortController(), id: null };
  state.answering = running;
  field.value = "";
  grow();
  $("thread").append(question(text), answer.node);
  follow(true);
  showSend();
  try {
    await started; // what was chosen on an earlier visit counts for a question that comes sooner, too
    for await (const [name, data] of ask(text, state.conversation, panel.chosen, running.abort.signal)) {
      if (name === "begun") begun(running, data, text);
      else answer[name](data);
      follow();
    }
    attempt(refresh); // meanwhile the next question may come
  } catch (error) {
    if (running.abort.signal.aborted) return;
    if (error.code === "invalid_token") signIn(Boolean(token()));
    answer.fail(wordsOf(error));
    if (!answer.text && !field.value) field.value = text; // nothing was lost but time
    if (running.first && error.status) forget();
  } finally {
    if (state.answering === running) state.answering = null;
    showSend();
    follow();
  }
}

/** A conversation whose first answer failed is not kept: the server has dropped it already, so the list need not ask before it does. */
function forget() {
  const rest = state.list.filter((one) => one.id !== state.conversation);
  state.conversation = null;
  history.replaceState(null, "", location.pathname);
  entitle("");
  show(rest);
}

function begun(running, { conversation, answer }, text) {
  running.id = answer;
  if (state.conversation === conversation) return;
  running.first = true;
  state.conversation = conversation;
  history.replaceState(null, "", `#${encodeURIComponent(conversation)}`);
  if (!state.title) entitle(text.replace(/\s+/g, " ").slice(0, 60));
  show([{ id: conversation, title: state.title, last: new Date().toISOString().replace("Z", "") }, ...state.list]);
}

/** Stop the answer: ask the server, which ends it in good order; where it has not begun yet, hang up. */
async function stop() {
  const running = state.answering;
  if (!running) return;
  if (running.id) await attempt(() => call("POST", "api/stop", { answer: running.id }).catch(() => null));
  else leave();
}

function leave() {
  state.answering?.abort.abort();
  state.answering = null;
  showSend();
}

function showSend() {
  const stopping = Boolean(state.answering);
  const label = t(stopping ? "stop" : "send");
  $("send").replaceChildren(icon(stopping ? "stop" : "send"));
  $("send").classList.toggle("stops", stopping);
  $("send").title = label;
  $("send").setAttribute("aria-label", label);
  $("send").disabled = !stopping && !$("question").value.trim();
}

function grow() {
  const field = $("question");
  field.style.height = "auto";
  field.style.height = `${Math.min(field.scrollHeight, 0.4 * innerHeight)}px`;
  showSend();
}

// The list of conversations.

/** What the server keeps, unless the list was changed or asked for again meanwhile: its answer is older then. */
async function refresh() {
  const asked = ++state.lists;
  const { conversations } = await call("GET", "api/conversations");
  if (asked === state.lists) show(conversations);
}

function show(list) {
  state.lists += 1;
  state.list = list;
  drawList();
}

function drawList() {
  const groups = new Map();
  for (const one of state.list) {
    const day = dayOf(one.last);
    groups.set(day, [...(groups.get(day) ?? []), one]);
  }
  // What looks the same stays: a click on a link that is replaced between press and release is lost.
  const looks = JSON.stringify([t("none"), [...groups].map(([day, ones]) => [day, ones.map(({ id, title }) => [id, title])])]);
  if (looks === state.looks) return markOpen();
  state.looks = looks;
  const drawn = [...groups].map(([day, ones]) => make("section", "", make("h2", "", t(day)), make("ul", "", ...ones.map(entry))));
  $("list").replaceChildren(...(drawn.length ? drawn : [make("p", "none", t("none"))]));
  markOpen();
}

function dayOf(last) {
  const midnight = new Date().setHours(0, 0, 0, 0);
  const then = new Date(`${last}Z`).getTime();
  return then >= midnight ? "today" : then >= midnight - 86_400_000 ? "yesterday" : "earlier";
}

function entry(one) {
  const link = make("a", "", one.title || t("conversation"));
  link.href = `#${encodeURIComponent(one.id)}`;
  const remove = button("icon", t("deleteOne", { title: one.title }), icon("delete"), () => confirmDelete(one));
  const node = make("li", "", link, remove);
  node.dataset.id = one.id;
  return node;
}

function markOpen() {
  for (const node of $("list").querySelectorAll("li")) {
    const isOpen = node.dataset.id === state.conversation;
    if (isOpen) node.firstChild.setAttribute("aria-current", "page");
    else node.firstChild.removeAttribute("aria-current");
  }
}

function confirmDelete(one) {
  $("confirm-what").textContent = one.title;
  $("confirm").returnValue = "no";
  $("confirm").onclose = async () => {
    if ($("confirm").returnValue !== "yes") return;
    const done = await attempt(() => call("DELETE", `api/conversations/${encodeURIComponent(one.id)}`));
    if (done && state.conversation === one.id) location.hash = "";
    if (done) show(state.list.filter((other) => other.id !== one.id));
    else await attempt(refresh);
  };
  $("confirm").showModal();
}

// Side, theme, language, sign-in.

function openSide() {
  $("side").classList.add("open");
  $("shade").hidden = false;
  $("menu").setAttribute("aria-expanded", "true");
  $("new").focus();
}

function closeSide() {
  $("side").classList.remove("open");
  $("shade").hidden = true;
  $("menu").setAttribute("aria-expanded", "false");
}

const THEMES = { auto: "themeAuto", light: "themeLight", dark: "themeDark" };

function showTheme() {
  const name = document.documentElement.dataset.theme in THEMES ? document.documentElement.dataset.theme : "auto";
  $("theme").replaceChildren(icon(name));
  $("theme").title = t(THEMES[name]);
  $("theme").setAttribute("aria-label", t(THEMES[name]));
}

function nextTheme() {
  const names = Object.keys(THEMES);
  const next = names[(names.indexOf(document.documentElement.dataset.theme) + 1) % names.length];
  document.documentElement.dataset.theme = next;
  localStorage.setItem("migaki.theme", next);
  showTheme();
}

async function speak(name) {
  setLanguage(name);
  words();
  if (state.about) {
    drawList();
    if (state.conversation && !state.answering) await attempt(() => open(state.conversation));
    else if (!state.conversation) welcome();
  }
}

function words() {
  translate(document);
  for (const node of document.querySelectorAll("[data-language]")) {
    node.setAttribute("aria-pressed", String(node.dataset.language === language()));
  }
  showTheme();
  showSend();
  showVersion();
  showDecisions();
  panel.show();
}

function showVersion() {
  const { about } = state;
  if (!about) return;
  const model = [about.model, about.precision, about.version.slice(0, 7)].filter(Boolean).join(" ");
  const index = about.index ? t("index", { version: about.index.slice(0, 7) }) : t("noIndex");
  const who = about.user && t("who", { name: about.user, role: t(about.role) });
  const unreleased = about.unreleased.replace(/^unreleased/, t("unreleased"));
  $("version").textContent = [who, unreleased, model, index].filter(Boolean).join(" · ");
  $("version").title = [`${about.model} ${about.version}`, about.index, about.release, unreleased].filter(Boolean).join("\n");
}

/** How many releases wait for whoever may decide on them. */
function showDecisions() {
  $("decisions").hidden = !state.decisions;
  $("decisions").textContent = t("decisionsCount", { count: state.decisions });
}

function signIn(wrong) {
  $("wrong").textContent = wrong ? t("wrongToken") : "";
  if (!$("sign-in").open) $("sign-in").showModal();
}

function start() {
  started = attempt(async () => {
    state.about = await call("GET", "api/about");
    $("question").maxLength = state.about.max_question;
    $("sign-out").hidden = !token();
    showVersion();
    await refresh();
    await route();
    panel.offer(state.about.generation); // not before: a conversation that begins takes the focus, from whoever has opened the panel too
    $("monitor").hidden = state.about.role !== "admin";
    if (state.about.role === "admin") state.decisions = (await call("GET", "api/approvals")).waiting.length;
    showDecisions();
  });
}

function listen() {
  const field = $("question");
  field.addEventListener("input", grow);
  field.addEventListener("keydown", (event) => {
    // While a word is being composed (Japanese input), Enter chooses it. Safari says so by key code 229 alone.
    if (event.key !== "Enter" || event.shiftKey || event.isComposing || event.keyCode === 229) return;
    event.preventDefault();
    submit();
  });
  $("composer").addEventListener("submit", (event) => {
    event.preventDefault();
    if (state.answering) stop();
    else submit();
  });
  document.addEventListener("keydown", (event) => {
    if (event.key !== "Escape" || event.isComposing || document.querySelector("dialog[open]")) return;
    if ($("side").classList.contains("open")) closeSide();
    else stop();
  });
  $("new").addEventListener("click", () => {
    if (location.hash) location.hash = "";
    else {
      leave();
      closeSide();
      begin();
    }
  });
  $("menu").addEventListener("click", openSide);
  $("shade").addEventListener("click", closeSide);
  $("theme").addEventListener("click", nextTheme);
  $("sign-out").addEventListener("click", () => {
    setToken("");
    location.reload();
  });
  $("sign-in").addEventListener("cancel", (event) => event.preventDefault());
  $("sign-in-form").addEventListener("submit", () => {
    setToken($("token").value.trim());
    $("token").value = "";
    start();
  });
  for (const node of document.querySelectorAll("[data-language]")) node.addEventListener("click", () => speak(node.dataset.language));
  addEventListener("hashchange", route);
}

$("menu").append(icon("menu"));
$("tune").append(icon("tune"));
$("sign-out").append(icon("out"));
words();
listen();
start();
