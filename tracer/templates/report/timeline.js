// The time line: a strip that counts everything, and below it a lane for each container.

/** Height of a row of the strip. */
const STRIP = 34;

class Timeline {
  constructor(story) {
    this.box = document.getElementById("lanes-box");
    this.canvas = document.getElementById("lanes");
    this.strip = document.getElementById("strip");
    this.detail = document.getElementById("detail");
    this.chosen = null;
    this.moment = story.span;
    this.withRoutine = false;
    this.take(story);
    this.view = new View(story, () => this.redraw());
    this.listen();
    this.redraw();
  }

  take(story) {
    this.story = story;
    this.layout = layout(story);
    this.order = this.layout.rows.flatMap((row) => row.lives);
    /** Signals that can be seen, once they are drawn. */
    this.seen = [];
    document.getElementById("lanes-size").style.height = `${this.layout.height}px`;
    this.strip.setAttribute("aria-label", this.summary());
  }

  /** More is known. What is looked at stays where it is. */
  update(story) {
    const { box, chosen } = this;
    const now = (life) => story.byKey.get(key(life));
    const isTold = chosen && this.detail.textContent === aboutLife(this.story, chosen);
    const scrolled = box.scrollTop;
    const top = this.layout.rows.find((row) => row.top + ROW > scrolled);
    this.take(story);
    this.chosen = chosen && (now(chosen) ?? null);
    if (isTold && this.chosen) this.tell(aboutLife(story, this.chosen));
    const life = top?.lives.map(now).find(Boolean);
    if (scrolled > 0 && life) box.scrollTop = scrolled + life.row.top - top.top;
    this.view.reach(story);
    this.redraw();
  }

  summary() {
    const sum = (counts) => counts.reduce((sum, n) => sum + n, 0);
    const { signals, exits, zombies } = this.story.density;
    return `Over time: ${sum(signals)} signals, ${sum(exits)} ends of processes, at most ${Math.max(0, ...zombies)} zombies`;
  }

  /** At the next frame, once. */
  redraw() {
    if (this.isDue) return;
    this.isDue = true;
    requestAnimationFrame(() => {
      this.isDue = false;
      this.draw();
    });
  }

  draw() {
    const { view, story } = this;
    this.width = this.box.clientWidth;
    this.height = Math.min(this.box.clientHeight || 544, this.layout.height);
    this.canvas.style.height = `${this.height}px`;
    this.scale = (at) => ((at - view.from) / (view.until - view.from)) * this.width;
    const range = `${clock(story, view.from)} to ${clock(story, view.until)} (${duration(view.until - view.from)})`;
    document.getElementById("range").textContent = range;
    const colours = palette();
    this.drawStrip(colours);
    this.drawLanes(colours);
  }

  drawStrip(colours) {
    const { density } = this.story;
    const rows = [
      ["signals", density.signals, colours.info, `in ${duration(density.width)}`],
      ["ends", density.exits, colours.soft, `in ${duration(density.width)}`],
      ["zombies", density.zombies, colours.zombie, "whenever they were counted"],
    ];
    const context = surface(this.strip, this.width, rows.length * STRIP);
    this.strip.style.height = `${rows.length * STRIP}px`;
    this.drawGaps(context, colours, rows.length * STRIP, false);
    context.font = colours.mono;
    rows.forEach(([label, counts, colour, per], i) => {
      const bottom = (i + 1) * STRIP - 2;
      const most = Math.max(1, ...counts);
      context.fillStyle = colour;
      counts.forEach((count, n) => {
        if (!count) return;
        const x = this.scale(density.from + n * density.width);
        const width = Math.max(this.scale(density.from + (n + 1) * density.width) - x - 0.5, 1.5);
        const height = Math.max((count / most) * (STRIP - 14), 2);
        context.fillRect(x, bottom - height, width, height);
      });
      context.fillStyle = colours.ink;
      write(context, `${label}: at most ${Math.max(0, ...counts)} ${per}`, 4, bottom - STRIP + 12);
      context.fillStyle = colours.line;
      context.fillRect(0, bottom, this.width, 1);
    });
  }

  drawGaps(context, colours, height, withText) {
    for (const [from, until, records] of this.story.gaps) {
      const [x, end] = [this.scale(from), this.scale(until)];
      if (end < 0 || x > this.width) continue;
      context.globalAlpha = 0.45;
      context.fillStyle = colours.gap;
      context.fillRect(x, 0, Math.max(end - x, 3), height);
      context.globalAlpha = 1;
      if (!withText) continue;
      context.fillStyle = colours.ink;
      write(context, `${records} records lost`, Math.max(x, 0) + 3, height - 5, Math.max(end - x, 120));
    }
  }

