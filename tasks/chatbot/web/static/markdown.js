// A little Markdown, made of DOM nodes alone: nothing an answer or a document says can become an element of its own choosing.

/** Text as a fragment: paragraphs, headings, lists, code, bold and italics.
 *  `marks` are [{start, end, className, title, cites}] over the text, in order; `cite(number)` makes the node of a citation, or null. */
export function render(text, marks = [], cite = () => null) {
  const fragment = document.createDocumentFragment();
  const writer = new Writer(text, marks, cite);
  let list = null;
  for (const block of blocks(text)) {
    if (block.kind !== "item") list = null;
    if (block.kind === "code") {
      const code = element("code", text.slice(block.start, block.end));
      fragment.append(element("pre", code));
    } else if (block.kind === "item") {
      if (!list || list.dataset.ordered !== String(block.ordered)) {
        list = element(block.ordered ? "ol" : "ul");
        list.dataset.ordered = block.ordered;
        if (block.ordered) list.start = block.number;
        fragment.append(list);
      }
      list.append(writer.write(element("li"), block));
    } else {
      fragment.append(writer.write(element(block.kind === "heading" ? "h3" : "p"), block));
    }
  }
  return fragment;
}

export function element(name, ...children) {
  const node = document.createElement(name);
  node.append(...children);
  return node;
}

/** Places of the text by what stands there: {kind, start, end}; the markup of lines is left out of them. */
function* blocks(text) {
  const lines = [];
  for (let start = 0; start <= text.length; ) {
    const stop = text.indexOf("\n", start);
    const end = stop < 0 ? text.length : stop;
    lines.push({ start, end, text: text.slice(start, end) });
    start = end + 1;
  }
  for (let i = 0; i < lines.length; i += 1) {
    const line = lines[i];
    const item = /^(\s*)(?:[-*•]|(\d{1,3})[.)])\s+/.exec(line.text);
    const heading = /^#{1,6}\s+/.exec(line.text);
    if (/^\s*```/.test(line.text)) {
      const first = i + 1;
      while (i + 1 < lines.length && !/^\s*```/.test(lines[i + 1].text)) i += 1;
      if (i >= first) yield { kind: "code", start: lines[first].start, end: lines[i].end };
      i += 1;
    } else if (item) {
      yield { kind: "item", ordered: item[2] !== undefined, number: Number(item[2]), start: line.start + item[0].length, end: line.end };
    } else if (heading) {
      yield { kind: "heading", start: line.start + heading[0].length, end: line.end };
    } else if (line.text.trim()) {
      const start = line.start;
      while (i + 1 < lines.length && lines[i + 1].text.trim() && !/^\s*(?:[-*•]|\d{1,3}[.)])\s|^#{1,6}\s|^\s*```/.test(lines[i + 1].text)) i += 1;
      yield { kind: "paragraph", start, end: lines[i].end };
    }
  }
}

const INLINE = /`([^`\n]+)`|\*\*([^*\n]+)\*\*|\*([^*\s][^*\n]*)\*/g;

/** The runs of a block: {tag, start, end} of what is seen. */
function* runs(text, block) {
  let at = block.start;
  for (const found of text.slice(block.start, block.end).matchAll(INLINE)) {
    const start = block.start + found.index;
    if (start > at) yield { tag: null, start: at, end: start };
    const [whole, code, bold] = found;
    at = start + whole.length;
    if (code) yield { tag: "code", start: start + 1, end: at - 1 };
    else yield { tag: bold ? "strong" : "em", start: start + (bold ? 2 : 1), end: at - (bold ? 2 : 1) };
  }
  if (at < block.end) yield { tag: null, start: at, end: block.end };
}

/** Writes blocks in order, and cuts what it writes where marks begin and end. */
class Writer {
  constructor(text, marks, cite) {
    Object.assign(this, { text, marks, cite, next: 0 });
  }

  write(parent, block) {
    for (const run of runs(this.text, block)) {
      for (let at = run.start; at < run.end; ) {
        this.close(parent, at);
        const mark = this.marks[this.next];
        const edges = mark ? [mark.start, mark.end].filter((edge) => edge > at) : [];
        const end = Math.min(run.end, ...edges);
        const node = run.tag ? element(run.tag, this.text.slice(at, end)) : document.createTextNode(this.text.slice(at, end));
        parent.append(mark && at >= mark.start && mark.className ? this.marked(node, mark) : node);
        at = end;
      }
    }
    this.close(parent, block.end);
    return parent;
  }

  marked(node, mark) {
    const span = element("span", node);
    span.className = mark.className;
    span.title = mark.title;
    return span;
  }

  /** Citations of the marks that are over at this place. */
  close(parent, at) {
    while (this.next < this.marks.length && this.marks[this.next].end <= at) {
      for (const number of this.marks[this.next].cites) {
        const node = this.cite(number);
        if (node) parent.append(node);
      }
      this.next += 1;
    }
  }
}
