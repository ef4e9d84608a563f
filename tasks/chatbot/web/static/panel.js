// How answers are generated, where the server lets its readers choose. What they choose is kept in this browser and sent with each question.
import { language, t } from "./i18n.js";

const KEPT = "migaki.generation";
const NAMES = ["temperature", "top_p", "max_tokens"];
const $ = (id) => document.getElementById(id);

export class Panel {
  constructor() {
    this.ranges = null;
    this.values = {}; // what was chosen; the rest is as the server has it
    $("tune").addEventListener("click", () => this.open($("generation").hidden));
    $("generation-reset").addEventListener("click", () => this.choose({}));
    $("generation").addEventListener("keydown", (event) => {
      if (event.key === "Enter" && event.target.tagName === "INPUT") event.preventDefault(); // sends nothing
      if (event.key !== "Escape" || event.isComposing) return;
      event.stopPropagation();
      this.open(false);
      $("tune").focus();
    });
    for (const name of NAMES) {
      $(name).addEventListener("input", () => this.choose({ ...this.values, [name]: Number($(name).value) }));
    }
  }

  /** The ranges that the server names; null where nothing may be chosen. */
  offer(ranges) {
    this.ranges = ranges;
    $("tune").hidden = !ranges;
    if (!ranges) return this.open(false);
    for (const name of NAMES) {
      $(`${name}-row`).hidden = !ranges[name];
      if (!ranges[name]) continue;
      const { least, most, step } = ranges[name];
      Object.assign($(name), { min: least, max: most, step });
    }
    this.values = this.kept();
    this.show();
  }

  /** What was chosen, for the server; undefined where nothing was. */
  get chosen() {
    return this.ranges && Object.keys(this.values).length ? this.values : undefined;
  }

  open(wanted) {
    $("generation").hidden = !wanted;
    $("tune").setAttribute("aria-expanded", String(wanted));
    if (wanted) NAMES.map($).find((node) => !node.parentElement.hidden).focus();
  }

  choose(values) {
    this.values = Object.fromEntries(Object.entries(values).filter(([name, value]) => value !== this.ranges[name]?.own));
    if (this.chosen) localStorage.setItem(KEPT, JSON.stringify(this.values));
    else localStorage.removeItem(KEPT);
    this.show();
  }

  /** What an earlier visit left, as far as it lies in the ranges of today. */
  kept() {
    let kept = {};
    try {
      kept = JSON.parse(localStorage.getItem(KEPT)) ?? {};
    } catch {
      localStorage.removeItem(KEPT);
    }
    const inRange = (name) => typeof kept[name] === "number" && kept[name] >= this.ranges[name].least && kept[name] <= this.ranges[name].most;
    return Object.fromEntries(Object.keys(this.ranges).filter(inRange).map((name) => [name, kept[name]]));
  }

  /** The sliders as they stand, in the words of the page. */
  show() {
    if (!this.ranges) return;
    for (const [name, { own }] of Object.entries(this.ranges)) {
      const value = this.values[name] ?? own;
      const number = value.toLocaleString(language(), { maximumFractionDigits: 2 });
      const words = name === "max_tokens" ? t("tokens", { count: number }) : number;
      $(name).value = value;
      $(name).setAttribute("aria-valuetext", words);
      $(`${name}-value`).textContent = words;
    }
    const changed = Boolean(this.chosen);
    const label = t(changed ? "generationChanged" : "generation");
    $("tune").classList.toggle("changed", changed);
    $("tune").title = label;
    $("tune").setAttribute("aria-label", label);
    $("generation-reset").disabled = !changed;
  }
}