  drawLanes(colours) {
    const { story, scale, layout } = this;
    const scrolled = this.box.scrollTop;
    const context = surface(this.canvas, this.width, this.height);
    context.font = colours.mono;
    this.drawGaps(context, colours, this.height, true);
    const isSeen = (top) => top + ROW > scrolled && top < scrolled + this.height;
    for (const head of layout.heads.filter((head) => isSeen(head.top - 8))) this.drawHead(context, colours, head, scrolled);
    const visible = layout.rows.filter((row) => isSeen(row.top));
    for (const row of visible) {
      for (const life of row.lives) {
        if (scale(until(story, life)) < -200 || scale(life.born) > this.width) continue;
        drawLife(context, colours, story, life, scale, row.top - scrolled, life === this.chosen);
      }
    }
    this.drawSignals(context, colours, scrolled);
    for (const mark of story.marks) {
      const row = story.lives[mark.life].row;
      if (isSeen(row.top)) drawMark(context, colours, mark, scale(mark.at), row.top - scrolled + 8);
    }
    this.drawMoment(context, colours);
  }

  drawHead(context, colours, { lane, top, count }, scrolled) {
    context.fillStyle = colours.raised;
    context.fillRect(0, top - scrolled, this.width, HEAD - 4);
    context.fillStyle = colours.ink;
    context.font = `bold ${colours.mono}`;
    const name = lane.kind === "host" ? "host" : `${lane.kind} ${lane.name}`;
    write(context, `${name}: ${count} ${count === 1 ? "process" : "processes"}`, 6, top - scrolled + 13, this.width - 12);
    context.font = colours.mono;
  }

  /** Those that can be seen; with a line from the sender, if there are few, or a process is chosen. */
  drawSignals(context, colours, scrolled) {
    const { story, scale, view } = this;
    const y = (life) => life.row.top - scrolled + ROW / 2;
    const isSeen = (signal) => {
      if (signal.at < view.from || signal.at > view.until || (signal.isRoutine && !this.withRoutine)) return false;
      const ends = [signal.to, signal.from].filter((end) => end >= 0).map((end) => y(story.lives[end]));
      return Math.max(...ends) > 0 && Math.min(...ends) < this.height;
    };
    this.seen = story.signals.filter(isSeen);
    const few = this.seen.length <= LINES;
    // What was lost lies on top.
    const rank = { late: 0, ignored: 1, taken: 2, waits: 3, lost: 4 };
    for (const signal of [...this.seen].sort((a, b) => rank[a.fate.class] - rank[b.fate.class])) {
      const to = story.lives[signal.to];
      const from = signal.from >= 0 ? story.lives[signal.from] : undefined;
      const withLine = from && (few || to === this.chosen || from === this.chosen);
      drawSignal(context, colours, signal, scale(signal.at), y(to), withLine ? y(from) : undefined);
    }
  }

  /** The moment of the tree. */
  drawMoment(context, colours) {
    context.strokeStyle = colours.info;
    context.lineWidth = 1;
    context.setLineDash([4, 4]);
    context.beginPath();
    strokes(context, [[this.scale(this.moment), 0, this.scale(this.moment), this.height]]);
    context.stroke();
    context.setLineDash([]);
  }

  /** What is at a place of the canvas: a signal before a process. */
  at(x, y) {
    const near = (signal) => {
      const row = this.story.lives[signal.to].row;
      return Math.hypot(this.scale(signal.at) - x, row.top - this.box.scrollTop + ROW / 2 - y);
    };
    const signal = this.seen.reduce((best, one) => (near(one) < (best ? near(best) : 7) ? one : best), null);
    if (signal) return { signal };
    const top = y + this.box.scrollTop;
    const row = this.layout.rows.find((row) => row.top <= top && top < row.top + ROW);
    const hits = (life) => this.scale(life.born) - 3 <= x && x <= Math.max(this.scale(until(this.story, life)), this.scale(life.born) + 2) + 3;
    const life = row && [...row.lives].reverse().find(hits);
    return life ? { life } : null;
  }

  tell(text) {
    if (this.detail.textContent !== text) this.detail.textContent = text;
  }

