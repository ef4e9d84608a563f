// What a question, an answer and its sources look like. Everything is put in as text.
import { element, render } from "./markdown.js";
import { t } from "./i18n.js";

const PATHS = {
  send: "M12 19V5M5.5 11.5 12 5l6.5 6.5",
  stop: "M6.5 6.5h11v11h-11z",
  menu: "M4 7h16M4 12h16M4 17h16",
  tune: "M4 7h9M17 7h3M4 12h2M10 12h10M4 17h11M19 17h1M15 5v4M8 10v4M17 15v4",
  up: "M7 11v9H4v-9zM7 11l4-8c1.7 0 2.5 1 2.5 2.5V9h5a1.8 1.8 0 0 1 1.8 2.1l-1.2 7.2a2 2 0 0 1-2 1.7H7",
  down: "M17 13V4h3v9zM17 13l-4 8c-1.7 0-2.5-1-2.5-2.5V15h-5a1.8 1.8 0 0 1-1.8-2.1l1.2-7.2a2 2 0 0 1 2-1.7H17",
  copy: "M9 9h11v11H9zM5 15H4V4h11v1",
  delete: "M5 7h14M10 7V4h4v3M7 7l1 13h8l1-13",
  out: "M14 4H5v16h9M10 12h10M16.5 8.5 20 12l-3.5 3.5",
  auto: "M12 3.5a8.5 8.5 0 1 0 0 17 8.5 8.5 0 0 0 0-17M12 3.5v17M12 8h6.5M12 12h8.5M12 16h6.5",
  light: "M12 8a4 4 0 1 0 0 8 4 4 0 0 0 0-8M12 2.5v2M12 19.5v2M2.5 12h2M19.5 12h2M5.3 5.3l1.4 1.4M17.3 17.3l1.4 1.4M5.3 18.7l1.4-1.4M17.3 6.7l1.4-1.4",
  dark: "M20 14.5A8.5 8.5 0 0 1 9.5 4a8.5 8.5 0 1 0 10.5 10.5z",
};

export function icon(name) {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  svg.setAttribute("viewBox", "0 0 24 24");
  svg.setAttribute("aria-hidden", "true");
  const path = document.createElementNS("http://www.w3.org/2000/svg", "path");
  path.setAttribute("d", PATHS[name]);
  svg.append(path);
  return svg;
}

/** An element with a class, and children that are nodes or text. */
export function make(name, className, ...children) {
  const node = element(name, ...children);
  node.className = className;
  return node;
}

export function button(className, label, content, press) {
  const node = make("button", className, content ?? label);
  node.type = "button";
  node.title = label;
  node.setAttribute("aria-label", label);
  node.addEventListener("click", press);
  return node;
}

export function question(text) {
  return make("div", "question", text);
}

/** An answer that grows while its events come, and can be rated when it is whole. */
export class Answer {
  /** `on` has `rate(turn, rating, correction)` and `say(text)`, for those who hear the page. */
  constructor(on) {
    this.on = on;
    this.text = "";
    this.turn = { sources: [], sentences: [], calls: [] };
    this.calls = make("div", "calls");
    this.body = make("div", "body");
    this.progress = make("p", "progress", t("searching"));
    this.node = make("article", "answer", this.calls, this.body, this.progress);
    this.node.setAttribute("aria-busy", "true");
  }

  found({ sources }) {
    this.turn.sources = sources;
    this.progress.textContent = t("writing");
  }

  called(call) {
    this.calling = make("details", "call");
    this.calling.append(make("summary", "", make("span", "label", t("called")), make("code", "", `${call.name}(${argumentsOf(call)})`)));
    this.calls.append(this.calling);
  }

  returned(result) {
    const first = result.content.split("\n", 1)[0];
    const short = first.length > 48 || first !== result.content ? `${first.slice(0, 48)}…` : first;
    this.calling.firstChild.append(make("span", result.ok ? "result" : "result failed", result.ok ? `→ ${short}` : `→ ${t("failed")}`));
    this.calling.append(make("pre", "", result.content));
  }

  piece({ text }) {
    this.text += text;
    this.drawing ??= requestAnimationFrame(() => {
      this.drawing = null;
      if (!this.whole) this.body.replaceChildren(render(this.text));
    });
  }

  refused() {
    this.progress.textContent = t("writing");
  }

  ended({ turn, kept }) {
    this.show(kept ? turn : { ...turn, turn_id: null }); // what is not kept cannot be rated
    if (!kept) this.fail(t("not_kept"));
    this.on.say(t("answered"));
  }

  /** The whole answer, as it ended or as it was kept. */
  show(turn) {
    this.whole = true;
    this.turn = turn;
    this.node.setAttribute("aria-busy", "false");
    this.node.lang = turn.lang || "";
    this.progress.remove();
    if (!this.calls.children.length) {
      for (const [call, result] of turn.calls ?? []) {
        this.called(call);
        this.returned(result);
      }
    }
    const sources = turn.sources ?? [];
    const checked = sources.length && !turn.quoted ? turn.sentences ?? [] : []; // what is quoted stands in the source
    const marks = marksOf(turn.answer, checked);
    this.body.replaceChildren(render(turn.answer, marks, (number) => this.cite(number)));
    const notes = notesOf(turn, marks.some((mark) => mark.className));
    if (notes.length) this.node.append(make("p", "notes", notes.join(" ")));
    if (sources.length) this.node.append(this.sources(sources));
    if (turn.turn_id) this.node.append(new Verdict(turn, this.on).node);
  }

