// Which part of the recording is seen.

class View {
  constructor(span, changed) {
    this.span = span;
    this.changed = changed;
    this.all();
  }

  all() {
    this.set(-this.span * 0.01, this.span * 1.01);
  }

  /** Keeps within the recording, and no closer than some microseconds. */
  set(from, until) {
    const margin = this.span * 0.01;
    const width = Math.min(Math.max(until - from, 20), this.span + 2 * margin);
    this.from = Math.min(Math.max(from, -margin), this.span + margin - width);
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
