// Which part of the recording is seen.

class View {
  constructor({ from, span }, changed) {
    [this.first, this.last] = [from, span];
    this.changed = changed;
    this.all();
  }

  get margin() {
    return (this.last - this.first) * 0.01;
  }

  all() {
    this.set(this.first - this.margin, this.last + this.margin);
  }

  /** It reaches further now: who sees all of it still does, and who sees its end follows it. */
  reach({ from, span }) {
    const isAll = this.until - this.from > (this.last - this.first) * 1.019;
    const by = this.until >= this.last ? span - this.last : 0;
    [this.first, this.last] = [from, span];
    if (isAll) this.all();
    else this.set(this.from + by, this.until + by);
  }

  /** Keeps within the recording, and no closer than some microseconds. */
  set(from, until) {
    const { first, last, margin } = this;
    const width = Math.min(Math.max(until - from, 20), last - first + 2 * margin);
    this.from = Math.min(Math.max(from, first - margin), last + margin - width);
    this.until = this.from + width;
    this.changed();
  }

  zoom(factor, around = (this.from + this.until) / 2) {
    this.set(around - (around - this.from) * factor, around + (this.until - around) * factor);
  }

  /** By a part of what is seen. */
  move(part) {
    const by = (this.until - this.from) * part;
    this.set(this.from + by, this.until + by);
  }

  /** So that a time can be seen. */
  show(at, width = this.until - this.from) {
    this.set(at - width / 2, at + width / 2);
  }
}