  fail(message) {
    this.whole = true;
    this.node.setAttribute("aria-busy", "false");
    this.progress.remove();
    const note = make("p", "error", message);
    note.setAttribute("role", "alert");
    this.node.append(note);
  }

  cite(number) {
    const source = (this.turn.sources ?? []).find((one) => one.number === number);
    if (!source) return null;
    return button("cite", `${t("source", { number })}: ${source.title}`, String(number), () => {
      const opened = this.node.querySelector(`details[data-number="${number}"]`);
      opened.open = true;
      opened.scrollIntoView({ block: "nearest", behavior: "smooth" });
      opened.firstChild.focus({ preventScroll: true });
    });
  }

  sources(sources) {
    const head = make("p", "head", t("sources"));
    const { confidence } = this.turn;
    if (confidence !== null) head.append(make("span", "sure", t("sure", { percent: Math.round(100 * confidence) })));
    return make("section", "sources", head, ...sources.map(sourceOf));
  }
}

function sourceOf(source) {
  const where = [source.heading !== source.title ? source.heading.replaceAll(" > ", " › ") : source.document, source.page ? t("page", { page: source.page }) : ""];
  const summary = make(
    "summary", "",
    make("span", "number", String(source.number)),
    make("span", "name", make("span", "title", source.title || source.document), make("span", "where", where.filter(Boolean).join(" · "))),
    make("span", "score", t("score", { score: source.score.toFixed(1) })),
  );
  const node = make("details", "source", summary, make("blockquote", "", source.text), make("p", "document", source.document));
  node.dataset.number = source.number;
  node.lang = source.lang;
  return node;
}

function argumentsOf(call) {
  return Object.entries(call.arguments).map(([name, value]) => `${name}: ${JSON.stringify(value)}`).join(", ");
}

/** Where the checked sentences stand in the answer. */
function marksOf(answer, sentences) {
  const marks = [];
  let at = 0;
  for (const { text, cites, supported } of sentences) {
    const start = answer.indexOf(text, at);
    if (!text || start < 0) continue;
    at = start + text.length;
    marks.push({
      start, end: at, cites,
      className: supported ? "" : "unsupported",
      title: supported ? "" : t("unsupported"),
    });
  }
  return marks;
}

function notesOf(turn, unsupported) {
  const notes = [];
  if (unsupported) notes.push(t("unsupportedNote"));
  if (turn.reason === "refused" || turn.refused) notes.push(t("refused", { code: turn.refused || "content_filter" }));
  else notes.push(...[turn.reason, turn.finish].filter((name) => ["unsure", "unanswered", "length", "timeout", "stopped"].includes(name)).map((name) => t(name)));
  return notes;
}

/** The row below an answer: thumbs, a better answer, copy, and what it cost. */
class Verdict {
  constructor(turn, on) {
    Object.assign(this, { turn, on, rating: turn.rating ?? 0, correction: turn.correction ?? null });
    this.up = button("icon", t("good"), icon("up"), () => this.rate(1));
    this.down = button("icon", t("bad"), icon("down"), () => this.rate(-1));
    const better = button("text", t("better"), null, () => this.write());
    const copy = button("icon", t("copy"), icon("copy"), () => navigator.clipboard.writeText(turn.answer).then(() => on.say(t("copied"))));
    const seconds = (turn.seconds ?? 0).toFixed(1);
    const spent = make("span", "spent", turn.tokens ? t("spent", { tokens: turn.tokens, seconds }) : "");
    this.row = make("div", "row", this.up, this.down, better, copy, spent);
    this.note = make("div", "correction");
    this.node = make("div", "verdict", this.row, this.note);
    this.press();
    this.draw();
  }

  press() {
    this.up.setAttribute("aria-pressed", String(this.rating === 1));
    this.down.setAttribute("aria-pressed", String(this.rating === -1));
  }

  draw() {
    this.note.replaceChildren(...(this.correction ? [make("p", "head", t("betterLabel")), make("p", "given", this.correction)] : []));
  }

  rate(value) {
    return this.keep(this.rating === value ? 0 : value, this.correction);
  }

  /** Returns whether the server has it. */
  async keep(rating, correction) {
    if (!(await this.on.rate(this.turn.turn_id, rating, correction))) return false;
    Object.assign(this, { rating, correction });
    this.press();
    this.on.say(t("saved"));
    return true;
  }

  write() {
    const field = make("textarea", "");
    field.value = this.correction ?? this.turn.answer;
    field.rows = 4;
    field.setAttribute("aria-label", t("betterLabel"));
    const save = make("button", "primary", t("save"));
    const form = make("form", "better", field, make("p", "why", t("betterWhy")), make("div", "buttons", button("", t("cancel"), null, () => this.draw()), save));
    form.addEventListener("submit", async (event) => {
      event.preventDefault();
      if (await this.keep(this.rating, field.value.trim() || null)) this.draw();
    });
    form.addEventListener("keydown", (event) => {
      if (event.key !== "Escape" || event.isComposing) return;
      event.stopPropagation();
      this.draw();
    });
    this.note.replaceChildren(form);
    field.focus({ preventScroll: true });
    field.setSelectionRange(0, 0);
    field.scrollTop = 0;
    form.scrollIntoView({ block: "nearest" });
  }
}
