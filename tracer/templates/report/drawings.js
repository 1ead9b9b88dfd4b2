// Puts the drawings on the page; without them it is complete.

class Drawings {
  constructor(story, moved) {
    document.getElementById("time-body").hidden = false;
    document.getElementById("tree-body").hidden = false;
    this.timeline = new Timeline(story);
    this.tree = new Tree(story, (moment) => {
      this.timeline.moment = moment;
      this.timeline.redraw();
      moved();
    });
    document.getElementById("findings").addEventListener("click", (event) => {
      const button = event.target.closest("button.show");
      if (button) this.show(button.dataset.finding);
    });
    this.link(story);
  }

  /** More is known. */
  update(story) {
    this.timeline.update(story);
    this.tree.update(story);
    this.link(story);
  }

  /** Only a finding that is drawn can be shown. */
  link(story) {
    this.marks = new Map(story.marks.map((mark) => [mark.anchor, mark]));
    for (const button of document.querySelectorAll("button.show")) {
      button.hidden = !this.marks.has(button.dataset.finding);
    }
  }

  show(anchor) {
    this.timeline.show(anchor);
    this.tree.moment = this.marks.get(anchor).at;
  }
}

function broken(error) {
  const broken = document.getElementById("broken");
  broken.textContent = `The time line cannot be drawn in this browser: ${error}`;
  broken.hidden = false;
}
