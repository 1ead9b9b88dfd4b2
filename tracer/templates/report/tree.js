// The process tree at any moment.

/** Lines at most, and levels. */
const MOST_LINES = 600;
const DEEPEST = 50;

class Tree {
  constructor(story, moved) {
    this.story = story;
    this.moved = moved;
    this.at = Infinity;
    this.slider = document.getElementById("moment");
    this.slider.addEventListener("input", () => {
      const part = this.slider.value / this.slider.max;
      this.moment = part === 1 ? Infinity : this.story.from + part * (this.story.span - this.story.from);
    });
    this.draw();
  }

  /** Microseconds since the beginning. */
  get moment() {
    return Math.min(Math.max(this.at, this.story.from), this.story.span);
  }

  /** Infinity is the end, wherever that comes to be. */
  set moment(at) {
    this.at = at;
    this.draw();
  }

  update(story) {
    this.story = story;
    this.draw();
  }

  draw() {
    const { story, moment } = this;
    this.slider.value = ((moment - story.from) / (story.span - story.from)) * this.slider.max;
    const text = `${clock(story, moment)}${this.at === Infinity && !story.is_over ? ", now" : ""}`;
    document.getElementById("moment-text").textContent = text;
    this.slider.setAttribute("aria-valuetext", text);
    const there = story.lives.filter((life) => life.born <= moment && moment <= until(story, life));
    const zombies = there.filter((life) => this.isZombie(life)).length;
    const count = (n, one, many) => `${n} ${n === 1 ? one : many}`;
    document.getElementById("tree-count").textContent =
      `${count(there.length, "process", "processes")}, ${count(zombies, "zombie", "zombies")}`;
    const [shown, list] = [document.getElementById("tree-list"), document.createElement("div")];
    list.append(...this.forest(there));
    // What stays as it is can still be selected.
    if (shown.innerHTML !== list.innerHTML) shown.replaceChildren(...list.childNodes);
    this.moved(moment);
  }

  isDead(life) {
    return life.died >= 0 && life.died <= this.moment;
  }

  isZombie(life) {
    return life.zombie >= 0 && life.zombie <= this.moment;
  }

  forest(there) {
    const children = new Map(there.map((life) => [life.place, []]));
    const roots = [];
    for (const life of there) {
      (children.get(valueAt(life.parents, this.moment)) ?? roots).push(life);
    }
    this.left = MOST_LINES;
    const list = this.list(roots, children, 0, undefined);
    const more = there.length - (MOST_LINES - this.left);
    const note = document.createElement("p");
    note.textContent = more > 0 ? `and ${more} more, which are not shown` : "";
    return [list, note];
  }

  list(lives, children, depth, lane) {
    const list = document.createElement("ul");
    for (const life of lives) {
      if (this.left <= 0 || depth > DEEPEST) break;
      this.left -= 1;
      const item = document.createElement("li");
      item.append(this.line(life, lane));
      const below = children.get(life.place);
      if (below.length) item.append(this.list(below, children, depth + 1, life.lane));
      list.append(item);
    }
    return list;
  }

  line(life, lane) {
    const line = document.createElement("span");
    const part = (kind, text) => {
      const span = document.createElement("span");
      span.className = kind;
      span.textContent = text;
      line.append(span, " ");
    };
    part("name", valueAt(life.names, this.moment));
    part("pid", life.inner ? `${life.pid} [${life.inner}]` : `${life.pid}`);
    if (life.lane !== lane && this.story.lanes[life.lane].kind !== "host") part("lane", `in ${laneName(this.story, life)}`);
    if (this.isZombie(life)) part("dead", `zombie for ${life.isExact ? "" : "at least "}${duration(this.moment - life.zombie)}`);
    else if (this.isDead(life)) part("dead", "exiting");
    if (life.isFound) part("found", "named by a finding");
    // The last command line is that of the last name.
    const [since] = life.names[life.names.length - 1];
    if (life.line && since <= this.moment && !this.isDead(life)) part("line", life.line);
    return line;
  }
}