  /** A process is in the middle of interest, chosen by key, click or from a finding. */
  choose(life) {
    this.chosen = life;
    if (life) {
      const top = life.row.top;
      const { scrollTop, clientHeight } = this.box;
      if (top < scrollTop + HEAD || top + ROW > scrollTop + clientHeight) this.box.scrollTop = top - clientHeight / 2;
      const isSeen = until(this.story, life) >= this.view.from && life.born <= this.view.until;
      if (!isSeen) this.view.show((Math.max(life.born, this.story.from) + until(this.story, life)) / 2);
    }
    this.tell(life ? aboutLife(this.story, life) : "");
    this.redraw();
  }

  step(by) {
    const now = this.order.indexOf(this.chosen);
    const next = now < 0 ? 0 : Math.min(Math.max(now + by, 0), this.order.length - 1);
    if (this.order.length) this.choose(this.order[next]);
  }

  /** Around a finding. */
  show(anchor) {
    const mark = this.story.marks.find((mark) => mark.anchor === anchor);
    if (!mark) return;
    const began = Math.max(mark.since, this.story.from);
    const margin = Math.max((mark.at - began) * 0.3, (this.story.span - this.story.from) / 50);
    this.view.set(began - margin, mark.at + margin);
    this.choose(this.story.lives[mark.life]);
    document.getElementById("time").scrollIntoView();
    this.canvas.focus({ preventScroll: true });
  }

  key(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const actions = {
      ArrowLeft: () => this.view.move(-0.15), ArrowRight: () => this.view.move(0.15),
      ArrowUp: () => this.step(-1), ArrowDown: () => this.step(1),
      PageUp: () => this.step(-20), PageDown: () => this.step(20),
      "+": () => this.view.zoom(0.7), "=": () => this.view.zoom(0.7), "-": () => this.view.zoom(1 / 0.7),
      Home: () => this.view.all(), Escape: () => this.choose(null),
    };
    const action = actions[event.key];
    if (!action) return;
    event.preventDefault();
    action();
  }

  listen() {
    const { canvas, view } = this;
    const on = (target, type, handler, options) => target.addEventListener(type, handler, options);
    const time = (event) => view.from + (event.offsetX / this.width) * (view.until - view.from);
    for (const [id, action] of [["zoom-in", () => view.zoom(0.7)], ["zoom-out", () => view.zoom(1 / 0.7)], ["zoom-all", () => view.all()]]) {
      on(document.getElementById(id), "click", action);
    }
    on(document.getElementById("routine"), "change", (event) => {
      this.withRoutine = event.target.checked;
      this.redraw();
    });
    on(canvas, "keydown", (event) => this.key(event));
    // The wheel scrolls the page until somebody works here.
    on(canvas, "wheel", (event) => {
      if (document.activeElement !== canvas && !event.ctrlKey) return;
      event.preventDefault();
      if (event.shiftKey) this.box.scrollTop += event.deltaY || event.deltaX;
      else view.zoom(Math.exp(Math.min(Math.max(event.deltaY, -100), 100) * 0.003), time(event));
    }, { passive: false });
    let held = null;
    on(canvas, "pointerdown", (event) => {
      held = { x: event.clientX, from: view.from, moved: false };
      canvas.setPointerCapture(event.pointerId);
    });
    on(canvas, "pointermove", (event) => {
      if (!held) {
        const hit = this.at(event.offsetX, event.offsetY);
        const chosen = this.chosen ? aboutLife(this.story, this.chosen) : "";
        this.tell(!hit ? chosen : hit.signal ? aboutSignal(this.story, hit.signal) : aboutLife(this.story, hit.life));
        return;
      }
      const moved = event.clientX - held.x;
      if (Math.abs(moved) > 3) held.moved = true;
      if (!held.moved) return;
      canvas.classList.add("moving");
      const width = view.until - view.from;
      view.set(held.from - (moved / this.width) * width, held.from - (moved / this.width) * width + width);
    });
    on(canvas, "pointerup", (event) => {
      canvas.classList.remove("moving");
      if (held && !held.moved) {
        const hit = this.at(event.offsetX, event.offsetY);
        this.choose(hit ? (hit.life ?? this.story.lives[hit.signal.to]) : null);
        if (hit?.signal) this.tell(aboutSignal(this.story, hit.signal));
      }
      held = null;
    });
    on(canvas, "pointercancel", () => (held = null));
    on(this.box, "scroll", () => this.redraw());
    for (const query of ["(prefers-color-scheme: dark)", "print"]) {
      // Printing does not wait for a frame.
      on(window.matchMedia(query), "change", () => this.draw());
    }
    new ResizeObserver(() => this.redraw()).observe(this.box);
  }
}
